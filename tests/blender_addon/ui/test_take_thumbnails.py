"""Which file shows a take's first, middle and last picture, and that asking for it costs a draw nothing."""

from __future__ import annotations

import os

import pytest
from fake_backend_frames import png


@pytest.fixture
def thumbnails(addon, scene):
    module = addon("ui.take_thumbnails")
    module.forget()
    yield module
    module.forget()
    module._kept.clear()


@pytest.mark.parametrize(("which", "file"), [("first", "0001.png"), ("middle", "0005.png"), ("last", "0010.png")])
def test_a_take_of_pictures_has_three(thumbnails, tmp_path, which, file) -> None:
    path = thumbnails.picture_path(str(tmp_path), "0001.png", 10, False, which)
    assert path == os.path.join(str(tmp_path), file)


def test_a_take_of_one_frame_and_a_movie_have_one(thumbnails, tmp_path) -> None:
    folder = str(tmp_path)
    assert {thumbnails.picture_path(folder, "0001.png", 1, False, w) for w in ("first", "middle", "last")} == {
        os.path.join(folder, "0001.png")
    }
    assert thumbnails.picture_path(folder, "take.mkv", 9, True, "last") == os.path.join(folder, "take.mkv")


@pytest.mark.parametrize("folder", ["", "beside", "/a\0b"])
def test_what_can_be_no_take_has_no_file(thumbnails, folder) -> None:
    assert thumbnails.picture_path(folder, "0001.png", 3, False) == ""
    assert thumbnails.picture_path("/takes", "../secret.png", 3, False) == ""
    assert thumbnails.picture_path("/takes", "../secret.mkv", 3, True) == ""


def test_without_a_window_nothing_is_asked_for(thumbnails, tmp_path) -> None:
    assert thumbnails.icon_of(str(tmp_path), "0001.png", 3, False) == 0
    assert thumbnails._asked == {}


def test_a_few_a_tick_are_loaded_and_what_is_missing_is_not_looked_for_again(thumbnails, tmp_path) -> None:
    for index in range(6):
        (tmp_path / f"{index + 1:04d}.png").write_bytes(png(index))
    paths = [str(tmp_path / f"{index + 1:04d}.png") for index in range(7)]
    thumbnails._asked.update(dict.fromkeys(paths))
    assert thumbnails._load() is not None, "the rest is for the next tick"
    assert len(thumbnails._kept) == thumbnails.AT_ONCE
    assert thumbnails._load() is None
    assert [path in thumbnails._kept for path in paths] == [True] * 6 + [False]
    assert thumbnails._missing == {paths[6]}
