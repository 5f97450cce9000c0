"""Defines the events that other threads put into the main loop."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..protocol import OverlongLine
from ..protocol.sentences import Sentence


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
class WorkerLost:
    """The worker with that number, on another machine, is gone; all its lines came before."""

    worker: int
    how: Sentence
    """A clause: "was lost with ..."."""
    innocent: bool = True
    """Whether neither the worker nor its job can be the reason, as where its machine went away."""


@dataclass(frozen=True)
class WorkerUnfit:
    """The worker with that number could not be started, and no other could be in its place."""

    worker: int
    why: Sentence


@dataclass(frozen=True)
class Call:
    """A function that another thread wants the main thread to call."""

    do: Callable[[], None]


@dataclass(frozen=True)
class Leave:
    """The server is to end; `why` is for the log."""

    why: str


Event = ClientLine | WorkerLine | WorkerExit | WorkerLost | WorkerUnfit | Call | Leave
Inbox = queue.SimpleQueue[Event]
"""Any thread may put into it; the main thread alone takes from it."""


class Receiver(Protocol):
    """Takes events: the inbox itself, or an object that passes them on to it."""

    def put(self, event: Event, /) -> None:
        """Take it; from any thread."""
