"""The model's frames become the take's frames, where their rates differ. May import numpy, protocol, its neighbours.

Streaming: pictures come in the model's order, and the take's frames go out in theirs as soon as they can be made.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ..protocol.messages import Conform
from .motion import Motion
from .schedule import Schedule

AS_GOOD_AS = 1 / 32
"""A take's frame so near to one of the model's (of the way to the next) is that one, sharp as it is."""
SAME_RATE = Fraction(1, 100)
"""Rates that differ by less are shown frame by frame: a frame in hundreds is left out, none is made soft."""


class Conformer:
    """Is fed all of the model's frames in order; gives each of the take's frames once, in order."""

    def __init__(self, schedule: Schedule, conform: Conform) -> None:
        self._frames = schedule.take_frames
        self._times = [float(time) for time in schedule.times()]
        self._nearest = conform is Conform.REPEAT or 1 <= schedule.step <= 1 + SAME_RATE
        self._next = 0
        self._last: tuple[float, np.ndarray] | None = None

    def feed(self, model_frame: int, picture: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The take's frames that can be made now that the model's next frame, uint8 (H, W, 3) RGB, is there."""
        before, here = self._last, (self._times[model_frame], picture)
        self._last = here
        motion: Motion | None = None
        while self._next < self._frames and self._next <= here[0]:
            if before is None or before[0] >= here[0]:
                made = picture
            else:
                share = (self._next - before[0]) / (here[0] - before[0])
                if self._nearest:
                    share = float(share >= 0.5)
                if AS_GOOD_AS < share < 1 - AS_GOOD_AS:
                    motion = motion or Motion(before[1], picture)
                    made = motion.between(share)
                else:
                    made = before[1] if share < 0.5 else picture
            yield self._next, made
            self._next += 1

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """What is left after the model's last frame, which is held."""
        assert self._last is not None, "no frame was fed"
        while self._next < self._frames:
            yield self._next, self._last[1]
            self._next += 1
