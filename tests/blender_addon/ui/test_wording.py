"""Times, sizes, states and broken lines."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (900, "15 min"),
        (3900, "1 h 5 min"),
        (7200, "2 h"),
    ],
)
def test_durations(addon, seconds: float, words: str) -> None:
    assert addon("ui.wording").duration(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(1, "1 MB"), (640_000_000, "640 MB"), (2_400_000_000, "2.4 GB")])
def test_sizes(addon, size: int, words: str) -> None:
    assert addon("ui.wording").size(size) == words


def test_every_state_has_words_and_an_icon(addon) -> None:
    wording = addon("ui.wording")
    assert set(wording.STATE_WORDS) == set(wording.STATE_ICONS) == set(wording.JobState)


def test_no_line_is_wider_than_asked(addon) -> None:
    paragraph = addon("ui.paragraph")
    text = "A red fox crosses a frozen lake. " * 5 + "/a/very/long/path/without/any/spaces/at/all" * 4
    lines = paragraph.broken(text, 200, 11.0)
    assert len(lines) > 4
    assert all(paragraph._width(line) <= 200 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_line_breaks_are_kept(addon) -> None:
    assert addon("ui.paragraph").broken("one\ntwo", 400, 11.0) == ("one", "two")
