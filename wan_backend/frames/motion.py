"""Pictures between two pictures, made by following the motion. May import numpy and opencv.

The optical flow is measured both ways. Each of the two pictures is carried along its own flow to the time asked for,
and where the two flows don't agree, as beside a thing that moves before its background, the picture counts that
still sees what is there.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
import numpy as np

SMALL_PIXELS = 200_000
"""A picture of fewer pixels is followed at half its resolution, a larger one at a quarter: finer shows no more."""
LEAST_SIDE = 32
"""A picture with a shorter side is too small to be followed."""
ROUNDS = 3
"""Of finding the place whose motion leads to a pixel."""
DISAGREEMENT_PIXELS = 1.0
"""How far two flows may disagree before a picture's say fades."""
CUT_LEVELS = 40.0
"""Two pictures that differ by so much on average, after the motion, are two shots: nothing lies between them."""
FOUND = 0.5
"""How much of the difference a flow must explain, else the pictures are two shots."""


class Motion:
    """What moves from one picture to another, both uint8 (H, W, 3) of one size."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._first, self._second = first, second

    def between(self, share: float) -> np.ndarray:
        """The picture at `share` (0..1) of the way."""
        if self._same or share <= 0:
            return self._first
        if share >= 1:
            return self._second
        if min(self._first.shape[:2]) < LEAST_SIDE:
            return np.asarray(cv2.addWeighted(self._first, 1 - share, self._second, share, 0))
        if self._is_cut:
            return self._first if share < 0.5 else self._second
        ahead, back = self._flows
        carried, sure = _carried(self._first, ahead, back, share)
        carried_back, sure_back = _carried(self._second, back, ahead, 1 - share)
        weight, weight_back = sure * (1 - share), sure_back * share
        part = weight_back / (weight + weight_back)
        return np.asarray(cv2.blendLinear(carried, carried_back, 1 - part, part))

    @cached_property
    def _same(self) -> bool:
        return bool(np.array_equal(self._first, self._second))

    @cached_property
    def _flows(self) -> tuple[np.ndarray, np.ndarray]:
        """From the first picture to the second, and back: float32 (H, W, 2), in pixels."""
        grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (self._first, self._second)]
        flow = _flow(grey[0].size)
        start: Any = None
        return np.asarray(flow.calc(grey[0], grey[1], start)), np.asarray(flow.calc(grey[1], grey[0], start))

    @cached_property
    def _is_cut(self) -> bool:
        apart = float(cv2.mean(cv2.absdiff(self._first, self._second))[0])
        if apart < CUT_LEVELS:
            return False
        carried = cv2.remap(self._second, *_places(self._flows[0]), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        left = float(cv2.mean(cv2.absdiff(self._first, carried))[0])
        return left > FOUND * apart


def _flow(pixels: int) -> cv2.DISOpticalFlow:
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow.setFinestScale(1 if pixels < SMALL_PIXELS else 2)
    return flow


def _places(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, where its flow leads: x and y, float32 (H, W)."""
    height, width = flow.shape[:2]
    across, down = cv2.split(flow)
    across += np.arange(width, dtype=np.float32)
    down += np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(across), np.asarray(down)


def _carried(picture: np.ndarray, ahead: np.ndarray, back: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture moved along `share` of its flow, and how sure each pixel of it is (0..1, float32)."""
    there = ahead
    for _ in range(ROUNDS):
        places = _places(there * -share)
        there = cv2.remap(ahead, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    places = _places(there * -share)
    moved = cv2.remap(picture, *places, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    other = cv2.remap(back, *_places(there * (1 - share)), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    astray = there + other
    squared = np.einsum("hwc,hwc->hw", astray, astray) / (DISAGREEMENT_PIXELS**2)
    return np.asarray(moved), (1 / (1 + squared * squared) + 1e-3).astype(np.float32)
