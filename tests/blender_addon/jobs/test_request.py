"""What the panel says, as a request."""

from __future__ import annotations

import dataclasses
import importlib
import os
from types import SimpleNamespace

import bpy
import pytest


@pytest.fixture
def build(scene, addon):
    """build(setting=value...) is the request for a panel with these settings."""
    usual = {
        "prompt_source": "FIELD",
        "prompt": "fog",
        "prompt_text": None,
        "negative_prompt": " ",
        "model": "embedded",
        "quality": "BEST",
        "length_mode": "FRAMES",
        "length_frames": 9,
        "length_seconds": 2.0,
        "seed": 5,
        "seed_locked": True,
        "resolution": "144p",
        "media_format": "FFV1",
        "guidance_in_part": False,
        "step_cache": "OFF",
        "handles": False,
        "matrix_precision": "FAST_8_BIT",
        "loras": [],
    }

    def build(media_folder="", **settings):
        preferences = SimpleNamespace(media_folder=media_folder)
        return addon("jobs.request").build(scene, SimpleNamespace(**{**usual, **settings}), preferences)

    return build


def refusal(build, **settings) -> str:
    refused = build(**settings)
    assert isinstance(refused, str)
    return refused


def test_everything_of_the_panel_is_in_it(scene, build):
    scene.render.resolution_percentage = 50
    scene.render.fps, scene.render.fps_base = 24, 1.001
    scene.frame_set(12)
    request = build()
    assert (request.prompt, request.negative_prompt, request.model) == ("fog", "", "embedded")
    assert (request.width, request.height, request.resolution) == (960, 540, "144p")
    assert (request.length_frames, request.frame_rate.fps, request.frame_rate.fps_base) == (9, 24, 1.001)
    assert (request.seed, request.quality.value, request.media_format.value) == (5, "best", "ffv1")
    assert request.matrix_precision.value == "fast_8_bit"
    assert (request.origin.scene, request.origin.channel, request.origin.start) == (scene.name, 1, 12)
    assert request.origin.project == ""
    assert request.origin.project_id
    assert request.guidance_interval is None and request.step_cache.value == "off"


def test_work_that_is_to_be_skipped_is_in_it(build):
    interval = {"guidance_in_part": True, "guidance_start": 0.1, "guidance_end": 0.30000001192}
    request = build(**interval, step_cache="CALIBRATE")
    assert (request.guidance_interval.start, request.guidance_interval.end) == (0.1, 0.3)
    assert request.step_cache.value == "calibrate"
    assert build(step_cache="of a newer version").step_cache.value == "off"


def test_the_size_is_in_square_pixels(scene, build):
    scene.render.resolution_x, scene.render.resolution_y = 720, 576
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = 16, 11
    request = build()
    assert (request.width, request.height) == (1047, 576)
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = 1, 1.5
    request = build()
    assert (request.width, request.height) == (720, 864)


def test_a_seed_is_drawn_where_none_is_locked(build):
    seeds = {build(seed_locked=False).seed for _ in range(20)}
    assert len(seeds) > 15
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seconds_become_frames(scene, build):
    scene.render.fps = 30
    assert build(length_mode="SECONDS").length_frames == 60


def test_a_gap_gives_start_and_length(scene, build, addon):
    compat = addon("timeline.compat")
    collection = compat.strips(scene.sequence_editor)
    compat.new_color(collection, "a", 2, 1, 20)
    compat.new_color(collection, "b", 1, 50, 20)
    scene.frame_set(30)
    request = build(length_mode="GAP")
    assert (request.origin.start, request.length_frames, request.origin.channel) == (21, 29, 1)
    scene.frame_set(5)
    assert "no gap" in refusal(build, length_mode="ONLY_GAP")


def test_the_preview_range_gives_start_and_length(scene, build):
    scene.frame_set(500)
    assert "No preview range" in refusal(build, length_mode="RANGE")
    scene.use_preview_range = True
    scene.frame_preview_start, scene.frame_preview_end = 20, 44
    request = build(length_mode="RANGE")
    assert (request.origin.start, request.length_frames) == (20, 25)
    scene.frame_preview_end = 200_000
    assert "at most" in refusal(build, length_mode="RANGE")


def test_prompts_from_elsewhere(build, addon):
    assert "text block" in refusal(build, prompt_source="TEXT_BLOCK")
    text = bpy.data.texts.new("P")
    text.write("rain\nat night")
    assert build(prompt_source="TEXT_BLOCK", prompt_text=text).prompt == "rain at night"
    assert "text strip" in refusal(build, prompt_source="TEXT_STRIP")


def test_what_cannot_be_asked_is_a_sentence(build, addon):
    assert "empty" in refusal(build, prompt=" \n ")
    assert "has more than 10,000 characters" in refusal(build, prompt="x" * 100_000)
    text = bpy.data.texts.new("Book")
    text.write("a line of a book\n" * 50_000)
    assert "has more than 10,000" in refusal(build, prompt_source="TEXT_BLOCK", prompt_text=text)
    assert "negative prompt has 5,001 characters" in refusal(build, negative_prompt="x" * 5001)
    assert "model" in refusal(build, model="")
    assert build(prompt="\N{PILE OF POO} \u202e\x07 ünïcödé " + "\ud800").prompt.startswith("\N{PILE OF POO}")


def test_where_media_goes(build, tmp_path, addon):
    folder = addon("jobs.folders").user_folder()
    assert build().media_folder.startswith(os.path.join(str(folder), "media"))
    assert build(media_folder=str(tmp_path / "takes")).media_folder == str(tmp_path / "takes")
    assert build(media_folder="//takes").media_folder.startswith(str(folder))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a b.blend"))
    assert build().media_folder == str(tmp_path / "wan")
    assert build(media_folder="//takes").media_folder == str(tmp_path / "takes")
    assert build().origin.project == str(tmp_path / "a b.blend")


def test_building_changes_nothing(scene, build):
    build()
    assert list(scene.keys()) == [] or set(scene.keys()) <= {"wan_vse"}
    assert not scene.is_property_readonly("frame_current")
    assert len(bpy.data.scenes) == 1


def test_a_request_is_no_longer_than_its_plan_says(build, addon, extension):
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    plan = messages.Plan("m", 1, 1, 81, messages.FrameRate(16), 121, 1, 1.0, 1.0, "unipc")
    within = addon("jobs.request").within_plan
    assert within(build(length_frames=500), plan).length_frames == 121
    assert within(build(length_frames=120), plan).length_frames == 120
    assert within(build(length_frames=500), None).length_frames == 500
    whole = dataclasses.replace(build(length_frames=500), task="restyle")
    assert within(whole, plan).length_frames == 500, "it is as long as its footage"
