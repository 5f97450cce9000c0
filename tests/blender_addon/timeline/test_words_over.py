"""Which words of the text strips hold when, over a take's frames."""

from __future__ import annotations

import pytest
from cut import cut

__all__ = ["cut"]


@pytest.fixture
def over(addon, cut):
    """over(start, end) gives the words over a take of these frames: (first, last, text) of each."""
    text_strips, targets = addon("timeline.text_strips"), addon("timeline.targets")

    def find(start: int, end: int, *sources: str):
        muted: set[int] = set()
        strips = tuple(addon("timeline.selection").summarize(cut.strips[name], muted) for name in sources)
        target = targets.Target(targets.Task.TEXT_TO_VIDEO, start, end, 1, sources=strips)
        found = text_strips.words_over(cut.scene, target)
        if isinstance(found, str):
            return found
        return [(each.first, each.last, each.text) for each in found.words], found.covered

    return find


def test_each_strip_speaks_for_its_own_frames_of_the_take(over, cut) -> None:
    cut.text("rain", 90, 120)
    cut.text("sun\n comes  out", 130, 150)
    cut.text("later", 200, 220)
    assert over(100, 200) == ([(0, 19, "rain"), (30, 49, "sun comes out")], None)


def test_the_upper_of_two_that_overlap_holds(over, cut) -> None:
    cut.text("rain", 100, 200, 5)
    cut.text("fog", 120, 140, 6)
    assert over(100, 200) == ([(0, 19, "rain"), (20, 39, "fog"), (40, 99, "rain")], ("fog", "rain"))


def test_a_muted_strip_speaks_to_the_model_and_an_empty_one_to_nobody(over, cut) -> None:
    cut.text("rain", 100, 120).mute = True
    cut.text(" \n ", 100, 200, 8)
    assert over(100, 200) == ([(0, 19, "rain")], None)


def test_what_lies_below_the_source_is_not_over_it(over, cut) -> None:
    cut.shot("A", 100, 200, 3)
    cut.text("below", 100, 150, 2)
    cut.text("above", 150, 200, 4)
    assert over(100, 200, "A") == ([(50, 99, "above")], None)


def test_too_many_are_refused_and_a_book_is_not_read_whole(over, cut, addon) -> None:
    book = cut.text("x" * 100_000, 1, 3, 9)
    (((_, _, text),), _) = over(1, 3)
    kept = len(book.text)  # Blender 4.2 keeps 511 characters
    assert len(text) == min(kept, addon("timeline.selection").MAX_TEXT_CHARACTERS)
    for number in range(33):
        cut.text(f"words {number}", 100 + 10 * number, 110 + 10 * number)
    assert "at most 32" in over(100, 500)
    for number in range(33, 70):
        cut.text(f"words {number}", 100 + 10 * number, 110 + 10 * number)
    assert "70 text strips" in over(100, 900)
