"""Requests to the server with their answers, and its events. No bpy; never waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...wan_backend.protocol import OverlongLine, ProtocolError
from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.envelope import Notification, Request, Response, parse_line
from ...wan_backend.protocol.errors import INTERNAL_ERROR
from ...wan_backend.protocol.messages import Nothing
from ...wan_backend.protocol.methods import SERVER_EVENTS, SERVER_METHODS
from .process import ChildProcess

log = logging.getLogger(__name__)

ANSWER_WITHIN_SECONDS = 30.0

Answered = Callable[[Any], None]
Failed = Callable[[ProtocolError], None]


@dataclass
class _Waiting:
    method: str
    answered: Answered
    failed: Failed
    until: float


class Client:
    """Speaks to one server. `on_event(name, message)` gets each event."""

    def __init__(self, child: ChildProcess, on_event: Callable[[str, Any], None]) -> None:
        self._child = child
        self._on_event = on_event
        self._waiting: dict[int, _Waiting] = {}
        self._next_id = 1
        self._bad_lines = 0

    def call(
        self,
        method: str,
        params: Any = None,
        answered: Answered = lambda result: None,
        failed: Failed | None = None,
        within_seconds: float = ANSWER_WITHIN_SECONDS,
    ) -> None:
        """Ask; one of the two callbacks comes from a later `tick`, unless the server goes."""
        request_id, self._next_id = self._next_id, self._next_id + 1
        waiting = _Waiting(method, answered, failed or _log_failure, time.monotonic() + within_seconds)
        self._waiting[request_id] = waiting
        self._child.send(Request(request_id, method, to_json(params or Nothing())).line())

    def tick(self, deadline: float) -> bool:
        """Send and read until `deadline` (of time.perf_counter); True where a message came."""
        self._child.flush()
        came = False
        for line in self._child.lines(deadline):
            came = True
            self._take(line)
        return came

    def overdue(self) -> str:
        """The method that has waited too long for its answer; empty: none."""
        now = time.monotonic()
        return next((waiting.method for waiting in self._waiting.values() if waiting.until < now), "")

    def _take(self, line: bytes | OverlongLine) -> None:
        try:
            if isinstance(line, OverlongLine):
                raise ProtocolError(INTERNAL_ERROR, "a line was too long")
            message = parse_line(line)
            if isinstance(message, Response):
                self._take_answer(message)
            elif isinstance(message, Notification) and message.method in SERVER_EVENTS:
                kind = SERVER_EVENTS[message.method].params
                self._on_event(message.method, from_json(kind, message.params, message.method))
        except ProtocolError as error:
            self._bad_lines += 1
            if self._bad_lines <= 10:
                log.warning("The backend said something that can't be read: %s", error.message)

    def _take_answer(self, response: Response) -> None:
        waiting = self._waiting.pop(response.id, None) if isinstance(response.id, int) else None
        if waiting is None:
            return
        try:
            if response.error is not None:
                error = response.error
                raise ProtocolError(error["code"], str(error["message"]), error.get("data"))
            kind = SERVER_METHODS[waiting.method].result
            result = from_json(kind or Nothing, response.result, waiting.method)
        except ProtocolError as error:
            waiting.failed(error)
        else:
            waiting.answered(result)


def _log_failure(error: ProtocolError) -> None:
    log.warning("The backend refused: %s", error.message)
