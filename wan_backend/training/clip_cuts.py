"""Sources to clips: 4k + 1 of the model's frames each, at its rate; and what is black or alike among them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from ..protocol.messages import MAX_CLIPS, Source

BLACK_LEVEL, BLACK_SPREAD = 12.0, 4.0
"""A clip is black whose pictures have less brightness, and less of a difference in it, of 255."""
PRINT_SIDE = 16
ALIKE = 3.0
"""Mean difference of two clips' small gray pictures, of 255, below which they are nearly the same."""


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
    found = [clip for number, source in enumerate(sources) for clip in _cut(number, source, step, frames, least)]
    return found[:: max(1, math.ceil(len(found) / MAX_CLIPS))]


def _cut(number: int, source: Source, step: Fraction, frames: int, least: int) -> list[ClipCut]:
    there = int((source.frames - 1) / step) + 1
    own = min(frames, (there - 1) // 4 * 4 + 1)
    if own < max(5, least):
        return [ClipCut(number, (source.frames // 2,))]
    starts = list(range(0, there - own + 1, own))
    if there - own - starts[-1] > own // 2:
        starts.append(there - own)
    last = source.frames - 1
    return [
        ClipCut(number, tuple(min(last, math.floor((start + frame) * step + Fraction(1, 2))) for frame in range(own)))
        for start in starts
    ]


def is_black(pictures: Sequence[np.ndarray]) -> bool:
    """Whether a clip shows nothing: all of its pictures are black."""
    return all(float(each.mean()) < BLACK_LEVEL and float(each.std()) < BLACK_SPREAD for each in pictures)


def fingerprint(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(3, 16, 16, 3): the first picture, the middle one and the last, small."""
    chosen = [pictures[0], pictures[len(pictures) // 2], pictures[-1]]
    return np.stack([cv2.resize(each, (PRINT_SIDE, PRINT_SIDE), interpolation=cv2.INTER_AREA) for each in chosen])


def are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two clips are nearly the same by their fingerprints."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean()) < ALIKE


def caption_of(caption: str, for_all: str, trigger: str) -> str:
    """A clip's caption: its own or that for all, with the trigger before it if that isn't in it."""
    words = caption.strip() or for_all.strip()
    if not trigger or _trigger(trigger).search(words):
        return words
    return f"{trigger}, {words}" if words else trigger


def without_trigger(caption: str, for_all: str, trigger: str) -> str:
    """The caption as it would be said of what was not learned."""
    words = caption.strip() or for_all.strip()
    words = _trigger(trigger).sub("", words) if trigger else words
    return " ".join(words.strip(" ,.;:").split())


def _trigger(trigger: str) -> re.Pattern[str]:
    """As a word: "ink" isn't in "a drinking cat"."""
    return re.compile(rf"(?<!\w){re.escape(trigger)}(?!\w)", re.IGNORECASE)
