"""Only takes of the film that nothing uses are moved, undo brings them back, and only a press removes them."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import bpy
import pytest


@pytest.fixture
def film(scene, addon, extension, tmp_path, put_take, user_folder):
    """A saved film, and film(number) is a take that was made for it."""
    scene.sequence_editor_create()
    project_id = addon("jobs.project").ensure()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "film.blend"))
    origin = importlib.import_module(f"{extension}.wan_backend.protocol.messages").Origin(project_id=project_id)
    module = addon("jobs.session")
    module.unregister()
    module.register()
    return lambda number, **more: put_take(number, **{"origin": origin, **more})


@pytest.fixture
def cleaner(film, addon):
    made = addon("jobs.session").current().cleaner
    return made


def look(addon) -> list[str]:
    current = addon("jobs.session").current()
    current.look_for_unused()
    while current.cleaner.busy:
        current.cleaner.tick(float("inf"))
    return sorted(take.job_id for take in current.cleaner.unused())


def test_what_a_strip_plays_or_keeps_stays(addon, scene, film, cleaner) -> None:
    shown, kept, plain, free = (film(number) for number in range(4))
    film_takes, strip_takes = addon("jobs.film_takes"), addon("timeline.strip_takes")
    strip = film_takes.lay(shown, scene, 1, 1)
    strip_takes.remember(strip, strip_takes.KeptTake(kept.job_id, kept.folder, "0001.png", 4, False))
    bare = film_takes.lay(plain, scene, 2, 50)
    for key in list(bare.keys()):
        del bare[key]
    assert look(addon) == [free.job_id]
    assert cleaner.size_bytes() > 100


def test_another_films_takes_and_unsettled_ones_stay(addon, film, cleaner, put_take, extension) -> None:
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")
    put_take(1)
    film(2, origin=messages.Origin(project_id="f" * 32))
    unsettled = film(3)
    summary = messages.JobSummary("fog", messages.Task.TEXT_TO_VIDEO, "embedded", 7, 4)
    done = messages.JobStatus(unsettled.job_id, messages.JobState.DONE, summary)
    addon("jobs.session").current().jobs.receive(done)
    assert look(addon) == []
    addon("jobs.session").current().jobs.receive(dataclasses.replace(done, settled=True))
    assert look(addon) == [unsettled.job_id]


def test_what_another_film_beside_it_names_stays(addon, film, cleaner, tmp_path) -> None:
    named, free = film(1), film(2)
    (tmp_path / "cut two.blend").write_bytes(b"BLENDER " + named.job_id.encode())
    assert look(addon) == [free.job_id] and cleaner.unreadable == []


def test_a_film_that_cant_be_read_stops_it_until_a_person_says_so(addon, film, tmp_path) -> None:
    take = film(1)
    (tmp_path / "packed.blend").write_bytes(b"\x28\xb5\x2f\xfd")
    assert bpy.ops.wan_vse.clean_takes() == {"CANCELLED"} and Path(take.folder).is_dir()
    assert bpy.ops.wan_vse.clean_takes(even_so=True) == {"FINISHED"} and not Path(take.folder).exists()


def test_undo_brings_back_and_redo_moves_again(addon, scene, film, cleaner) -> None:
    take = film(1)
    bpy.ops.ed.undo_push(message="Before")
    look(addon)
    assert cleaner.clean() == (1, "")
    bpy.ops.ed.undo_push(message="Clean")
    folder = Path(take.folder)
    assert not folder.exists() and len(cleaner.in_trash()) == 1
    bpy.ops.ed.undo()
    addon("jobs.session").current().strips_changed()
    assert folder.is_dir() and cleaner.in_trash() == []
    bpy.ops.ed.redo()
    addon("jobs.session").current().strips_changed()
    assert not folder.exists() and len(cleaner.in_trash()) == 1


def test_all_come_back_by_a_press(addon, film, cleaner) -> None:
    folders = [Path(film(number).folder) for number in range(3)]
    assert bpy.ops.wan_vse.clean_takes() == {"FINISHED"}
    assert not any(folder.exists() for folder in folders)
    assert bpy.ops.wan_vse.bring_back_takes() == {"FINISHED"}
    assert all(folder.is_dir() for folder in folders) and cleaner.in_trash() == []


def test_only_a_press_removes_and_only_this_films(addon, film, cleaner, put_take) -> None:
    mine, folders = film(1), addon("jobs.take_folders")
    theirs = folders.move_to_trash(Path(put_take(2).folder))
    assert bpy.ops.wan_vse.clean_takes() == {"FINISHED"}
    bpy.ops.wm.save_mainfile()
    assert len(cleaner.in_trash()) == 2, "a save removes nothing"
    assert bpy.ops.wan_vse.empty_take_trash() == {"FINISHED"}
    while cleaner.busy:
        cleaner.tick(float("inf"))
    assert cleaner.in_trash() == [theirs] and not Path(mine.folder).exists()


def test_a_film_that_was_not_saved_after_a_clean_up_has_its_takes_when_opened_again(
    addon, scene, film, cleaner
) -> None:
    take = film(1)
    addon("jobs.film_takes").lay(take, scene, 1, 1)
    bpy.ops.wm.save_mainfile()
    editor = bpy.context.scene.sequence_editor
    strips = addon("timeline.compat").strips(editor)
    strips.remove(strips[0])
    assert bpy.ops.wan_vse.clean_takes() == {"FINISHED"} and not Path(take.folder).exists()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    addon("jobs.session").current().file_loaded()
    assert Path(take.folder).is_dir()


def test_a_read_only_folder_is_said(addon, film, cleaner, monkeypatch) -> None:
    film(1)
    look(addon)

    def refused(folder):
        raise PermissionError("read-only")

    monkeypatch.setattr(addon("jobs.take_folders"), "move_to_trash", refused)
    count, sentence = cleaner.clean()
    assert count == 0 and "read-only" in sentence


def test_a_take_that_was_pasted_meanwhile_comes_back_from_the_trash(addon, scene, film, cleaner) -> None:
    take, free = film(1), film(2)
    assert bpy.ops.wan_vse.clean_takes() == {"FINISHED"}
    cleaner.opened()  # as after a save and a load
    plain = dataclasses.replace(take, folder=str(addon("jobs.take_folders").trashed(str(Path(take.folder).parent))[0]))
    strip = addon("jobs.film_takes").lay(plain, scene, 1, 1)
    strip.directory = take.folder
    assert bpy.ops.wan_vse.empty_take_trash() == {"FINISHED"}
    while cleaner.busy:
        cleaner.tick(float("inf"))
    assert Path(take.folder).is_dir() and not Path(free.folder).exists() and cleaner.in_trash() == []
