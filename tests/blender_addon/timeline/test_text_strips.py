"""Which text strips are in the picture that a take is made from."""

from __future__ import annotations

import pytest
from cut import cut

__all__ = ["cut"]


@pytest.fixture
def burnt(addon, cut):
    """burnt(...) gives the names of the text strips in what a restyle of the selected strips is made from."""
    targets, messages = addon("timeline.targets"), addon("timeline.targets").Task

    def find(*names: str) -> list[str]:
        found = targets.find_targets(cut.scene, cut.select(*names), messages.RESTYLE, targets.TargetSettings())
        assert not isinstance(found, str), found
        return addon("timeline.text_strips").burnt_into(cut.scene, found[0])

    cut.shot("A", 1, 41)
    cut.shot("B", 21, 61, 2)
    cut.text("The end", 30, 50)
    return find


def test_the_words_over_what_the_preview_shows_are_in_it(burnt, cut) -> None:
    assert burnt("A", "B") == ["The end"]
    cut.scene.use_preview_range = True
    cut.scene.frame_preview_start, cut.scene.frame_preview_end = 10, 30
    assert burnt() == ["The end"]
    cut.scene.frame_preview_end = 29
    assert burnt() == []


def test_a_strip_alone_is_sent_without_them(burnt) -> None:
    assert burnt("A") == []


def test_what_the_preview_does_not_show_is_not_in_it(burnt, cut) -> None:
    cut.strips["The end"].mute = True
    assert burnt("A", "B") == []
    cut.strips["The end"].mute = False
    cut.text(" ", 30, 50, 6)
    assert burnt("A", "B") == ["The end"]


def test_a_take_of_a_prompt_alone_has_none(addon, cut) -> None:
    assert addon("timeline.text_strips").burnt_into(cut.scene, None) == []
