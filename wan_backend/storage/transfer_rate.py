"""How fast bytes of a download come, and how long the rest will take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class TransferRate:
    """The rate of the last `window_seconds`; unknown before `min_seconds` have passed, when it would be a guess.

    What was there before the first `note` doesn't count, since it wasn't fetched just now.
    """

    def __init__(self, window_seconds: float, min_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_seconds, self._min_seconds, self._clock = window_seconds, min_seconds, clock
        self._points: deque[tuple[float, int]] = deque()

    def forget(self) -> None:
        """Begin anew: the bytes of the next `note` were not fetched just now."""
        self._points.clear()

    def note(self, done_bytes: int) -> None:
        """So many bytes are here now."""
        now = self._clock()
        self._points.append((now, done_bytes))
        while self._points[0][0] < now - self._window_seconds:
            self._points.popleft()

    @property
    def bytes_per_second(self) -> float:
        """0 while it isn't known, or if nothing came."""
        if not self._points:
            return 0.0
        (first, first_bytes), (last, last_bytes) = self._points[0], self._points[-1]
        if last - first < self._min_seconds:
            return 0.0
        return max(0.0, (last_bytes - first_bytes) / (last - first))

    def seconds_left(self, missing_bytes: int) -> float | None:
        """How long `missing_bytes` will take at this rate; None while that isn't known."""
        rate = self.bytes_per_second
        return missing_bytes / rate if rate else None
