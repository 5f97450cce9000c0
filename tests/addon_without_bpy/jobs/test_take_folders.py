"""Only folders of takes are moved and removed, whatever a file claims; and what other films name is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

JOB = "5" * 32


@pytest.fixture
def folders(addon):
    return addon("jobs.take_folders")


TITLE = "Häfen at dusk, seed 7"


@pytest.fixture(params=[JOB, f"0003 {TITLE}"], ids=["called after its job", "readable"])
def take(tmp_path, request) -> Path:
    return put(tmp_path / "wan", request.param)


def put(place: Path, name: str, job_id: str = JOB, title: str = TITLE) -> Path:
    folder = place / name
    folder.mkdir(parents=True)
    (folder / "take.json").write_text(json.dumps({"job_id": job_id, "title": title}))
    for name in ("0001.png", "0002.png"):
        (folder / name).write_bytes(b"png")
    return folder


def test_into_the_trash_and_back(folders, take) -> None:
    size = folders.size_bytes(take)
    assert size > 6
    place = folders.move_to_trash(take)
    assert not take.exists() and place.is_dir() and folders.trashed(str(take.parent)) == [place]
    assert folders.bring_back(place) == take
    assert folders.size_bytes(take) == size and folders.trashed(str(take.parent)) == []


def test_removed_for_good_with_its_own_files_alone(folders, take) -> None:
    (take / "my notes.txt").write_text("keep")
    place = folders.move_to_trash(take)
    for _ in folders.remove_for_good(place):
        pass
    assert {file.name for file in place.iterdir()} == {"my notes.txt", "take.json"}
    (place / "my notes.txt").unlink()
    for _ in folders.remove_for_good(place):
        pass
    assert not place.exists()


def another_title(take: Path) -> Path:
    return take.rename(take.with_name("0003 Fog, seed 7"))


def another_name(take: Path) -> Path:
    return take.rename(take.with_name("my footage"))


def no_settings(take: Path) -> Path:
    (take / "take.json").unlink()
    return take


def a_link(take: Path) -> Path:
    elsewhere = take.rename(take.parent.parent / "elsewhere")
    take.symlink_to(elsewhere, target_is_directory=True)
    return take


@pytest.mark.parametrize("spoil", [another_name, no_settings, a_link])
def test_what_is_no_take_stays(folders, take, spoil) -> None:
    folder = spoil(take)
    with pytest.raises(folders.NotOurs):
        folders.move_to_trash(folder)
    assert (folder / "0001.png").is_file()


def test_words_that_a_person_changed_leave_it_a_take(folders, take) -> None:
    folder = another_title(take)  # a number is still in front, and its settings name job and title
    place = folders.move_to_trash(folder)
    assert not folder.exists() and folders.bring_back(place) == folder


@pytest.mark.parametrize("settings", [{"job_id": "6" * 32}, {"job_id": "x", "title": TITLE}, {"title": TITLE}, [], 7])
def test_settings_of_another_job_or_of_none_make_it_none_of_ours(folders, tmp_path, settings) -> None:
    named = put(tmp_path, JOB), put(tmp_path, f"0001 {TITLE}")
    for folder in named:
        (folder / "take.json").write_text(json.dumps(settings))
    ours = [folders.is_ours(folder) for folder in named]
    assert ours == [False, settings == {"job_id": "6" * 32, "title": TITLE}]


def test_a_take_is_found_by_its_job_and_title_under_any_number(folders, tmp_path) -> None:
    other = put(tmp_path, f"0001 {TITLE}", "6" * 32)
    assert folders.find(tmp_path, JOB, TITLE) is None
    ours = put(tmp_path, f"0002 {TITLE}")
    assert folders.find(tmp_path, JOB, TITLE) == ours and folders.find(tmp_path, "6" * 32, TITLE) == other
    (ours / "take.json").rename(tmp_path / "kept.json")
    assert folders.find(tmp_path, JOB, TITLE) is None
    old = put(tmp_path, JOB)
    assert folders.find(tmp_path, JOB, "Fog, seed 1") == old
    assert folders.find(tmp_path / "nowhere", JOB, TITLE) is None


def test_a_copy_gets_another_number_only_where_another_take_has_it(folders, tmp_path) -> None:
    far, near = tmp_path / "far", tmp_path / "near"
    take = put(far, f"0001 {TITLE}")
    assert folders.place_for(take, near) == near / f"0001 {TITLE}"
    put(near, f"0001 {TITLE}", "6" * 32)
    put(near / "trash", f"0004 {TITLE}", "7" * 32)
    assert folders.place_for(take, near) == near / f"0005 {TITLE}"
    assert folders.place_for(take, near, {near / f"0005 {TITLE}"}) == near / f"0006 {TITLE}"
    there = put(near, f"0008 {TITLE}")
    assert folders.place_for(take, near) == there, "it was collected before"


def test_what_a_strip_without_marks_plays_is_known_also_in_the_trash(folders, tmp_path) -> None:
    take = put(tmp_path, f"0003 {TITLE}")
    assert folders.job_played(take) == JOB
    folders.move_to_trash(take)
    assert folders.job_played(take) == JOB
    assert folders.job_played(tmp_path / "shots") == "" and folders.job_played(tmp_path / JOB) == JOB


def test_a_trash_that_is_a_link_gets_nothing(folders, take, tmp_path) -> None:
    (tmp_path / "far").mkdir()
    (take.parent / "trash").symlink_to(tmp_path / "far", target_is_directory=True)
    with pytest.raises(folders.NotOurs):
        folders.move_to_trash(take)
    assert take.is_dir()


def test_a_folder_called_trash_without_our_mark_is_none_of_ours(folders, take) -> None:
    place = take.parent / "trash" / JOB
    place.parent.mkdir()
    take.rename(place)
    assert folders.trashed(str(take.parent)) == []
    with pytest.raises(folders.NotOurs):
        next(folders.remove_for_good(place))
    with pytest.raises(folders.NotOurs):
        folders.bring_back(place)


def test_what_is_there_already_is_not_written_over(folders, take) -> None:
    place = folders.move_to_trash(take)
    take.mkdir()
    with pytest.raises(FileExistsError):
        folders.bring_back(place)


@pytest.fixture
def look(addon):
    def through(film: Path | str):
        others = addon("jobs.other_films").OtherFilms(str(film))
        while not others.done:
            others.step()
        return others

    return through


def test_ids_in_other_films_are_found_wherever_they_stand(addon, look, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(addon("jobs.other_films"), "PIECE_BYTES", 64)
    film = tmp_path / "film.blend"
    film.write_bytes(b"BLENDER " + b"1" * 32)
    (tmp_path / "film.blend1").write_bytes(b"BLENDER " + b"2" * 32)
    for offset in range(60):
        (tmp_path / f"cut{offset}.blend").write_bytes(b"BLENDER" + b" " * offset + f"{offset:032x}".encode() + b" end")
    found = look(film)
    assert found.named == {f"{offset:032x}" for offset in range(60)} and found.unreadable == []


def test_a_compressed_film_is_named(look, tmp_path) -> None:
    (tmp_path / "other.blend").write_bytes(b"\x28\xb5\x2f\xfd packed")
    assert look(tmp_path / "film.blend").unreadable == ["other.blend"]


def test_a_film_that_was_never_saved_has_no_others(look) -> None:
    found = look("")
    assert found.unreadable == [] and found.named == set()


def test_a_folder_that_another_film_plays_is_named(addon, tmp_path) -> None:
    path = f"//wan/0003 {TITLE}/".encode()
    (tmp_path / "other.blend").write_bytes(b"BLENDER" + b"x" * ((1 << 20) - 20) + path + b"0001.png\0")
    found = addon("jobs.other_films").OtherFilms(str(tmp_path / "film.blend"))
    while not found.done:
        found.step()
    assert found.named == {f"0003 {TITLE}"}


def test_a_take_that_lands_right_after_a_look_is_found_where_the_disk_counts_time_in_steps(folders, tmp_path) -> None:
    place = tmp_path / "wan"
    put(place, "0001 Fog, seed 1", "1" * 32, "Fog, seed 1")
    stamp = place.stat().st_mtime_ns
    assert folders.find(place, JOB, TITLE) is None
    folder = put(place, f"0002 {TITLE}")
    os.utime(place, ns=(stamp, stamp))
    assert folders.find(place, JOB, TITLE) == folder


def test_settings_that_come_right_after_a_look_are_read(folders, tmp_path) -> None:
    folder = tmp_path / f"0002 {TITLE}"
    folder.mkdir()
    stamp = folder.stat().st_mtime_ns
    assert folders.job_played(folder) == ""
    put(tmp_path / "other", folder.name)
    (tmp_path / "other" / folder.name / "take.json").rename(folder / "take.json")
    os.utime(folder, ns=(stamp, stamp))
    assert folders.job_played(folder) == JOB
