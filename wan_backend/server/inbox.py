"""What reaches the main loop from other threads."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..protocol import OverlongLine


@dataclass(frozen=True)
class ClientLine:
    """A line from the client, or that one was too long."""

    line: bytes | OverlongLine


@dataclass(frozen=True)
class WorkerLine:
    """A line from the worker with that number."""

    worker: int
    line: bytes | OverlongLine


@dataclass(frozen=True)
class WorkerExit:
    """The worker with that number ended; all its lines came before."""

    worker: int
    code: int


@dataclass(frozen=True)
class Call:
    """Something that another thread has got ready for the main one to do."""

    do: Callable[[], None]


@dataclass(frozen=True)
class Leave:
    """The server is to end; `why` is for the log."""

    why: str


Event = ClientLine | WorkerLine | WorkerExit | Call | Leave
Inbox = queue.SimpleQueue[Event]
"""Any thread may put into it; the main thread alone takes from it."""


class Receiver(Protocol):
    """What takes events: the inbox itself, or something before it that knows whose they are."""

    def put(self, event: Event, /) -> None:
        """Take it; from any thread."""
