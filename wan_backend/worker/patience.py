"""How long something is waited for, without the time in which nobody could look.

A cluster may suspend all processes of a job, and a person the machine. Whoever wakes up first must not take the others
for hung.
"""

from __future__ import annotations

import time

GAP_SECONDS = 5.0
"""Who looks every few milliseconds, and then not for so long, was suspended."""


class Patience:
    """So many seconds from now, for one who keeps looking whether they are over."""

    def __init__(self, seconds: float) -> None:
        self._looked_at = time.monotonic()
        self._ends_at = self._looked_at + seconds

    @property
    def is_over(self) -> bool:
        """Whether it was waited for so long."""
        now = time.monotonic()
        slept, self._looked_at = now - self._looked_at, now
        if slept > GAP_SECONDS:
            self._ends_at += slept
        return now >= self._ends_at
