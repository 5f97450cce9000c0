"""Timeline markers as words over time: which of them speak, for which frames, and that text strips come first."""

from __future__ import annotations

import bpy
import pytest
from cut import cut

__all__ = ["cut"]


@pytest.fixture
def mark(scene):
    """mark(frame, name) adds a marker and returns it."""

    def add(frame: int, name: str):
        marker = scene.timeline_markers.new("new", frame=frame)
        marker.name = name
        return marker

    return add


@pytest.fixture
def said(addon, cut):
    """said(start, end) gives (first, last, text) of the words over a take of these frames, and what lies over what."""
    text_strips, targets = addon("timeline.text_strips"), addon("timeline.targets")

    def find(start: int, end: int):
        target = targets.Target(targets.Task.TEXT_TO_VIDEO, start, end, 1)
        found = text_strips.words_over(cut.scene, target, True)
        if isinstance(found, str):
            return found
        return [(each.first, each.last, each.text) for each in found.words], found.over_markers

    return find


def test_a_marker_speaks_until_the_next_one(said, mark) -> None:
    mark(150, "sun")
    mark(80, "rain")
    mark(400, "behind it")
    assert said(100, 200) == ([(0, 49, "rain"), (50, 99, "sun")], False)
    assert said(10, 80) == ([], False)
    assert said(500, 510) == ([(0, 9, "behind it")], False)


def test_a_marker_without_a_name_ends_the_words(said, mark) -> None:
    mark(100, "rain")
    mark(120, "")
    assert said(100, 200) == ([(0, 19, "rain")], False)
    mark(120, " \n ")
    assert said(100, 200) == ([(0, 19, "rain")], False)


def test_markers_of_the_camera_and_with_blenders_names_say_nothing_and_end_nothing(said, mark) -> None:
    mark(100, "rain")
    mark(110, "F_110")
    mark(112, "F_-3")
    mark(115, "Marker.001")
    mark(120, "Close-up").camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    assert said(100, 200) == ([(0, 99, "rain")], False)
    mark(130, "F_110 and fog")
    assert said(100, 200) == ([(0, 29, "rain"), (30, 99, "F_110 and fog")], False)


def test_a_renamed_marker_and_any_letters(said, mark) -> None:
    marker = mark(100, "F_100")
    assert said(100, 110) == ([], False)
    marker.name = "дождь 雨 ☂"
    assert said(100, 110) == ([(0, 9, "дождь 雨 ☂")], False)


def test_of_two_at_one_frame_the_later_one_speaks(said, mark) -> None:
    mark(100, "zebra")
    mark(100, "ant")
    assert said(100, 110) == ([(0, 9, "ant")], False)


def test_where_a_text_strip_lies_only_that_speaks(said, mark, cut) -> None:
    mark(100, "rain")
    mark(150, "sun")
    cut.text("fog", 120, 160)
    assert said(100, 200) == ([(0, 19, "rain"), (20, 59, "fog"), (60, 99, "sun")], True)
    cut.text("all of it", 90, 210, 6)
    words, over = said(100, 200)
    assert words == [(0, 99, "all of it")] and over


def test_too_many_are_refused(said, mark) -> None:
    for number in range(33):
        mark(100 + 10 * number, f"words {number}")
    assert "markers change the words 33 times, and a take has at most 32" in said(100, 500)
