"""Dissolves of a cut: Blender lays an effect over two strips that overlap, other programs two clips of one track.

The second strip joins the track of the first if it has room there, and the cut between them is amid the dissolve.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from ...wan_backend.protocol.cut import CutDissolve
from . import path_rules
from .cut_clips import Placed

Row = tuple[int, bool, int]
"""Channel, whether of sound, and the layer above it."""
Effect = tuple[str, int, int, int]
"""Name, channel, start and length, in frames of the scene."""


class Rows:
    """Clips by the track on which they lie, in order; none of a track lies on another."""

    def __init__(self, clips: Iterable[Placed]) -> None:
        self.by_row: dict[Row, list[Placed]] = defaultdict(list)
        for clip in sorted(clips, key=_start):
            while self.by_row[clip.row] and self.by_row[clip.row][-1].end > clip.clip.start:
                clip.layer += 1
            self.by_row[clip.row].append(clip)

    def is_free(self, row: Row, start: int, end: int, but: Placed) -> bool:
        """Whether no clip but that one lies there in [start, end)."""
        clips = self.by_row[row]
        at = bisect.bisect_left(clips, end, key=_start)
        return not any(clip.end > start and clip is not but for clip in clips[max(0, at - 2) : at])

    def move(self, clip: Placed, row: Row) -> None:
        """Lay a clip on another track."""
        here = self.by_row[clip.row]
        here.pop(next(at for at in range(self._near(here, clip), len(here)) if here[at] is clip))
        if not here:
            del self.by_row[clip.row]
        clip.track, clip.layer = row[0], row[2]
        bisect.insort(self.by_row[row], clip, key=_start)

    @staticmethod
    def _near(clips: list[Placed], clip: Placed) -> int:
        return bisect.bisect_left(clips, clip.clip.start, key=_start)


def _start(clip: Placed) -> int:
    return clip.clip.start


def joined(rows: Rows, first: Placed, second: Placed, effect: Effect) -> CutDissolve | None:
    """The dissolve, once both clips lie on one track; None, with nothing changed, if they can't."""
    name, channel, start, length = effect
    begin, end = second.clip.start, first.end
    middle = (begin + end) // 2
    if (
        first.kind is not second.kind
        or not first.clip.start < begin < end < second.end
        or length != end - begin
        or start != second.strip_start
        or middle < first.fades_until
        or first.fades_on
        or second.fades_on
        or not rows.is_free(first.row, middle, second.end, first)
    ):
        return None
    late = middle - begin
    if second.row != first.row:
        rows.move(second, first.row)
    first.clip = replace(first.clip, length=middle - first.clip.start)
    later = 0 if second.is_held else round(late * abs(second.clip.speed))
    second.clip = replace(
        second.clip, start=middle, length=second.clip.length - late, media_start=second.clip.media_start + later
    )
    first.fades_on, second.fades_until = True, end
    return CutDissolve(0, middle - begin, end - middle, path_rules.shown(name), channel)
