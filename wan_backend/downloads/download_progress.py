"""How far a download is, how fast, and how long it will take. Standard library and protocol only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ..protocol.downloads import DownloadState, DownloadStatus

Tell = Callable[[DownloadStatus], None]

TELL_SECONDS = 0.25
WINDOW_SECONDS = 10.0
"""The rate is that of so much of the last time."""
KNOWN_SECONDS = 2.0
"""Before, a rate would be a guess."""


class Meter:
    """Counts bytes over all files of a model and tells of them, not too often."""

    def __init__(
        self, model: str, total_bytes: int, folder: str, tell: Tell, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model, self._total_bytes, self._folder = model, total_bytes, folder
        self._tell, self._clock = tell, clock
        self._finished_bytes = 0
        self._told_at = float("-inf")
        self._points: deque[tuple[float, int]] = deque()

    def finished(self, size_bytes: int) -> None:
        """A file of that size is done with."""
        self._finished_bytes += size_bytes

    def say(self, state: DownloadState, file_bytes: int, sentence: str, at_once: bool = False) -> None:
        """The file at work has `file_bytes` now; `at_once` where it begins, which is no progress of this session."""
        now, done_bytes = self._clock(), min(self._total_bytes, self._finished_bytes + file_bytes)
        if at_once or state is not DownloadState.RUNNING:
            self._points.clear()
        if now < self._told_at + TELL_SECONDS and not at_once:
            return
        self._told_at = now
        self._points.append((now, done_bytes))
        while self._points[0][0] < now - WINDOW_SECONDS:
            self._points.popleft()
        rate = self._rate()
        left = (self._total_bytes - done_bytes) / rate if rate else None
        self._tell(
            DownloadStatus(self._model, state, done_bytes, self._total_bytes, rate, left, self._folder, f"{sentence}.")
        )

    def _rate(self) -> float:
        """Bytes a second; 0 while it isn't known."""
        (first, first_bytes), (last, last_bytes) = self._points[0], self._points[-1]
        if last - first < KNOWN_SECONDS:
            return 0.0
        return max(0.0, (last_bytes - first_bytes) / (last - first))
