"""The settings: what stays in step, what is kept, and enums whose lists come and go."""

from __future__ import annotations

import dataclasses
import gc

import bpy
import pytest


def test_frames_and_seconds_stay_in_step(settings, scene) -> None:
    settings.length_frames = 48
    assert settings.length_seconds == pytest.approx(2.0)
    settings.length_seconds = 5.0
    assert settings.length_frames == 120


def test_seconds_keep_what_was_typed(settings) -> None:
    settings.length_seconds = 3.41
    assert settings.length_frames == 82
    assert settings.length_seconds == pytest.approx(3.41)


@pytest.mark.parametrize(("fps", "base"), [(24, 1.001), (25, 1.0), (30, 1.001), (60, 1.0)])
def test_frames_survive_the_way_there_and_back(settings, scene, fps: int, base: float) -> None:
    scene.render.fps, scene.render.fps_base = fps, base
    for frames in (1, 7, 81, 250, 9999):
        settings.length_frames = frames
        assert settings.length_frames == frames


def test_a_model_that_was_not_chosen_is_the_first_real_one_here(stand_in, scene) -> None:
    assert scene.wan_vse.model == "big"
    stand_in.server.models = stand_in.server.models[:1]
    assert scene.wan_vse.model == "embedded"


@pytest.mark.parametrize("change", [{"tasks": ["edit"]}, {"tasks": ["previs"]}, {"broken": True}])
def test_a_model_for_one_thing_alone_or_of_no_use_is_never_there_unchosen(stand_in, scene, addon, change) -> None:
    task = type(stand_in.server.models[1].tasks[0])
    changes = {**change, **({"tasks": [task(each) for each in change["tasks"]]} if "tasks" in change else {})}
    stand_in.server.models[1] = dataclasses.replace(stand_in.server.models[1], **changes)
    assert scene.wan_vse.model == "embedded"
    scene.wan_vse.model = "big"
    assert scene.wan_vse.model == "big"


def test_the_chosen_model_stays_while_the_backend_is_away(stand_in, settings) -> None:
    settings.model = "far"
    stand_in.server.models = []
    assert settings.model == "far"


def test_before_the_backend_answers_the_embedded_model_can_be_chosen(stand_in, scene) -> None:
    stand_in.server.models = []
    scene.wan_vse.model = "embedded"
    assert scene.wan_vse.model == "embedded"


def test_the_size_begins_with_the_models_own(stand_in, settings) -> None:
    assert settings.resolution == "480p"
    settings.resolution = "360p"
    assert settings.resolution == "360p"


def test_a_size_that_the_model_lacks_gives_way(stand_in, settings) -> None:
    settings.resolution_name = "4k"
    assert settings.resolution == "480p"


def test_choices_are_kept_by_name_in_the_file(stand_in, settings, tmp_path) -> None:
    settings.model, settings.resolution = "far", "360p"
    path = str(tmp_path / "a film.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    stand_in.server.models = list(reversed(stand_in.server.models))
    bpy.ops.wm.open_mainfile(filepath=path)
    kept = bpy.context.scene.wan_vse
    assert (kept.model, kept.resolution) == ("far", "360p")


def test_enum_strings_are_kept_alive(stand_in, settings, addon) -> None:
    """Blender reads freed memory where an enum's callback keeps no reference to its strings."""
    items = addon("properties")._model_items(settings, None)
    assert addon("properties")._model_items(settings, None) is items
    del items
    gc.collect()
    names = [item.name for item in settings.bl_rna.properties["model"].enum_items]
    assert all(name.isprintable() for name in names)
    assert addon("properties")._kept_items["model"][0][0] == "embedded"


def test_the_queue_rows_follow_the_session(stand_in, addon) -> None:
    panel_state = bpy.context.window_manager.wan_vse
    refresh = addon("ui.refresh").refresh
    stand_in.add("a" * 32)
    stand_in.add("b" * 32)
    refresh()
    assert [row.name for row in panel_state.rows] == ["b" * 32, "a" * 32]
    panel_state.active_row = 1
    stand_in.add("c" * 32)
    refresh()
    assert panel_state.rows[panel_state.active_row].name == "a" * 32, "what a person has chosen stays"
    stand_in.all.pop(1)
    refresh()
    assert panel_state.rows[panel_state.active_row].name == "a" * 32, "and stays where another goes"


def test_backend_preferences_restart_it_when_idle(stand_in, addon) -> None:
    preferences = addon("preferences").get()
    panel_state = bpy.context.window_manager.wan_vse
    try:
        preferences.memory_budget_gib = 8
        assert stand_in.asked == [("restart",)]
        stand_in.add("a" * 32, "denoising")
        preferences.memory_budget_gib = 9
        assert stand_in.asked == [("restart",)] and panel_state.restart_needed
    finally:
        stand_in.server.status.state = "off"
        preferences.memory_budget_gib = 0


def test_a_models_tooltip_says_what_the_catalogue_says(stand_in, settings, addon) -> None:
    far = dataclasses.replace(
        stand_in.server.models[2],
        notes="Does every task.",
        memory_bytes=37_100_000_000,
        least_memory_bytes=11_400_000_000,
        download_bytes=80_400_000_000,
    )
    stand_in.server.models[2] = far
    said = {row[0]: row[2] for row in addon("properties")._model_rows(settings)}
    assert said["far"] == (
        "Does every task. 80 GB to download; about 37 GB of a card's memory at 81 frames, 11 GB at least; "
        "Apache-2.0. Far is somewhere"
    )
    assert said["big"] == "Apache-2.0. Big is somewhere"
