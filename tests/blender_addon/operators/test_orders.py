"""What the operators do to the scene, and what they ask of the session."""

from __future__ import annotations

import json

import bpy
import pytest

JOB = "a" * 32
OTHER = "b" * 32
FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


@pytest.fixture
def take(told, scene, addon, extension):
    """A strip that a job of the stand-in made, active."""
    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    conversion = __import__("importlib").import_module(f"{extension}.wan_backend.protocol.conversion")
    job = told.add(JOB)
    strip = compat.new_color(compat.strips(scene.sequence_editor), "A take", 2, 50, 40)
    identity.mark_placeholder(strip, JOB, json.dumps(conversion.to_json(told.requests[job.job_id])))
    scene.sequence_editor.active_strip = strip
    return strip


def test_generate_sends_what_the_panel_says(told, settings, scene) -> None:
    settings.quality, settings.length_frames, settings.seed, settings.seed_locked = "BEST", 33, 5, True
    scene.frame_set(20)
    assert bpy.ops.wan_vse.generate() == FINISHED
    ((_, request, _),) = told.asked
    assert (request.prompt, request.quality, request.length_frames) == ("fog over pines", "best", 33)
    assert (request.origin.start, request.origin.channel, request.seed) == (20, 1, 5)


def test_the_seed_that_was_drawn_is_shown(told, settings) -> None:
    bpy.ops.wan_vse.generate()
    assert settings.seed == told.asked[0][1].seed
    assert not settings.seed_locked


def test_generate_into_hole_fills_it_and_leaves_the_panel(told, settings, scene, addon) -> None:
    compat = addon("timeline.compat")
    compat.new_color(compat.strips(scene.sequence_editor), "Left", 1, 1, 40)
    compat.new_color(compat.strips(scene.sequence_editor), "Right", 1, 101, 40)
    scene.frame_set(60)
    assert bpy.ops.wan_vse.generate_into_hole() == FINISHED
    ((_, request, _),) = told.asked
    assert (request.origin.start, request.length_frames) == (41, 60)
    assert settings.length_mode == "FRAMES"


def test_a_job_is_found_by_its_id(told) -> None:
    told.add("b" * 32, "done")
    told.add(JOB, "denoising")
    assert bpy.ops.wan_vse.cancel_job(job_id=JOB) == FINISHED
    assert told.asked == [("cancel", JOB)]


def test_the_chosen_job_is_meant_where_none_is_named(told, addon) -> None:
    told.add("b" * 32, "denoising")
    told.add(JOB, "denoising")
    addon("ui.refresh").refresh()
    bpy.context.window_manager.wan_vse.active_row = 1
    bpy.ops.wan_vse.cancel_job()
    assert told.asked == [("cancel", "b" * 32)]


def test_an_order_that_comes_too_late_changes_nothing(told) -> None:
    told.add(JOB, "done")
    told.add("b" * 32, "denoising")
    assert bpy.ops.wan_vse.cancel_job(job_id=JOB) == CANCELLED
    assert told.asked == []


def test_cancel_all_leaves_what_ended(told) -> None:
    for index, state in enumerate(("done", "queued", "loading", "failed")):
        told.add(str(index) * 32, state)
    assert bpy.ops.wan_vse.cancel_all() == FINISHED
    assert {job for _, job in told.asked} == {"1" * 32, "2" * 32}


def test_retry_clear_and_place(told) -> None:
    told.add(JOB, "failed")
    told.placeable = {JOB}
    bpy.ops.wan_vse.retry_job()
    bpy.ops.wan_vse.place_take()
    bpy.ops.wan_vse.clear_jobs()
    assert told.asked == [("retry", JOB), ("place", JOB), ("clear",)]


def test_show_take_moves_the_playhead_and_selects(told, take, scene) -> None:
    scene.frame_set(1)
    take.select = False
    assert bpy.ops.wan_vse.show_take() == FINISHED
    assert (scene.frame_current, take.select) == (50, True)


def test_show_take_says_where_there_is_no_strip(told) -> None:
    told.add(JOB)
    assert bpy.ops.wan_vse.show_take() == CANCELLED


@pytest.mark.parametrize(("seed", "same"), [("SAME", True), ("NEW", False)])
def test_regenerate_covers_the_strip_from_above(told, take, seed: str, same: bool) -> None:
    assert bpy.ops.wan_vse.regenerate(seed=seed) == FINISHED
    ((_, request, name),) = told.asked
    assert (request.origin.channel, request.origin.start, request.length_frames) == (3, 50, 40)
    assert (request.seed == 7) is same
    assert (request.prompt, name) == ("fog over pines", "A take")


def test_settings_come_back_from_a_strip(told, take, settings) -> None:
    settings.prompt, settings.length_mode = "something else", "HOLE"
    assert bpy.ops.wan_vse.load_settings() == FINISHED
    assert (settings.prompt, settings.model, settings.resolution) == ("fog over pines", "big", "360p")
    assert (settings.quality, settings.length_mode, settings.length_frames) == ("BEST", "FRAMES", 81)
    assert (settings.seed, settings.seed_locked) == (7, True)


def test_settings_that_can_not_be_read_are_refused(told, take, addon) -> None:
    take[addon("timeline.identity").REQUEST] = "{"
    assert not bpy.ops.wan_vse.load_settings.poll()


