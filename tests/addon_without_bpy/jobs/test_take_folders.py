"""Only folders of takes are moved and removed, whatever a file claims; and what other films name is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

JOB = "5" * 32


@pytest.fixture
def folders(addon):
    return addon("jobs.take_folders")


@pytest.fixture
def take(tmp_path) -> Path:
    folder = tmp_path / "wan" / JOB
    folder.mkdir(parents=True)
    (folder / "take.json").write_text(json.dumps({"job_id": JOB}))
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


def another_name(take: Path) -> Path:
    return take.rename(take.with_name("my footage"))


def anothers_settings(take: Path) -> Path:
    (take / "take.json").write_text(json.dumps({"job_id": "6" * 32}))
    return take


def no_settings(take: Path) -> Path:
    (take / "take.json").unlink()
    return take


def a_link(take: Path) -> Path:
    elsewhere = take.rename(take.parent.parent / "elsewhere")
    take.symlink_to(elsewhere, target_is_directory=True)
    return take


@pytest.mark.parametrize("spoil", [another_name, anothers_settings, no_settings, a_link])
def test_what_is_no_take_stays(folders, take, spoil) -> None:
    folder = spoil(take)
    with pytest.raises(folders.NotOurs):
        folders.move_to_trash(folder)
    assert (folder / "0001.png").is_file()


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
