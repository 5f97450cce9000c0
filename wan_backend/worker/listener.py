"""The worker's way in: a thread that reads requests while the main thread works. Standard library, protocol only.

Runs are handed to the main thread; cancel and shutdown take effect at once. The end of stdin means that the
server is gone: the process leaves within the same moment, whatever it is doing.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..protocol.conversion import from_json
from ..protocol.envelope import Notification, Request, RequestId, parse_line
from ..protocol.errors import (
    INVALID_REQUEST,
    LINE_TOO_LONG,
    METHOD_NOT_FOUND,
    NO_SUCH_JOB,
    ProtocolError,
)
from ..protocol.framing import LineSplitter, OverlongLine
from ..protocol.messages import JobParams, Nothing, RunParams
from ..protocol.methods import WORKER_METHODS
from .channel import Channel

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16


@dataclass
class Run:
    """A job that was handed over; `cancelled` may be set by the listener at any time."""

    request_id: RequestId
    params: RunParams
    cancelled: threading.Event = field(default_factory=threading.Event)


class Listener:
    """Reads `source` to its end; `runs` holds what the main thread is to do."""

    def __init__(
        self, source: int, channel: Channel, leave: Callable[[int], None] = lambda code: os._exit(code)
    ) -> None:
        self.runs: queue.Queue[Run] = queue.Queue()
        self._source = source
        self._channel = channel
        self._leave = leave
        self._current: Run | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Read on a thread of its own."""
        threading.Thread(target=self.listen, name="listener", daemon=True).start()

    def done(self, run: Run) -> None:
        """The main thread is through with `run` and has not answered it yet."""
        with self._lock:
            if self._current is run:
                self._current = None

    def listen(self) -> None:
        """Read until stdin ends, then leave."""
        splitter = LineSplitter()
        while chunk := os.read(self._source, CHUNK_BYTES):
            for line in splitter.feed(chunk):
                self._take(line)
        log.info("stdin ended")
        self._leave(0)

    def _take(self, line: bytes | OverlongLine) -> None:
        request_id: RequestId = None
        try:
            if isinstance(line, OverlongLine):
                raise ProtocolError(LINE_TOO_LONG, "A line was longer than the limit and was skipped.")
            message = parse_line(line)
            if not isinstance(message, Request | Notification):
                raise ProtocolError(INVALID_REQUEST, "A worker asks nothing, so it takes no answers.")
            request_id = message.id if isinstance(message, Request) else None
            self._dispatch(request_id, message)
        except ProtocolError as error:
            self._channel.refuse(request_id, error)

    def _dispatch(self, request_id: RequestId, message: Request | Notification) -> None:
        method = WORKER_METHODS.get(message.method)
        if method is None:
            known = ", ".join(WORKER_METHODS)
            raise ProtocolError(METHOD_NOT_FOUND, f'There is no method "{message.method[:80]}"; there are {known}.')
        params: Any = from_json(method.params, message.params)
        if isinstance(params, RunParams):
            self._begin(Run(request_id, params))
        elif isinstance(params, JobParams):
            self._cancel(params.job_id)
            self._channel.answer(request_id, Nothing())
        else:
            self._channel.answer(request_id, Nothing())
            self._leave(0)

    def _begin(self, run: Run) -> None:
        with self._lock:
            if self._current is not None:
                raise ProtocolError(INVALID_REQUEST, "The worker is busy; it does one job at a time.")
            self._current = run
        self.runs.put(run)

    def _cancel(self, job_id: str) -> None:
        with self._lock:
            run = self._current
        if run is None or run.params.job_id != job_id:
            raise ProtocolError(NO_SUCH_JOB, "The worker has no such job.")
        run.cancelled.set()
