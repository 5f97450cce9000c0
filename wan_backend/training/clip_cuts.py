"""What a training's clips show, which are black or alike among them; and what their captions say."""

from __future__ import annotations

import re
from collections.abc import Sequence

import cv2
import numpy as np

BLACK_LEVEL, BLACK_SPREAD = 12.0, 4.0
"""A clip is black whose pictures have less brightness, and less of a difference in it, of 255."""
PRINT_SIDE = 16
ALIKE = 3.0
"""Mean difference of two clips' small gray pictures, of 255, below which they are nearly the same."""


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
