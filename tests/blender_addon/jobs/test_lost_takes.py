"""Takes whose files were moved are found again: in the trash, in the film's folder, where a person says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import bpy
import pytest

FINISHED, CANCELLED = {"FINISHED"}, {"CANCELLED"}


@pytest.fixture
def film(addon, scene, put_take, tmp_path):
    """A saved film with a strip that shows one take and keeps another, both with names that can be read."""
    home = tmp_path / "film"
    home.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(home / "film.blend"))
    scene = bpy.context.scene
    film_takes, strip_takes = addon("jobs.film_takes"), addon("timeline.strip_takes")
    library = addon("jobs.take_library")
    listed = []
    for number in (1, 2):
        folder = Path(put_take(number, home / "wan").folder)
        settings = json.loads((folder / "take.json").read_bytes())
        settings["title"] = "Fog, seed 7"
        (folder / "take.json").write_text(json.dumps(settings))
        listed.append(library.read_take(folder.rename(folder.with_name(f"000{number} Fog, seed 7")), number))
    strip = film_takes.lay(listed[0], scene, 1, 1)
    kept = strip_takes.KeptTake(listed[1].job_id, listed[1].folder, "0001.png", 4, False)
    strip_takes.remember(strip, kept)
    film_takes.forget()
    return listed


def strip_of(addon):
    (strip,) = addon("timeline.compat").all_strips(bpy.context.scene)
    return strip


def folders(addon) -> list[str]:
    return sorted(take.folder for take in addon("timeline.strip_takes").takes_of(strip_of(addon)))


def test_takes_with_names_that_can_be_read_are_known_by_their_settings(film) -> None:
    assert [take.job_id for take in film] == [f"{1:032x}", f"{2:032x}"]


def test_nothing_is_said_to_be_lost_that_is_there(film) -> None:
    assert bpy.ops.wan_vse.find_takes() == CANCELLED


def test_those_in_the_trash_come_back(film, addon) -> None:
    before = folders(addon)
    for take in film:
        addon("jobs.take_folders").move_to_trash(Path(take.folder))
    assert bpy.ops.wan_vse.find_takes() == FINISHED
    assert folders(addon) == before and all((Path(folder) / "0004.png").is_file() for folder in before)


@pytest.mark.parametrize("name", ["wan", "old takes"])
def test_those_that_were_moved_are_found_by_a_folder(film, addon, tmp_path, name) -> None:
    wan = tmp_path / "film" / "wan"
    moved = wan.rename(tmp_path / name) if name != "wan" else Path(shutil.move(wan, tmp_path / "disk" / "wan"))
    assert bpy.ops.wan_vse.find_takes() == CANCELLED
    assert bpy.ops.wan_vse.find_takes(directory=str(tmp_path / "film")) == CANCELLED
    chosen = moved if name != "wan" else moved.parent
    assert bpy.ops.wan_vse.find_takes(directory=str(chosen)) == FINISHED
    assert folders(addon) == sorted(str(moved / Path(take.folder).name) for take in film)
    assert Path(bpy.path.abspath(strip_of(addon).directory)) == moved / Path(film[0].folder).name
    assert bpy.ops.wan_vse.find_takes() == CANCELLED, "none is lost any more"


def test_a_number_that_changed_and_a_part_of_the_files_matter_not_and_do(film, addon, tmp_path) -> None:
    one, two = (Path(take.folder) for take in film)
    one.rename(one.with_name("0077 Fog, seed 7"))
    two = two.rename(two.with_name("0078 Fog, seed 7"))
    (two / "0003.png").unlink()
    assert bpy.ops.wan_vse.find_takes() == FINISHED
    assert [Path(folder).name for folder in folders(addon)] == ["0002 Fog, seed 7", "0077 Fog, seed 7"]


def test_collecting_two_takes_of_one_name_keeps_both(film, addon, put_take, tmp_path) -> None:
    """Another film's take, whose folder has the name that one here has."""
    far = Path(film[0].folder).parents[2] / "far"
    other = Path(put_take(9, far).folder)
    settings = json.loads((other / "take.json").read_bytes())
    (other / "take.json").write_text(json.dumps({**settings, "title": "Fog, seed 7"}))
    other = other.rename(far / "0001 Fog, seed 7")
    strip = addon("jobs.film_takes").lay(addon("jobs.take_library").read_take(other, 1), bpy.context.scene, 3, 30)
    current = addon("jobs.session").current()
    current.collector.begin()
    while current.collector.busy:
        current.collector.tick(float("inf"))
    here = tmp_path / "film" / "wan" / "0003 Fog, seed 7"
    assert (
        Path(bpy.path.abspath(strip.directory)) == here
        and json.loads((here / "take.json").read_bytes())["job_id"] == f"{9:032x}"
    )
    assert (Path(film[0].folder) / "0004.png").is_file()


@pytest.mark.parametrize("name", ["0001 the one for the trailer", "0008 Fog at noon, seed 7"])
def test_a_folder_whose_words_a_person_changed_is_found_and_listed(film, addon, name) -> None:
    renamed = Path(film[0].folder).rename(Path(film[0].folder).with_name(name))
    assert bpy.ops.wan_vse.find_takes() == FINISHED
    assert str(renamed) in folders(addon)
    library = addon("jobs.film_takes").library()
    library.look(addon("jobs.film_takes").places())
    while library.busy:
        library.tick(float("inf"))
    assert {take.job_id: take.folder for take in library.takes()}[film[0].job_id] == str(renamed)
    trashed = addon("jobs.take_folders").move_to_trash(renamed)
    assert addon("jobs.take_folders").bring_back(trashed) == renamed


def test_the_search_by_settings_goes_on_in_slices(film, addon) -> None:
    lost_takes = addon("jobs.lost_takes")
    for take in film:
        Path(take.folder).rename(Path(take.folder).with_name(f"00{take.seed % 10 + 10} {take.job_id[-3:]}"))
    search, steps = lost_takes.Search(lost_takes.lost()), 1
    while not search.go_on(0.0):
        steps += 1
    assert steps > 2 and search.found.keys() == {take.job_id for take in film}


def test_a_copy_of_a_renamed_take_never_joins_another_that_has_its_name(film, addon, tmp_path) -> None:
    take_folders = addon("jobs.take_folders")
    renamed = Path(film[0].folder).rename(Path(film[0].folder).with_name("0001 best"))
    (tmp_path / "there" / "0001 best").mkdir(parents=True)
    assert take_folders.place_for(renamed, tmp_path / "there").name != "0001 best"


@pytest.mark.parametrize("how", ["by itself", "its folder", "the folder above"])
def test_a_folder_that_a_person_has_called_otherwise_is_found(film, addon, tmp_path, how) -> None:
    """A copy with a picture too few is not taken for it."""
    one = Path(film[0].folder)
    there = one.parent if how == "by itself" else tmp_path / "disk"
    there.mkdir(exist_ok=True)
    renamed = one.rename(there / "the best\u202e one")
    (shutil.copytree(renamed, there / "a copy") / "0003.png").unlink()
    (there / "no take").mkdir()
    (there / "no take" / "take.json").write_text("[" * 9000)
    chosen = {"by itself": "", "its folder": str(renamed), "the folder above": str(there)}[how]
    assert bpy.ops.wan_vse.find_takes(directory=chosen) == FINISHED
    assert sorted(folders(addon)) == sorted([str(renamed), film[1].folder])
    assert Path(bpy.path.abspath(strip_of(addon).directory)) == renamed
    assert not addon("jobs.take_folders").is_ours(renamed), "it is played, and neither moved nor removed"
