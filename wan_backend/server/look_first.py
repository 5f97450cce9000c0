"""Answers that have to wait for a look at the models folders. Protocol only.

A look may take seconds where the folders are large, so it's done on a thread of its own, and what it is for goes on in
the main thread, where all state is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ..protocol import ProtocolError
from ..protocol.errors import INTERNAL_ERROR
from .dispatch import Later
from .inbox import Call, Inbox
from .planner import Planner

log = logging.getLogger(__name__)


class LookFirst:
    """Who waits for a look. Single-threaded, but for the look itself."""

    def __init__(self, planner: Planner, inbox: Inbox) -> None:
        self._planner, self._inbox = planner, inbox
        self._waiting: list[Callable[[], None]] = []

    def once(self, answer: Callable[[], Any]) -> Any:
        """The answer; a Later until the folders have been looked through once. Keeps the order of the calls."""
        if self._planner.ready and not self._waiting:
            return answer()

        def start(hand_in: Callable[[Any], None]) -> None:
            self._waiting.append(lambda: hand_in(_caught(answer)))
            if len(self._waiting) == 1:
                self._look_then(self._answer_those_waiting)

        return Later(start)

    def anew(self, then: Callable[[Callable[[Any], None]], None]) -> Later:
        """Have the folders looked through now; `then` is given where to hand its result in."""
        return Later(lambda hand_in: self._look_then(lambda: then(hand_in)))

    def _look_then(self, then: Callable[[], None]) -> None:
        def look() -> None:
            self._planner.library.look()
            self._inbox.put(Call(then))

        threading.Thread(target=look, name="library", daemon=True).start()

    def _answer_those_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer()


def _caught(answer: Callable[[], Any]) -> Any:
    """The answer, or why there is none: one that fails must not cost those after it theirs."""
    try:
        return answer()
    except ProtocolError as refused:
        return refused
    except Exception:
        log.exception("A call failed that had waited for the models folders")
        return ProtocolError(INTERNAL_ERROR, "The backend failed; its log says where.")
