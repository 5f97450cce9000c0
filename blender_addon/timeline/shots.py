"""The shot that a strip belongs to: what a studio's tracker noted on it, or on the strip that marks it.

Blender Kitsu marks each shot of an edit with a strip of its own, whose properties name it; takes and footage of the
shot lie above or below. Such a strip is never renamed, replaced or moved by us.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from . import compat, untrusted

KITSU = "kitsu"
"""The property group that Blender Kitsu gives to strips; a plain property where that add-on isn't enabled."""
SHOT = "wan_vse_shot"
"""The shot of a strip that came with a cut, where it was named."""
MAX_SHOT_CHARACTERS = 200


class Marks:
    """The shots that some strips of a timeline mark."""

    def __init__(self, strips: Iterable[compat.Strip]) -> None:
        marks = ((compat.start(strip), compat.end_exclusive(strip), _tracked(strip)) for strip in strips)
        self._marks = sorted(mark for mark in marks if mark[2])

    def at(self, frame: int) -> str:
        """The shot that is marked at a frame; empty for none. Where several are, the one that began last."""
        at = bisect.bisect_right(self._marks, frame, key=lambda mark: mark[0])
        _, end, shot = self._marks[at - 1] if at else (0, frame, "")
        return shot if frame < end else ""


def shot_of(strip: compat.Strip) -> str:
    """The shot that the strip itself is, or is noted to belong to; empty for none."""
    return _tracked(strip) or untrusted.text_in(strip, SHOT)[:MAX_SHOT_CHARACTERS]


def _tracked(strip: compat.Strip) -> str:
    sequence, shot = (_text(compat.property_of_others(strip, KITSU, key)) for key in ("sequence_name", "shot_name"))
    return " ".join(filter(None, (sequence, shot)))[:MAX_SHOT_CHARACTERS] if shot else ""


def _text(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
