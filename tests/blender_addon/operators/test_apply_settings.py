"""How a take's settings and the backend's fixes come into the panel."""

from __future__ import annotations

import bpy
import pytest

JOB = "a" * 32
OTHER = "b" * 32
FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


def test_settings_come_back_from_a_strip(stand_in, take, settings) -> None:
    settings.prompt, settings.length_mode = "something else", "GAP"
    assert bpy.ops.wan_vse.load_settings() == FINISHED
    assert (settings.prompt, settings.model, settings.resolution) == ("fog over pines", "big", "360p")
    assert (settings.quality, settings.length_mode, settings.length_frames) == ("BEST", "FRAMES", 81)
    assert (settings.seed, settings.seed_locked) == (7, True)


def test_settings_that_can_not_be_read_are_refused(stand_in, take, addon) -> None:
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
        ("matrix_precision", "fast_8_bit", "matrix_precision", "FAST_8_BIT"),
        ("task", "extend", "task", "EXTEND"),
        ("step_cache", "calibrate", "step_cache", "CALIBRATE"),
    ],
)
def test_a_fix_sets_the_panel(stand_in, settings, setting: str, value: str, name: str, expected: object) -> None:
    settings.length_mode = "GAP"
    assert bpy.ops.wan_vse.apply_fix(setting=setting, value=value) == FINISHED
    assert getattr(settings, name) == expected


def test_a_fix_of_a_length_leaves_the_gap(stand_in, settings) -> None:
    settings.length_mode = "GAP"
    bpy.ops.wan_vse.apply_fix(setting="length_frames", value="24")
    assert settings.length_mode == "FRAMES"


def test_a_fix_of_a_job_loads_its_settings_first(stand_in, settings) -> None:
    stand_in.add(JOB, "failed", prompt="a tram")
    bpy.ops.wan_vse.apply_fix(setting="quality", value="draft", job_id=JOB)
    assert (settings.prompt, settings.model, settings.quality) == ("a tram", "big", "DRAFT")


def test_a_fix_of_a_job_shows_its_task(stand_in, settings) -> None:
    stand_in.add(JOB, "failed", task="restyle")
    bpy.ops.wan_vse.apply_fix(setting="guide", value="edges", job_id=JOB)
    assert (settings.task, settings.guide) == ("RESTYLE", "EDGES")


@pytest.mark.parametrize(("setting", "value"), [("color", "red"), ("length_frames", "many"), ("model", "nobody's")])
def test_a_fix_that_is_not_understood_changes_nothing(stand_in, settings, setting: str, value: str) -> None:
    before = settings.length_frames, settings.model
    assert bpy.ops.wan_vse.apply_fix(setting=setting, value=value) == CANCELLED
    assert (settings.length_frames, settings.model) == before


def test_every_fix_of_the_backend_is_understood(stand_in, addon) -> None:
    m, module = stand_in.messages, addon("operators.apply_settings")
    assert set(module.SETTERS) | set(module.SET_BY_QUALITY) == set(m.FixSetting)
    assert not set(module.SETTERS) & set(module.SET_BY_QUALITY)
    assert set(module.ACTIONS) == set(m.FixAction)


@pytest.mark.parametrize("part", ["whole", "high", "low", "unknown"])
def test_what_a_transformer_is_said_to_be_goes_to_the_server(stand_in, settings, part: str) -> None:
    assert bpy.ops.wan_vse.apply_fix(action=f"transformer_{part}", value="/models/mine.safetensors") == FINISHED
    assert stand_in.asked[-1] == ("name_transformer", "/models/mine.safetensors", part)


@pytest.mark.parametrize("setting", ["steps", "guidance_scale", "flow_shift"])
def test_what_the_panel_leaves_to_the_quality_is_not_set(stand_in, settings, setting: str) -> None:
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
def test_what_needs_a_jobs_details_asks_for_them_first(stand_in, settings, take, name: str, values: dict) -> None:
    stand_in.add(OTHER, "done", prompt="a tram")
    request = stand_in.requests.pop(OTHER)
    order = getattr(bpy.ops.wan_vse, name)
    assert order(job_id=OTHER, **values) == CANCELLED
    assert (stand_in.server.wished, stand_in.asked, settings.prompt) == ([OTHER], [], "fog over pines")
    stand_in.requests[OTHER] = request
    assert order(job_id=OTHER, **values) == FINISHED
    assert settings.prompt == "a tram"