@pytest.mark.parametrize(
    ("setting", "value", "name", "expected"),
    [
        ("length_frames", "24", "length_frames", 24),
        ("resolution", "360p", "resolution", "360p"),
        ("model", "big", "model", "big"),
        ("quality", "draft", "quality", "DRAFT"),
        ("media_format", "ffv1", "media_format", "FFV1"),
        ("seed", "1", "seed", 1),
        ("strength", "0.5", "strength", 0.5),
        ("guide", "depth", "guide", "DEPTH"),
        ("conform", "repeat", "conform", "REPEAT"),
        ("task", "extend", "task", "EXTEND"),
    ],
)
def test_a_fix_sets_the_panel(told, settings, setting: str, value: str, name: str, expected: object) -> None:
    settings.length_mode = "HOLE"
    assert bpy.ops.wan_vse.apply_fix(setting=setting, value=value) == FINISHED
    assert getattr(settings, name) == expected


def test_a_fix_of_a_length_leaves_the_hole(told, settings) -> None:
    settings.length_mode = "HOLE"
    bpy.ops.wan_vse.apply_fix(setting="length_frames", value="24")
    assert settings.length_mode == "FRAMES"


def test_a_fix_of_a_job_loads_its_settings_first(told, settings) -> None:
    told.add(JOB, "failed", prompt="a tram")
    bpy.ops.wan_vse.apply_fix(setting="quality", value="draft", job_id=JOB)
    assert (settings.prompt, settings.model, settings.quality) == ("a tram", "big", "DRAFT")


def test_a_fix_of_a_job_shows_its_task(told, settings) -> None:
    told.add(JOB, "failed", task="restyle")
    bpy.ops.wan_vse.apply_fix(setting="guide", value="edges", job_id=JOB)
    assert (settings.task, settings.guide) == ("RESTYLE", "EDGES")


def test_a_take_that_landed_is_not_undone_by_adjusting_the_order_for_it(addon) -> None:
    assert "REGISTER" not in addon("operators.make_takes").WAN_VSE_OT_regenerate.bl_options


@pytest.mark.parametrize(("setting", "value"), [("colour", "red"), ("length_frames", "many"), ("model", "nobody's")])
def test_a_fix_that_is_not_understood_changes_nothing(told, settings, setting: str, value: str) -> None:
    before = settings.length_frames, settings.model
    assert bpy.ops.wan_vse.apply_fix(setting=setting, value=value) == CANCELLED
    assert (settings.length_frames, settings.model) == before


def test_every_fix_of_the_backend_is_understood(told, addon) -> None:
    m, module = told.messages, addon("operators.apply_settings")
    assert set(module.SETTERS) | set(module.SET_BY_QUALITY) == set(m.FixSetting)
    assert not set(module.SETTERS) & set(module.SET_BY_QUALITY)
    assert set(module.ACTIONS) == set(m.FixAction)


@pytest.mark.parametrize("setting", ["steps", "guidance_scale", "flow_shift"])
def test_what_the_panel_leaves_to_the_quality_is_not_set(told, settings, setting: str) -> None:
    before = settings.quality
    assert bpy.ops.wan_vse.apply_fix(setting=setting, value="9") == CANCELLED
    assert settings.quality == before


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("load_settings", {}),
        ("apply_fix", {"setting": "quality", "value": "draft"}),
    ],
)
def test_what_needs_a_jobs_details_asks_for_them_first(told, settings, take, name: str, values: dict) -> None:
    told.add(OTHER, "done", prompt="a tram")
    request = told.requests.pop(OTHER)
    order = getattr(bpy.ops.wan_vse, name)
    assert order(job_id=OTHER, **values) == CANCELLED
    assert (told.server.wished, told.asked, settings.prompt) == ([OTHER], [], "fog over pines")
    told.requests[OTHER] = request
    assert order(job_id=OTHER, **values) == FINISHED
    assert settings.prompt == "a tram"


def test_new_seed_draws_and_locks(told, settings) -> None:
    seeds = set()
    for _ in range(4):
        bpy.ops.wan_vse.new_seed()
        seeds.add(settings.seed)
    assert len(seeds) > 1 and settings.seed_locked


def test_the_prompt_moves_into_a_text(told, settings) -> None:
    bpy.ops.wan_vse.write_prompt_text()
    assert settings.prompt_source == "TEXT_BLOCK"
    assert settings.prompt_text.as_string().strip() == "fog over pines"
    bpy.ops.wan_vse.write_prompt_text()
    assert len(bpy.data.texts) == 1


def test_the_standard_view(told, scene) -> None:
    scene.view_settings.view_transform = "AgX"
    assert bpy.ops.wan_vse.use_standard_view() == FINISHED
    assert scene.view_settings.view_transform == "Standard"


def test_restart_and_free_card(told) -> None:
    bpy.context.window_manager.wan_vse.restart_needed = True
    bpy.ops.wan_vse.restart_backend()
    bpy.ops.wan_vse.free_card()
    assert told.asked == [("restart",), ("free_card",)]
    assert not bpy.context.window_manager.wan_vse.restart_needed


def test_a_log_that_is_gone_is_said(told) -> None:
    told.server.status.log = "/nowhere/server.log"
    assert bpy.ops.wan_vse.open_log() == CANCELLED
