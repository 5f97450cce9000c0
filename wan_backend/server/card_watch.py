"""What takes are made on, for plans: the card without our own worker's part.

What is free of a card is asked of NVIDIA's own program, which takes a moment: in a thread, when a worker has come up
and nothing is loaded yet. So what our own models take later counts as free, for the next job may have it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading

from ..memory.forecast import Machine
from ..protocol.messages import WorkerStatus
from .card import Card, free_of

log = logging.getLogger(__name__)


class CardWatch:
    """Told of the worker's life, says what there is for a job."""

    def __init__(self, budget_bytes: int | None, device: str = "auto") -> None:
        """`device` is the wish that jobs come with: auto, cuda, mps or cpu."""
        self._budget_bytes, self._wish = budget_bytes, device
        self._card = Card()
        self._lock = threading.Lock()
        self._state = "none"

    @property
    def machine(self) -> Machine | None:
        """None until a worker has run. From any thread: a card is never changed, only exchanged for another."""
        return self._card.machine

    def worker_changed(self, status: WorkerStatus) -> None:
        """A worker has come up, or gone; what is known of its device stays known."""
        came_up = status.state == "ready" and self._state == "starting"
        self._state = status.state
        if not came_up or not status.host_bytes:
            return
        device, device_bytes = status.device, status.device_bytes
        if self._wish == "cpu" and not device.startswith("cpu"):  # what the worker found first isn't what jobs run on
            device, device_bytes = "cpu", status.host_bytes
        known = Card(device, device_bytes, None, status.host_bytes, self._budget_bytes)
        with self._lock:
            self._card = known if known.is_card else dataclasses.replace(known, free_bytes=status.host_bytes)
        if not known.is_card:
            return
        threading.Thread(target=self._ask, args=(known,), daemon=True, name="card").start()

    def _ask(self, known: Card) -> None:
        free = free_of(known.device)
        log.info("%s: %s bytes are free", known.device, free)
        with self._lock:
            if self._card is known:  # else another worker has come up meanwhile
                self._card = dataclasses.replace(known, free_bytes=free)
