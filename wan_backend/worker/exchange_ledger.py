"""What the cards of a group exchange in a forward pass, in order, and how far that is: where it stands still is known.

All cards of a group exchange the same things in the same order. So what one of them waits for has a number, and two
ledgers that differ show who left the order.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from ..pipelines import transfers


@dataclass
class Exchanged:
    """One thing that goes from card to card."""

    what: str
    size_bytes: int
    """What this card has of it afterwards."""
    is_asked_for: bool = False
    """Whether the device was told all of it; on the processor, that it is there."""
    event: Any = None
    """The CUDA event that it is there; None where that is so once it was asked for."""

    @property
    def is_there(self) -> bool:
        """Whether it came."""
        return self.is_asked_for and (self.event is None or bool(self.event.query()))


class Ledger:
    """The exchanges of one forward pass after another; from any thread."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._lock = device, threading.Lock()
        self._all: list[Exchanged] = []
        self._there = 0

    def begin(self) -> None:
        """Another forward pass."""
        with self._lock:
            self._all, self._there = [], 0

    def add(self, what: str, size_bytes: int) -> None:
        """Something is about to be exchanged."""
        with self._lock:
            self._all.append(Exchanged(what, size_bytes))

    def was_asked_for(self) -> None:
        """The stream that is set goes on once the last one is there."""
        event = transfers.record(self._device)
        with self._lock:
            last = self._all[-1]
            last.event, last.is_asked_for = event, True

    @property
    def order(self) -> list[tuple[str, int]]:
        """What was exchanged so far, which is the same on all cards, and the bytes that this one has of it."""
        with self._lock:
            return [(each.what, each.size_bytes) for each in self._all]

    @property
    def there(self) -> int:
        """How many came: all before the first that didn't."""
        with self._lock, suppress(RuntimeError):  # a card that failed answers nothing
            while self._there < len(self._all) and self._all[self._there].is_there:
                self._there += 1
        return self._there

    @property
    def awaited(self) -> str:
        """What this card waits for, in words for the log."""
        there = self.there
        with self._lock:
            if there >= len(self._all):
                return f"nothing, after {there} exchanges"
            each = self._all[there]
            asked = "" if each.is_asked_for else " being asked for,"
            return f"{each.what} of {each.size_bytes} bytes,{asked} exchange {there + 1} of {len(self._all)} so far"
