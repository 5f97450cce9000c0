"""The picture of a take that is being made: read outside the draw, one for each job, gone with it."""

from __future__ import annotations

import struct

import pytest


@pytest.fixture
def live(addon, scene):
    module = addon("ui.live_preview_icon")
    yield module
    module._asked.clear()
    module._steps.clear()
    module._small.clear()
    if module._kept is not None:
        module._kept.clear()


@pytest.fixture
def path(tmp_path):
    """Writes a step's picture as the worker does; returns the path that the status has."""

    def write(level: int, width: int = 384, height: int = 216) -> str:
        rows = [bytes([level, 0, 255, 255]) * width] * (height - 1) + [bytes([255]) * 4 * width]
        (tmp_path / "preview.rgba").write_bytes(struct.pack("<II", width, height) + b"".join(rows))
        (tmp_path / "preview.jpg").write_bytes(b"a JPEG")
        return str(tmp_path / "preview.jpg")

    return write


def test_a_step_s_picture_is_read_by_the_timer_and_replaced_by_the_next(live, path):
    import bpy

    shown = path(51)
    live.want(shown, 1)
    assert shown not in live._kept and bpy.app.timers.is_registered(live._read)
    live._read()
    assert tuple(live._kept[shown].image_size) == (384, 216)
    assert list(live._kept[shown].image_pixels_float[:8]) == pytest.approx([0.2, 0, 1, 1] * 2, abs=0.01)
    assert live._kept[shown].image_pixels_float[4 * 384 * 215] == pytest.approx(1)  # the upper row comes last
    live.want(path(102), 2)
    live._read()
    assert live._kept[shown].image_pixels_float[0] == pytest.approx(0.4, abs=0.01)
    assert len(live._kept) == 1
    bpy.app.timers.unregister(live._read)


def test_the_timeline_gets_it_small_and_with_its_colors(live, path):
    import bpy

    shown = path(51)
    live.want(shown, 7)
    live._read()
    bpy.app.timers.unregister(live._read)
    picture = live._small[shown]
    assert (picture.step, picture.width, picture.height) == (7, 128, 72)
    assert len(picture.values) == 4 * 128 * 72
    assert list(picture.values[:4]) == pytest.approx([0.2, 0, 1, 1], abs=0.01)
    live.unregister()
    assert live._small == {}
    live.register()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (129, 3), (1024, 1), (7, 1024)])
def test_any_size_is_made_small(live, width, height):
    picture = live.small(1, width, height, memoryview(bytes(4 * width * height)).cast("i"))
    assert (
        max(picture.width, picture.height) <= live.SMALL_SIDE
        and len(picture.values) == 4 * picture.width * picture.height
    )


PLACES = [
    ((10, 0, 210, 40), (141, 1, 209, 39)),  # at the right end, as high as the strip
    ((-500, 0, 5000, 40), (931, 1, 999, 39)),  # of what is seen of it
    ((10, 0, 210, 20), None),  # too low
    ((10, 0, 110, 40), None),  # too narrow: its words need the room
]


@pytest.mark.parametrize(("strip", "there"), PLACES)
def test_the_picture_has_its_place_on_the_strip(addon, stand_in, monkeypatch, strip, there):
    picture, box = addon("ui.live_picture"), addon("operators.browser_grid").Box
    made = addon("ui.live_preview_icon").SmallPicture(1, 128, 72, None)
    monkeypatch.setattr(picture.live_preview_icon, "small_of", lambda job: made)
    place = picture.place(stand_in.add("a" * 32, "denoising"), box(*strip), 1000, 1.0)
    assert (place and tuple(round(edge) for edge in place)) == there


def test_the_same_step_is_not_read_again(live, path):
    shown = path(51)
    live.want(shown, 1)
    live._read()
    live.want(shown, 1)
    assert live._asked == {}


def test_the_picture_goes_with_the_job(live, path, tmp_path):
    shown = path(51)
    live.want(shown, 1)
    live._read()
    (tmp_path / "preview.jpg").unlink()
    live.want(str(tmp_path / "other.jpg"), 1)
    (tmp_path / "preview.rgba").unlink()
    live._read()
    assert len(live._kept) == 0 and live._steps == {}


@pytest.mark.parametrize("content", [b"", b"nonsense" * 9, struct.pack("<II", 4000, 10) + bytes(160_000)])
def test_what_is_no_picture_is_passed_over(live, path, tmp_path, content):
    shown = path(51)
    (tmp_path / "preview.rgba").write_bytes(content)
    live.want(shown, 1)
    live._read()
    assert len(live._kept) == 0


def test_without_a_window_a_draw_asks_for_nothing(live, stand_in):
    live.draw(None, stand_in.add("a" * 32, "denoising", preview="/nowhere/preview.jpg", step=3))
    assert live._asked == {}
