"""How much of what the set-up fetches is here, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.sentences import Sentence
from ..storage.transfer_rate import TransferRate

WINDOW_SECONDS, MIN_SECONDS = 20.0, 3.0
"""The rate is that of the last twenty seconds, and known once three have passed."""


@dataclass(frozen=True)
class Amount:
    """Bytes that are here and bytes in all; 0 if nobody knows."""

    done_bytes: int = 0
    total_bytes: int = 0
    seconds_left: float | None = None


ReportAmount = Callable[[Sentence, Amount], None]
"""Called with a sentence on what goes on, and how much of it is here."""


class GrowingAmount:
    """Counts the bytes that are here and estimates the time left. What it has counted is never taken back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = TransferRate(WINDOW_SECONDS, MIN_SECONDS, clock)
        self._done = 0

    def at(self, done_bytes: int, total_bytes: int) -> Amount:
        """The amount now that `done_bytes` are here, by an estimate that may be too low the next time."""
        self._done = max(self._done, min(done_bytes, total_bytes))
        self._rate.note(self._done)
        return Amount(self._done, total_bytes, self._rate.seconds_left(total_bytes - self._done))
