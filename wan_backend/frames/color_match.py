"""Made frames take the color of the frames that they meet at a seam. May import numpy and opencv.

Kept frames come back from the model a little off. What brings them back to the true ones, a gain and an offset a
channel, is measured at each seam and laid on the frames made between, from one seam's to the other's. It's always
the source that is measured, never a made frame, so nothing adds up over a long take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

FLAT_LEVELS = 1.0
"""A channel whose levels differ by less (standard deviation) is only shifted."""
GAIN_LIMITS = (0.8, 1.25)
"""A gain beyond them says that the pictures differ in more than color."""


@dataclass(frozen=True)
class Correction:
    """`picture * gain + offset`, a channel each, in 0..255."""

    gain: np.ndarray
    offset: np.ndarray


NO_CORRECTION = Correction(np.ones(3), np.zeros(3))


class ColorMatch:
    """The correction of every frame between two seams."""

    def __init__(self, before: Correction | None, after: Correction | None, first: int, last: int) -> None:
        self._before, self._after = before, after
        self._first, self._last = first, last

    @classmethod
    def measured(
        cls,
        before: Sequence[tuple[np.ndarray, np.ndarray]],
        after: Sequence[tuple[np.ndarray, np.ndarray]],
        first: int,
        last: int,
    ) -> ColorMatch:
        """From pairs of made and true pictures (uint8 RGB) at the seam before and the one after.

        `first` and `last` are the model's frames at the seams: the last kept one before, the first kept one after.
        Where there is no seam on a side, the other's correction holds to the end; where there is none, none.
        """
        return cls(_correction(before), _correction(after), first, last)

    def apply(self, model_frame: int, picture: np.ndarray) -> np.ndarray:
        """The picture (uint8 RGB) of that model's frame, corrected."""
        found = self._at(model_frame)
        if found is None:
            return picture
        levels = np.arange(256, dtype=np.float64)[:, None] * found.gain + found.offset
        table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(picture, table[None]))

    def _at(self, model_frame: int) -> Correction | None:
        if self._before is None or self._after is None:
            return self._before or self._after
        share = (model_frame - self._first) / max(self._last - self._first, 1)
        share = min(max(share, 0.0), 1.0)
        return Correction(
            self._before.gain * (1 - share) + self._after.gain * share,
            self._before.offset * (1 - share) + self._after.offset * share,
        )


def _correction(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Correction | None:
    """The gain and offset that bring the made pictures to the true ones' mean and spread; None without pairs."""
    if not pairs:
        return None
    (made, spread), (true, true_spread) = (_moments([pair[side] for pair in pairs]) for side in (0, 1))
    gain = np.where(spread > FLAT_LEVELS, true_spread / np.maximum(spread, FLAT_LEVELS), 1.0).clip(*GAIN_LIMITS)
    return Correction(gain, true - gain * made)


def _moments(pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel over all the pictures."""
    each = np.array([np.concatenate(cv2.meanStdDev(picture), axis=1) for picture in pictures], np.float64)
    mean = each[..., 0].mean(axis=0)
    squares = (each[..., 1] ** 2 + each[..., 0] ** 2).mean(axis=0)
    return mean, np.sqrt(np.maximum(squares - mean**2, 0.0))
