"""Sources of a training to clips: which frames, 4k + 1 of the model's each, at its rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..protocol.messages import MAX_CLIPS, Plan, Source

SHORTEST = 5
"""Fewer of the model's frames show no motion: such a source gives a still."""


@dataclass(frozen=True)
class ClipCut:
    """One clip: which frames of a source it shows, counted from that one's first."""

    source: int
    """Its number in the request."""
    frames: tuple[int, ...]
    """As many as the model's: each is the source's frame nearest in time."""


def cut(sources: Sequence[Source], step: Fraction, frames: int, least: int) -> list[ClipCut]:
    """The clips of the sources, at most MAX_CLIPS, of `frames` of the model's at most.

    `step` is how many frames of the scene pass in one of the model's. A long source gives several, one after the other,
    of which the last ends with it. One that is shorter than `least` of the model's frames gives a still, its middle.
    """
    found = [(number, *each) for number, source in enumerate(sources) for each in _starts(source, step, frames, least)]
    chosen = found[:: max(1, math.ceil(len(found) / MAX_CLIPS))]
    return [ClipCut(number, _frames(sources[number], step, start, own)) for number, start, own in chosen]


def _starts(source: Source, step: Fraction, frames: int, least: int) -> list[tuple[int, int]]:
    """The first of the model's frames of each clip of a source, and how many it has; (0, 0) for a still."""
    there = int((source.frames - 1) / step) + 1
    own = min(frames, (there - 1) // 4 * 4 + 1)
    if own < max(SHORTEST, least):
        return [(0, 0)]
    starts = list(range(0, there - own + 1, own))
    if there - own - starts[-1] > own // 2:
        starts.append(there - own)
    return [(start, own) for start in starts]


def _frames(source: Source, step: Fraction, start: int, own: int) -> tuple[int, ...]:
    last = source.frames - 1
    if not own:
        return (source.frames // 2,)
    return tuple(min(last, math.floor((start + frame) * step + Fraction(1, 2))) for frame in range(own))


def frames_read(source: Source, step: Fraction, plan: Plan) -> list[int]:
    """The frames that clips may be cut of, in order: whatever the model's least, and how many clips there are."""
    starts = _starts(source, step, plan.model_frames, SHORTEST)
    found = {frame for start, own in starts for frame in _frames(source, step, start, own)}
    return sorted(found | {source.frames // 2})
