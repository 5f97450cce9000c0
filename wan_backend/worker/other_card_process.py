"""`python -m wan_backend.worker.other_card_process`: what a worker has another card compute.

A worker that has several cards starts one for each of the others, and they end with it. A thread reads what the worker
says, so the end of a job stops the forward pass that is being computed, and the worker's own end this process.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..loading import kernel_trials
from ..protocol import process_setup
from ..storage import compiled_kernels
from . import payload_frames
from .payload_frames import Message, NotAMessage
from .server_connection import Channel

if TYPE_CHECKING:
    from .other_card import ModelOf

log = logging.getLogger(__name__)

ENDING = ("prepare", "turn", "rest", "drop")
"""Messages after which nobody waits for what came before."""


class Inbox:
    """What the worker says, read on a thread of its own; the process leaves when that ends."""

    def __init__(self, source: int) -> None:
        self._stream = os.fdopen(source, "rb", buffering=1 << 20)
        self._messages: queue.Queue[tuple[Message, bytes]] = queue.Queue()
        self._ends = self._ends_taken = 0
        self.on_end: Callable[[], None] = lambda: None
        """Called from the thread that reads, when nobody waits any more for what came before."""

    def start(self) -> None:
        """Read from now on."""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next(self, timeout_seconds: float) -> tuple[Message, bytes] | None:
        """The next message with its payload; None if none comes in time."""
        try:
            message, payload = self._messages.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        self._ends_taken += message.get("do") in ENDING
        return message, payload

    def should_stop(self) -> bool:
        """True if nobody waits any more for what is being done."""
        return self._ends > self._ends_taken

    def _read(self) -> None:
        try:
            while (came := payload_frames.read(self._stream)) is not None:
                ends = came[0].get("do") in ENDING
                self._ends += ends
                self._messages.put(came)
                if ends:
                    self.on_end()
        except NotAMessage as error:
            log.error("the worker sent what is no message: %s", error)
        kernel_trials.forget_begun()
        os._exit(0)


def main(model_of: ModelOf | None = None) -> int:
    """Compute until the worker is gone. `model_of` makes the models of jobs; None: from their files."""
    source, sink = process_setup.begin()
    inbox = Inbox(source)
    inbox.start()  # before torch, so that the worker's end is seen while it loads
    with compiled_kernels.not_made_by_import():
        from .other_card import OtherCard
        from .warm_model import model_for

    OtherCard(inbox, Channel(sink).send, model_of or model_for).go_on()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
