"""Seams, where made frames meet kept ones: the made frames take their color, and ease into their motion.

Color: kept frames come back from the model slightly changed. What restores the true ones, a gain and an offset for each
channel, is measured at each seam and applied to the frames made between, interpolated from one seam to the other. It's
always the source that is measured, never a made frame, so nothing adds up over a long take.

Motion: a made frame beside a kept one is close to what should be there, except for detail that the autoencoder lost and
for things that lag or hurry. Its difference to the continued motion of the kept frames is measured at the frame beside
the seam, as a shift and as levels. It is added to the frames from there on, carried along with what moves, until it
has faded. Frames are counted from the seam, to either side.

What is corrected is also how far the take misses its neighbor: the seam's jump. It is measured before the frames are
eased, for afterwards the frame beside the seam is right by construction, and the frames behind it hurry or lag.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..protocol.messages import MAX_JUMP, Jump
from .motion import Motion, can_be_followed, carried, flow, mean_color, mean_length

EASED_FRAMES = 6
"""This many made frames beside a seam are changed, less and less: about three eighths of a second."""


SEEN_MOTION = 1 / 1000
"""Of the picture's diagonal: a neighbor that moves less in a frame is taken to move that much, as no one sees less."""
SEEN_LEVELS = 2.0
"""The same for its levels (of 255), which grain alone changes that much, and for the mean of a channel."""


class Seam:
    """One seam: what is added to the made frames beside it. Pictures are uint8 (H, W, 3) RGB of one size."""

    jump: Jump | None = None
    """How far the made frame at the seam misses what the neighbor leads to; None if too little of that is known."""

    def __init__(self, beside: np.ndarray, shift: np.ndarray | None, left: np.ndarray, frames: int) -> None:
        """`beside` is the made frame at the seam; `shift` (H, W, 2) and then `left` (H, W, 3) correct it.

        The correction fades over `frames` made frames.
        """
        self._beside, self._shift, self._left, self._frames = beside, shift, left, frames

    @classmethod
    def going_on(cls, far: np.ndarray, near: np.ndarray, ratio: float, beside: np.ndarray, frames: int) -> Seam:
        """A seam where the made frame continues the motion from `far` to `near`, the kept frame at the seam.

        `ratio` is the time from `near` to the made frame over the time from `far` to `near`.
        """
        kept = Motion(far, near)
        expected = kept.beyond(ratio)
        between = Motion(expected, beside)
        if not can_be_followed(beside) or between.is_cut:
            seam = cls(beside, None, expected.astype(np.float32) - beside, frames)
        else:
            shift = flow(expected, beside)
            seam = cls(beside, shift, expected.astype(np.float32) - carried(beside, shift), frames)
        seam.jump = seam._jump_from(kept, ratio)
        return seam

    @classmethod
    def of_detail(cls, true: np.ndarray, decoded: np.ndarray, beside: np.ndarray, frames: int) -> Seam:
        """A seam that only restores the detail which the kept frame lost in decoding; the motion is the model's."""
        lost = true.astype(np.float32) - decoded
        if can_be_followed(beside):
            lost = carried(lost, flow(beside, decoded), smooth=True)
        return cls(beside, None, lost, frames)

    def _jump_from(self, kept: Motion, ratio: float) -> Jump:
        """What the seam corrects, in units of what the neighbor's own frames change by in the time of a made one."""
        own = kept.change
        height, width = self._beside.shape[:2]
        pixels = max(own.pixels * ratio, SEEN_MOTION * math.hypot(width, height))
        level, color = max(own.levels * ratio, SEEN_LEVELS), max(own.color * ratio, SEEN_LEVELS)
        moved = 0.0 if self._shift is None else mean_length(self._shift)
        figures = moved / pixels, float(np.abs(self._left).mean()) / level, mean_color(self._left) / color
        return Jump(*(round(min(figure, MAX_JUMP), 2) for figure in figures))

    def apply(self, distance: int, picture: np.ndarray) -> np.ndarray:
        """The made frame at `distance` frames from the one beside the seam, corrected."""
        if distance >= self._frames:
            return picture
        weight = np.float32(0.5 + 0.5 * math.cos(math.pi * distance / self._frames))
        left, shift = self._left, self._shift
        if distance and can_be_followed(picture):
            way = flow(picture, self._beside)
            left = carried(left, way, smooth=True)
            shift = None if shift is None else carried(shift, way, smooth=True)
        moved = picture if shift is None else carried(picture, shift * weight)
        return np.asarray(cv2.add(left * weight, moved.astype(np.float32), dtype=cv2.CV_8U))


FLAT_LEVELS = 1.0
"""A channel with a smaller standard deviation of its levels is only shifted."""
GAIN_LIMITS = (0.8, 1.25)
"""A gain beyond these limits means that the pictures differ in more than color."""


@dataclass(frozen=True)
class Correction:
    """`picture * gain + offset` for each channel, in levels of 0..255."""

    gain: np.ndarray
    offset: np.ndarray


class ColorMatch:
    """The color correction of every frame between two seams."""

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
        """The match measured on pairs of made and true pictures (uint8 RGB) at the seam before and the one after.

        `first` and `last` are the model's frames at the seams: the last kept one before, the first kept one after.
        Without a seam on one side, the other's correction holds to the end; without any, nothing is corrected.
        """
        return cls(_correction(before), _correction(after), first, last)

    def apply(self, model_frame: int, picture: np.ndarray) -> np.ndarray:
        """The picture (uint8 RGB) of that frame of the model, corrected."""
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
    """The gain and offset that give the made pictures the true ones' mean and spread; None without pairs."""
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
