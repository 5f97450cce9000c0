"""The list of LoRAs: filled, changed, sent with a take, kept with it and brought back."""

from __future__ import annotations

import importlib
import json
from types import SimpleNamespace

import bpy
import pytest

JOB = "a" * 32
FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "loras"
    (folder / "wan" / "style").mkdir(parents=True)
    made = [folder / "a.safetensors", folder / "wan" / "b.safetensors", folder / "wan" / "style" / "c.safetensors"]
    for file in (*made, folder / "notes.txt"):
        file.write_bytes(b"")
    return SimpleNamespace(folder=folder, a=str(made[0]), b=str(made[1]), c=str(made[2]))


@pytest.fixture
def uses(extension):
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    return lambda *rows: [messages.LoraUse(path, strength, messages.Expert(expert)) for path, strength, expert in rows]


def rows(settings) -> list[tuple[str, float, bool]]:
    return [(row.name, round(row.strength, 4), row.use) for row in settings.loras]


def test_several_files_are_added_at_once_and_none_twice(settings, files) -> None:
    chosen = [{"name": "a.safetensors"}, {"name": "wan/b.safetensors"}]
    assert bpy.ops.wan_vse.add_loras(directory=f"{files.folder}/", files=chosen) == FINISHED
    assert rows(settings) == [("a", 1.0, True), ("b", 1.0, True)]
    settings.loras[0].use = False
    bpy.ops.wan_vse.add_loras(directory=f"{files.folder}/", files=chosen[:1])
    assert rows(settings) == [("a", 1.0, True), ("b", 1.0, True)]
    assert settings.active_lora == 0
    assert bpy.ops.wan_vse.add_loras(directory=f"{files.folder}/", files=[]) == CANCELLED


def test_the_folder_of_the_preferences_is_listed_with_those_in_it(settings, files, addon) -> None:
    loras, preferences = addon("jobs.lora_rows"), addon("preferences").get()
    assert [str(file) for file in loras.files_in(str(files.folder))] == [files.a, files.b, files.c]
    assert list(loras.files_in("")) == list(loras.files_in("/no/such/folder")) == []
    preferences.loras_folder = ""
    assert not bpy.ops.wan_vse.pick_lora.poll()
    preferences.loras_folder = str(files.folder)
    try:
        assert bpy.ops.wan_vse.pick_lora.poll()
        pick = addon("operators.choose_inputs")
        pick._read_folder()
        assert [item[1] for item in pick._kept_items] == ["a", "wan/b", "wan/style/c"]
        assert bpy.ops.wan_vse.pick_lora(file=files.c) == FINISHED
    finally:
        preferences.loras_folder = ""
    assert rows(settings) == [("c", 1.0, True)]


def test_one_is_taken_off_and_the_list_can_be_empty(settings, files, addon) -> None:
    assert not bpy.ops.wan_vse.remove_lora.poll()
    for path in (files.a, files.b, files.c):
        addon("jobs.lora_rows").add(settings, path)
    settings.active_lora = 1
    assert bpy.ops.wan_vse.remove_lora() == FINISHED
    assert [row.name for row in settings.loras] == ["a", "c"] and settings.active_lora == 1
    bpy.ops.wan_vse.remove_lora()
    assert settings.active_lora == 0
    bpy.ops.wan_vse.remove_lora()
    assert not settings.loras and not bpy.ops.wan_vse.remove_lora.poll()


def test_a_take_is_asked_for_with_those_that_are_on(stand_in, settings, files, addon, uses, tmp_path) -> None:
    for path in (files.a, files.b, files.c):
        addon("jobs.lora_rows").add(settings, path)
    settings.loras[0].strength, settings.loras[1].use, settings.loras[2].expert = -0.55, False, "LOW"
    assert bpy.ops.wan_vse.generate() == FINISHED
    ((_, request, _),) = stand_in.asked
    assert request.loras == uses((files.a, -0.55, "auto"), (files.c, 1.0, "low"))


def test_a_path_beside_the_file_is_sent_as_where_it_is(stand_in, settings, files, scene, addon, uses) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(files.folder / "film.blend"))
    settings = bpy.context.scene.wan_vse
    addon("jobs.lora_rows").add(settings, "//wan/b.safetensors")
    assert addon("jobs.lora_rows").uses(settings.loras) == uses((files.b, 1.0, "auto"))
    addon("jobs.lora_rows").add(settings, files.b)
    assert len(settings.loras) == 1, "the same file by another path"


def test_the_list_is_kept_in_the_file(settings, files, addon, tmp_path) -> None:
    addon("jobs.lora_rows").add(settings, files.a).strength = 0.5
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "film.blend"))
    assert rows(bpy.context.scene.wan_vse) == [("a", 0.5, True)]


def test_undo_takes_back_what_was_added(settings, files, addon) -> None:
    bpy.ops.ed.undo_push(message="Before")
    bpy.ops.wan_vse.add_loras(directory=f"{files.folder}/", files=[{"name": "a.safetensors"}])
    bpy.ops.ed.undo_push(message="Added")
    bpy.ops.ed.undo()
    assert not bpy.context.scene.wan_vse.loras
    bpy.ops.ed.redo()
    assert rows(bpy.context.scene.wan_vse) == [("a", 1.0, True)]


@pytest.fixture
def take(stand_in, scene, addon, extension, files, uses):
    """A strip that was made with two LoRAs, active."""
    import dataclasses

    compat, identity = addon("timeline.compat"), addon("timeline.identity")
    conversion = importlib.import_module(f"{extension}.wan_backend.protocol.conversion")
    asked = uses((files.a, 0.25, "auto"), (files.b, 1.5, "high"))
    stand_in.add(JOB)
    request = stand_in.requests[JOB] = dataclasses.replace(stand_in.requests[JOB], loras=asked)
    strip = compat.new_color(compat.strips(scene.sequence_editor), "A take", 2, 50, 40)
    identity.mark_placeholder(strip, JOB, json.dumps(conversion.to_json(request)))
    scene.sequence_editor.active_strip = strip
    return strip


def test_settings_bring_a_takes_loras_back(take, settings, files, addon, uses) -> None:
    addon("jobs.lora_rows").add(settings, files.c)
    assert bpy.ops.wan_vse.load_settings() == FINISHED
    assert rows(settings) == [("a", 0.25, True), ("b", 1.5, True)]
    assert addon("jobs.lora_rows").uses(settings.loras) == uses((files.a, 0.25, "auto"), (files.b, 1.5, "high"))


def test_another_take_has_them_whatever_the_panel_says(take, stand_in, settings, files, uses) -> None:
    assert bpy.ops.wan_vse.regenerate() == FINISHED
    request = stand_in.asked[-1][1]
    assert request.loras == uses((files.a, 0.25, "auto"), (files.b, 1.5, "high"))


def test_the_buttons_under_a_question_say_which_expert_one_is_for(settings, files, addon) -> None:
    for path in (files.a, files.b):
        addon("jobs.lora_rows").add(settings, path)
    for name in ("HIGH", "LOW", "BOTH"):
        assert bpy.ops.wan_vse.apply_fix(setting=f"lora_{name.lower()}", value=files.a) == FINISHED
        assert [row.expert for row in settings.loras] == [name, "AUTO"]


def test_the_button_under_a_refusal_leaves_one_out(settings, files, addon) -> None:
    for path in (files.a, files.b):
        addon("jobs.lora_rows").add(settings, path)
    assert bpy.ops.wan_vse.apply_fix(setting="without_lora", value=files.a) == FINISHED
    assert rows(settings) == [("a", 1.0, False), ("b", 1.0, True)]
