"""The seams at pictures that a take keeps in its midst: the made frames at both sides ease into the picture.

The picture itself is written as it is. What its decoded frame lost against it is added to the frames around, less and
less, as at a first picture (frames.seam).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from ..frames.seam import EASED_FRAMES, Seam

Numbered = tuple[int, np.ndarray]


def eased(
    numbered: Iterator[Numbered], kept: Mapping[int, np.ndarray], pictures: Collection[int], frames: int
) -> Iterator[Numbered]:
    """The decoded pictures of all `frames` in order, those in `pictures` replaced by the kept ones and eased into.

    `kept` are all frames that are given. Only the few made frames before a picture wait for it.
    """
    widths = {number: _widths(number, kept, frames) for number in pictures}
    waits = {number - back: number for number, (width, _) in widths.items() for back in range(1, width + 1)}
    waiting: deque[Numbered] = deque()
    out_of: tuple[int, np.ndarray] | None = None
    seam: Seam | None = None
    for number, picture in numbered:
        if number in widths:
            yield from _into(number, kept[number], picture, waiting)
            yield number, kept[number]
            out_of, seam = (number, picture), None
            continue
        if out_of is not None and number not in kept and number <= out_of[0] + widths[out_of[0]][1]:
            near, decoded = out_of
            seam = seam or Seam.of_detail(kept[near], decoded, picture, widths[near][1])
            picture = seam.apply(number - near - 1, picture)
        if number in waits:
            waiting.append((number, picture))
        else:
            yield number, picture


def _widths(number: int, kept: Mapping[int, np.ndarray], frames: int) -> tuple[int, int]:
    """How many made frames before a picture and after it are eased; between two that are given, each has its half."""
    found = []
    for step in (-1, 1):
        there = number + step
        while 0 <= there < frames and there not in kept:
            there += step
        made = abs(there - number) - 1
        found.append(min(EASED_FRAMES, made // 2 if there in kept else made))
    return found[0], found[1]


def _into(number: int, true: np.ndarray, decoded: np.ndarray, waiting: deque[Numbered]) -> Iterator[Numbered]:
    """The made frames that waited for the picture, eased into it."""
    seam: Seam | None = None
    while waiting:
        early, made = waiting.popleft()
        seam = seam or Seam.of_detail(true, decoded, waiting[-1][1] if waiting else made, number - early)
        yield early, seam.apply(number - early - 1, made)
