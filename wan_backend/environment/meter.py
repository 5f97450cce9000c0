"""How much of what is to fetch is here, and how long the rest will take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 20.0
"""The rate is that of so much of the last time."""
KNOWN_SECONDS = 3.0
"""Before, a rate would be a guess."""


@dataclass(frozen=True)
class Amount:
    """Bytes that are here and bytes in all; 0 where nobody knows."""

    done_bytes: int = 0
    total_bytes: int = 0
    seconds_left: float | None = None


class Meter:
    """Tells the time left from what came lately. What it says never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points: deque[tuple[float, int]] = deque()
        self._done = 0

    def amount(self, done_bytes: int, total_bytes: int) -> Amount:
        """How far it is now."""
        now = self._clock()
        self._done = max(self._done, min(done_bytes, total_bytes))
        self._points.append((now, self._done))
        while self._points[0][0] < now - WINDOW_SECONDS:
            self._points.popleft()
        (first, first_bytes), (last, last_bytes) = self._points[0], self._points[-1]
        left = None
        if last - first >= KNOWN_SECONDS and last_bytes > first_bytes:
            left = (total_bytes - self._done) * (last - first) / (last_bytes - first_bytes)
        return Amount(self._done, total_bytes, left)
