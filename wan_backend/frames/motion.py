"""Pictures between two pictures, or after them, made by following the motion.

The optical flow is measured both ways. Each of the two pictures is carried along its own flow to the time asked for.
Where the two flows don't agree, as beside a thing that moves in front of its background, the picture counts that still
shows what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

SMALL_PIXELS = 200_000
"""A picture of fewer pixels is followed at half its resolution, a larger one at a quarter: finer shows no more."""
MIN_SIDE = 32
"""The motion of a picture with a shorter side can't be followed."""
ROUNDS = 3
"""Iterations of finding the place whose motion leads to a pixel."""
DISAGREEMENT_PIXELS = 1.0
"""How far two flows may disagree before a picture's weight falls."""
CUT_LEVELS = 40.0
"""Two pictures that differ by less on average are of one shot."""
FOUND = 0.5
"""If more than this share of the difference is left after the motion, the pictures are of two shots."""


@dataclass(frozen=True)
class Change:
    """By how much one picture differs from another."""

    pixels: float = 0.0
    """How far its parts have moved, on average."""
    levels: float = 0.0
    """The mean difference of its levels, 0..255."""
    color: float = 0.0
    """The largest difference of a channel's mean, in levels."""


class Motion:
    """The motion from one picture to another, both uint8 (H, W, 3) of one size."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._first, self._second = first, second

    def between(self, share: float) -> np.ndarray:
        """The picture at `share` (0..1) of the way."""
        if self._same or share <= 0:
            return self._first
        if share >= 1:
            return self._second
        if not can_be_followed(self._first):
            return np.asarray(cv2.addWeighted(self._first, 1 - share, self._second, share, 0))
        if self.is_cut:
            return self._first if share < 0.5 else self._second
        ahead, back = self._flows
        moved, sure = _carried(self._first, ahead, back, share)
        moved_back, sure_back = _carried(self._second, back, ahead, 1 - share)
        weight, weight_back = sure * (1 - share), sure_back * share
        part = weight_back / (weight + weight_back)
        return np.asarray(cv2.blendLinear(moved, moved_back, 1 - part, part))

    def beyond(self, share: float) -> np.ndarray:
        """The picture at 1 + `share` of the way: what moves goes on as before."""
        if self._same or share <= 0 or not can_be_followed(self._second) or self.is_cut:
            return self._second
        return carried(self._second, _where(self._flows[1], -share) * share)

    @cached_property
    def change(self) -> Change:
        """By how much the second picture differs; nothing where the two are of different shots."""
        follows = can_be_followed(self._second)
        if self._same or (follows and self.is_cut):
            return Change()
        apart = self._second.astype(np.float32) - self._first
        pixels = mean_length(self._flows[1]) if follows else 0.0
        return Change(pixels, float(np.abs(apart).mean()), mean_color(apart))

    @cached_property
    def _same(self) -> bool:
        return bool(np.array_equal(self._first, self._second))

    @cached_property
    def _flows(self) -> tuple[np.ndarray, np.ndarray]:
        """From the first picture to the second, and back: float32 (H, W, 2), in pixels."""
        return flow(self._first, self._second), flow(self._second, self._first)

    @cached_property
    def is_cut(self) -> bool:
        """True if the two pictures are of different shots."""
        apart = float(cv2.mean(cv2.absdiff(self._first, self._second))[0])
        if apart < CUT_LEVELS:
            return False
        brought = carried(self._second, self._flows[0], smooth=True)
        left = float(cv2.mean(cv2.absdiff(self._first, brought))[0])
        return bool(left > FOUND * apart)


def mean_length(flow: np.ndarray) -> float:
    """How long a flow's vectors (H, W, 2) are on average, in pixels."""
    return float(np.hypot(flow[..., 0], flow[..., 1]).mean())


def mean_color(difference: np.ndarray) -> float:
    """The largest mean of a channel of (H, W, 3), without its sign."""
    return float(np.abs(difference.reshape(-1, difference.shape[-1]).mean(axis=0)).max())


def can_be_followed(picture: np.ndarray) -> bool:
    """False for a picture too small for a flow."""
    return bool(min(picture.shape[:2]) >= MIN_SIDE)


def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each pixel of the first picture, how far away it is in the second: float32 (H, W, 2), in pixels.

    Both are uint8 (H, W, 3) RGB that `can_be_followed`.
    """
    gray = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(1 if gray[0].size < SMALL_PIXELS else 2)
    start: Any = None
    return np.asarray(search.calc(gray[0], gray[1], start))


def carried(picture: np.ndarray, away: np.ndarray, smooth: bool = False) -> np.ndarray:
    """The picture (H, W, any) whose pixels are taken from `away` (H, W, 2); with `smooth`, interpolated linearly."""
    kernel = cv2.INTER_LINEAR if smooth else cv2.INTER_CUBIC
    return np.asarray(cv2.remap(picture, *_places(away), kernel, borderMode=cv2.BORDER_REPLICATE))


def _places(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, where its flow leads: x and y, float32 (H, W)."""
    height, width = flow.shape[:2]
    across, down = cv2.split(flow)
    across += np.arange(width, dtype=np.float32)
    down += np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(across), np.asarray(down)


def _carried(picture: np.ndarray, ahead: np.ndarray, back: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture moved along `share` of its flow, and how sure each pixel of it is (0..1, float32)."""
    there = _where(ahead, share)
    moved = carried(picture, there * -share)
    astray = there + carried(back, there * (1 - share), smooth=True)
    squared = np.einsum("hwc,hwc->hw", astray, astray) / (DISAGREEMENT_PIXELS**2)
    return moved, (1 / (1 + squared * squared) + 1e-3).astype(np.float32)


def _where(ahead: np.ndarray, share: float) -> np.ndarray:
    """For each pixel at `share` of the way, the flow of what is there then."""
    there = ahead
    for _ in range(ROUNDS):
        there = carried(ahead, there * -share, smooth=True)
    return there
