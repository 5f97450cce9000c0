"""The worker's way out: lines of the protocol on what was stdout. Standard library and protocol only."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from ..protocol.conversion import to_json
from ..protocol.envelope import Notification, RequestId, Response
from ..protocol.errors import ProtocolError


class Channel:
    """Sends whole lines, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def event(self, method: str, params: Any) -> None:
        """Send a notification; `params` is a message."""
        self._send(Notification(method, to_json(params)).line())

    def answer(self, request_id: RequestId, result: Any) -> None:
        """Send a result; `result` is a message."""
        self._send(Response(request_id, to_json(result)).line())

    def refuse(self, request_id: RequestId, error: ProtocolError) -> None:
        """Send an error."""
        self._send(Response.failure(request_id, error).line())

    def _send(self, line: bytes) -> None:
        with self._lock:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def guard_standard_streams() -> tuple[int, int]:
    """Descriptors of the true stdin and stdout; from now on fd 0 is empty and whatever is printed is stderr's.

    So no print of a library, nor of the C code below it, can break into the protocol, and no child process
    can eat from it.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink
