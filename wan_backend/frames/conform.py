"""The model's frames become the take's frames, where their rates differ. May import numpy, opencv, protocol, schedule.

Streaming: pictures come in the model's order, and the take's frames go out in theirs as soon as they can be made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np

from ..protocol.messages import Conform
from .schedule import Schedule


class Conformer:
    """Is fed the model's frames in order; gives each of the take's frames once, in order."""

    def __init__(self, schedule: Schedule, conform: Conform) -> None:
        self._schedule = schedule
        self._repeat = conform is Conform.REPEAT
        self._next = 0
        self._last: tuple[int, np.ndarray] | None = None

    def feed(self, model_frame: int, picture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The take's frames that can be made now that the model's next frame, uint8 (H, W, 3) RGB, is there."""
        before, self._last = self._last, (model_frame, picture)
        while self._next < self._schedule.take_frames:
            position = self._schedule.position(self._next)
            if position > model_frame:
                return
            yield self._next, self._between(before, (model_frame, picture), float(position))
            self._next += 1

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is left after the model's last frame: it is held."""
        assert self._last is not None, "no frame was fed"
        while self._next < self._schedule.take_frames:
            yield self._next, self._last[1]
            self._next += 1

    def _between(
        self, before: tuple[int, np.ndarray] | None, after: tuple[int, np.ndarray], position: float
    ) -> np.ndarray:
        if before is None or position == after[0]:
            return after[1]
        share = position - math.floor(position)
        if self._repeat:
            return before[1] if share < 0.5 else after[1]
        return np.asarray(cv2.addWeighted(before[1], 1 - share, after[1], share, 0))
