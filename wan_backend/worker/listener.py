"""The worker's end of the hop to its server: a thread that hears requests while the main thread works.

Runs are handed to the main thread and answered when they are through; cancel and shutdown take effect at once. The
end of stdin means that the server is gone: the process leaves within the same moment, whatever it is doing. Standard
library and protocol only.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..protocol.endpoint import Answer, Endpoint, Later
from ..protocol.errors import INVALID_REQUEST, NO_SUCH_JOB, ProtocolError
from ..protocol.messages import JobParams, Nothing, RunParams
from ..protocol.methods import WORKER_EVENTS, WORKER_METHODS

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16


@dataclass
class Run:
    """A job that was handed over; `cancelled` may be set by the listener at any time."""

    params: RunParams
    answer: Answer
    """Takes its RunResult, or the ProtocolError that it ended in; once, after `Listener.done`."""
    cancelled: threading.Event = field(default_factory=threading.Event)


class Listener:
    """Reads `source` to its end; `runs` holds what the main thread is to do."""

    def __init__(
        self, source: int, send: Callable[[bytes], None], leave: Callable[[int], None] = lambda code: os._exit(code)
    ) -> None:
        """`send` writes a line, from any thread."""
        self.runs: queue.Queue[Run] = queue.Queue()
        self._endpoint = Endpoint(
            send, serves=WORKER_METHODS, handler=self._serve, tells=WORKER_EVENTS, peer="the server"
        )
        self._source = source
        self._leave = leave
        self._current: Run | None = None
        self._lock = threading.Lock()

    @property
    def tell(self) -> Callable[[str, Any], None]:
        """tell(event, message), from any thread."""
        return self._endpoint.notify

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
        while chunk := os.read(self._source, CHUNK_BYTES):
            self._endpoint.feed(chunk)
        log.info("stdin ended")
        self._leave(0)

    def _serve(self, method: str, params: Any) -> Nothing | Later:
        if method == "run":
            return self._begin(params)
        if method == "cancel":
            return self._cancel(params)
        return Later(self._shut_down)

    def _begin(self, params: RunParams) -> Later:
        if self._current is not None:  # only this thread makes it so
            raise ProtocolError(INVALID_REQUEST, "The worker is busy; it does one job at a time.")

        def start(answer: Answer) -> None:
            run = Run(params, answer)
            with self._lock:
                self._current = run
            self.runs.put(run)

        return Later(start)

    def _cancel(self, params: JobParams) -> Nothing:
        with self._lock:
            run = self._current
        if run is None or run.params.job_id != params.job_id:
            raise ProtocolError(NO_SUCH_JOB, "The worker has no such job.")
        run.cancelled.set()
        return Nothing()

    def _shut_down(self, answer: Answer) -> None:
        answer(Nothing())
        self._leave(0)
