"""What stands over a thumbnail, and that asking for one costs a draw nothing."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture
def messages(extension):
    return importlib.import_module(f"{extension}.wan_backend.protocol.messages")


def test_each_picture_has_its_title(addon, messages) -> None:
    title, made = addon("ui.thumbnail_icons").title, messages.Thumbnail
    assert [title(made(role, "a.jpg")) for role in messages.Role], "every role has one"
    assert title(made(messages.Role.FOOTAGE, "a.jpg")) == "Footage"
    assert title(made(messages.Role.FOOTAGE, "a.jpg", control=True)) == "Edges"
    assert title(made(messages.Role.DEPTH, "a.jpg", control=True)) == "Outlines"
    assert title(made(messages.Role.DEPTH, "a.jpg")) == "Depth"


def test_without_a_window_nothing_is_asked_for(addon, scene) -> None:
    thumbnails = addon("ui.thumbnail_icons")
    assert thumbnails.icon_of("/nowhere.jpg") == 0
    assert thumbnails._asked == {}


def test_what_was_asked_for_is_loaded_later_and_what_is_not_there_never(addon, scene, tmp_path) -> None:
    import bpy
    from fake_backend_frames import png

    thumbnails = addon("ui.thumbnail_icons")
    (tmp_path / "a.png").write_bytes(png(1))
    paths = [str(tmp_path / "a.png"), str(tmp_path / "lost.png")]
    thumbnails._asked.update(dict.fromkeys(paths))
    assert thumbnails._load() is None
    assert [path in thumbnails._kept for path in paths] == [True, False]
    assert not bpy.app.timers.is_registered(thumbnails._load)
    thumbnails._kept.clear()
