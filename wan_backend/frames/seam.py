"""The made frames next to a seam go over into the frames that they meet. May import numpy, opencv and motion.

A model's frame beside a kept one is near to what should be there, but for detail that the autoencoder lost and for
what lags or hurries. What is left to the neighbour's own motion gone on is measured at the frame beside the seam, as
a shift and as levels, and laid on the frames from there on, carried along with what moves, until it has faded.
Frames are counted from the seam, to either side.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from .motion import Motion, can_be_followed, carried, flow

EASED_FRAMES = 6
"""So many made frames beside a seam are changed, less and less: about three eighths of a second."""


class Seam:
    """One seam: what is laid on the made frames beside it. Pictures are uint8 (H, W, 3) RGB of one size."""

    def __init__(self, beside: np.ndarray, shift: np.ndarray | None, left: np.ndarray, frames: int) -> None:
        """`beside` is the made frame at the seam; `shift` (H, W, 2) and then `left` (H, W, 3) make it as it should be.

        It fades over `frames` made frames.
        """
        self._beside, self._shift, self._left, self._frames = beside, shift, left, frames

    @classmethod
    def going_on(cls, far: np.ndarray, near: np.ndarray, ratio: float, beside: np.ndarray, frames: int) -> Seam:
        """The made frame is to be where the motion from `far` to `near`, the kept frame at the seam, goes on.

        `ratio` is the time from `near` to the made frame over the time from `far` to `near`.
        """
        expected = Motion(far, near).beyond(ratio)
        between = Motion(expected, beside)
        if not can_be_followed(beside) or between.is_cut:
            return cls(beside, None, expected.astype(np.float32) - beside, frames)
        shift = flow(expected, beside)
        return cls(beside, shift, expected.astype(np.float32) - carried(beside, shift), frames)

    @classmethod
    def of_detail(cls, true: np.ndarray, decoded: np.ndarray, beside: np.ndarray, frames: int) -> Seam:
        """Of the kept frame the detail alone that its decoding lost; how the made ones move is the model's affair."""
        lost = true.astype(np.float32) - decoded
        if can_be_followed(beside):
            lost = carried(lost, flow(beside, decoded), smooth=True)
        return cls(beside, None, lost, frames)

    def apply(self, distance: int, picture: np.ndarray) -> np.ndarray:
        """The made frame that is `distance` frames from the one beside the seam, eased."""
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
