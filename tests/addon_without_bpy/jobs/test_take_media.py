"""Whether takes' files are there is kept, and the disk is asked in ticks alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

DONE = float("inf")


@pytest.fixture
def module(addon):
    return addon("jobs.take_media")


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def look(module, clock):
    return module.MediaLook(lambda: clock[0])


def put(module, folder: Path, frames: int = 3, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(frames):
        (folder / f"{index + 1:04d}.png").write_bytes(b"png")
    (folder / "take.json").write_text(json.dumps(settings))
    return module.TakePlace(str(folder), "0001.png", frames)


def test_a_draw_gets_what_is_kept_and_the_disk_is_asked_later(module, look, tmp_path, monkeypatch) -> None:
    place = put(module, tmp_path / "take", made="2026-11-28T14:02:00+00:00")
    with monkeypatch.context() as patched:
        for name in ("stat", "lstat", "listdir", "open"):
            patched.setattr(module.os, name, lambda *_: pytest.fail("a draw asked the disk"))
        assert look.of(place) is None and look.busy
    assert look.tick(DONE) and not look.busy
    assert look.of(place) == module.TakeMedia("", 1795874520.0)


def test_what_goes_is_seen_after_a_while_and_comes_back(module, look, clock, tmp_path) -> None:
    place = put(module, tmp_path / "take")
    look.of(place)
    look.tick(DONE)
    (tmp_path / "take" / "0002.png").unlink()
    look.of(place)
    assert not look.busy, "it was looked at a moment ago"
    clock[0] += 60
    assert not look.of(place).is_gone and look.tick(DONE)
    assert look.of(place).missing == "0002.png"
    (tmp_path / "take").rename(tmp_path / "moved")
    clock[0] += 60
    look.of(place)
    assert look.tick(DONE) and look.of(place).missing == "0001.png"
    (tmp_path / "moved").rename(tmp_path / "take")
    put(module, tmp_path / "take")
    clock[0] += 60
    look.of(place)
    assert look.tick(DONE) and not look.of(place).is_gone


def test_an_unchanged_folder_is_not_listed_again(module, look, clock, tmp_path, monkeypatch) -> None:
    place = put(module, tmp_path / "take")
    os.utime(tmp_path / "take", (1000, 1000))
    look.of(place)
    look.tick(DONE)
    monkeypatch.setattr(module.picture_files, "files_in", lambda *_: pytest.fail("listed again"))
    clock[0] += 60
    look.of(place)
    assert look.busy and not look.tick(DONE)


def test_a_tick_looks_at_one_at_least_and_leaves_the_rest(module, look, tmp_path) -> None:
    places = [put(module, tmp_path / str(number)) for number in range(5)]
    for place in places:
        look.of(place)
    ticks = 1
    while look.tick(0.0) and look.busy:
        ticks += 1
    assert ticks == 5


@pytest.mark.parametrize("folder", ["/a\0b", "", "/no/such/folder", "relative"])
def test_odd_folders_are_gone(module, look, folder) -> None:
    place = module.TakePlace(folder, "take.mp4", 1)
    look.of(place)
    look.tick(DONE)
    assert look.of(place) == module.TakeMedia("take.mp4", 0.0)


@pytest.mark.parametrize("made", ["tomorrow", 7, None, "9" * 50])
def test_without_its_own_date_the_settings_file_has_one(module, tmp_path, made) -> None:
    put(module, tmp_path / "take", made=made)
    os.utime(tmp_path / "take" / "take.json", (1000, 1000))
    assert module.made_seconds(str(tmp_path / "take")) == 1000.0


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_only_has_the_name_of_a_picture_is_missing(module, look, tmp_path, kind) -> None:
    place = put(module, tmp_path / "take")
    file = tmp_path / "take" / "0002.png"
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "loop":
        file.symlink_to(file)
    elif hasattr(os, "mkfifo"):
        os.mkfifo(file)
    look.of(place)
    look.tick(DONE)
    assert look.of(place).missing == "0002.png"


def test_a_picture_behind_a_link_is_there(module, look, tmp_path) -> None:
    place = put(module, tmp_path / "take")
    (tmp_path / "take" / "0002.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "take" / "0002.png").symlink_to(tmp_path / "elsewhere.png")
    look.of(place)
    look.tick(DONE)
    assert not look.of(place).is_gone


def test_what_goes_right_after_a_look_is_seen_where_the_disk_counts_time_in_steps(
    module, look, clock, tmp_path
) -> None:
    place = put(module, tmp_path / "take")
    stamp = os.stat(tmp_path / "take").st_mtime_ns
    look.of(place)
    look.tick(DONE)
    (tmp_path / "take" / "0002.png").unlink()
    os.utime(tmp_path / "take", ns=(stamp, stamp))
    clock[0] += 60
    look.of(place)
    assert look.tick(DONE) and look.of(place).missing == "0002.png"
