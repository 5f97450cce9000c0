"""Which pictures are shown of a source, and that asking for them costs a draw nothing."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def source(extension, tmp_path):
    messages = importlib.import_module(f"{extension}.wan_backend.protocol.messages")

    def make(role: str, files: int, is_movie: bool = False):
        names = ["film.mp4"] if is_movie else [f"{index:04d}.png" for index in range(files)]
        return messages.Source(messages.Role(role), str(tmp_path), names, is_movie, frames=files)

    return make


@pytest.mark.parametrize(
    ("role", "files", "shown"),
    [
        ("footage", 30, ["0000.png", "0029.png"]),
        ("depth", 30, ["0000.png", "0029.png"]),
        ("before", 30, ["0029.png"]),
        ("after", 30, ["0000.png"]),
        ("first", 1, ["0000.png"]),
    ],
)
def test_the_pictures_that_matter(addon, source, tmp_path, role, files, shown) -> None:
    found = addon("ui.thumbnails").pictures(source(role, files))
    assert found == [(str(tmp_path / name), "IMAGE") for name in shown]


def test_a_movie_has_one(addon, source, tmp_path) -> None:
    assert addon("ui.thumbnails").pictures(source("footage", 30, True)) == [(str(tmp_path / "film.mp4"), "MOVIE")]


def test_without_a_window_nothing_is_asked_for(addon, scene) -> None:
    thumbnails = addon("ui.thumbnails")
    assert thumbnails.icon_of("/nowhere.png", "IMAGE") == 0
    assert thumbnails._asked == {}


def test_what_was_asked_for_is_loaded_later_and_what_is_not_there_never(addon, scene, tmp_path, monkeypatch) -> None:
    import bpy
    from fake_backend_frames import png

    thumbnails = addon("ui.thumbnails")
    (tmp_path / "a.png").write_bytes(png(1))
    paths = [str(tmp_path / "a.png"), str(tmp_path / "lost.png")]
    thumbnails._asked.update(dict.fromkeys(paths, "IMAGE"))
    assert thumbnails._load() is None
    assert [path in thumbnails._kept for path in paths] == [True, False]
    assert not bpy.app.timers.is_registered(thumbnails._load)
    thumbnails._kept.clear()
