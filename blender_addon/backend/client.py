"""Calls to one child, and its answers and events, through an Endpoint. It never waits; no call has a deadline."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...wan_backend.protocol.endpoint import Answered, Endpoint, Failed
from ...wan_backend.protocol.errors import GONE, ProtocolError
from ...wan_backend.protocol.framing import OverlongLine
from ...wan_backend.protocol.methods import SERVER_EVENTS, SERVER_METHODS, Method
from .child_process import ChildProcess

log = logging.getLogger(__name__)


class ChildClient:
    """The calling side of one child, by default a server. `on_event(name, message)` gets each event."""

    def __init__(
        self,
        child: ChildProcess,
        on_event: Callable[[str, Any], None],
        *,
        calls: Mapping[str, Method] = SERVER_METHODS,
        receives: Mapping[str, Method] = SERVER_EVENTS,
        peer: str = "The backend",
    ) -> None:
        self.behind = False
        """True if the last `tick` ran out of time before everything was read."""
        self._child, self._peer = child, peer
        self._endpoint = Endpoint(child.send, calls=calls, receives=receives, on_event=on_event, peer=peer)
        self._lines: Iterator[bytes | OverlongLine] = iter(())

    def call(
        self, method: str, params: Any = None, answered: Answered | None = None, failed: Failed | None = None
    ) -> None:
        """Call `method`. A later `tick`, or `lost`, calls one of the callbacks; at once if it can't be sent."""
        self._endpoint.call(method, params, answered, failed or self._log_refusal)

    def tick(self, deadline: float) -> bool:
        """Send and read until `deadline` (of time.perf_counter); True if a message arrived."""
        self._child.flush()
        came, self.behind = False, True
        while time.perf_counter() < deadline:
            line = next(self._lines, None)
            if line is not None:
                came = True
                self._endpoint.take(line)
                continue
            chunk = self._child.read()
            if not chunk:
                self.behind = False
                break
            self._lines = self._endpoint.lines(chunk)
        return came

    def _log_refusal(self, error: ProtocolError) -> None:
        if error.code != GONE:
            log.warning("%s refused: %s", self._peer, error.message)

    def lost(self, sentence: str) -> None:
        """Fail the calls that still wait for an answer with `sentence`, because the child is gone."""
        self._endpoint.lost(sentence)
