"""The worker's end of the connection to its server: requests that arrive, lines that leave, and a heartbeat.

A thread reads requests while the main thread works. Runs, looks and warm-ups are handed to the main thread and answered
when they are through. A run ends the look or the warm-up before it; cancel and shutdown take effect at once. The end of
stdin means that the server is gone: the process leaves at that moment, whatever it is doing.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..loading import kernel_trials
from ..protocol.endpoint import Answer, Endpoint, Later
from ..protocol.errors import INVALID_REQUEST, NO_SUCH_JOB, ProtocolError
from ..protocol.looks import MakeLookParams
from ..protocol.messages import AliveParams, JobParams, Nothing, RunParams, WarmUpParams
from ..protocol.methods import WORKER_EVENTS, WORKER_METHODS

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
BEAT_SECONDS = 2.0


class Channel:
    """Sends whole lines to a file descriptor, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, line: bytes) -> None:
        """Write one line, to its end."""
        with self._lock:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


@dataclass
class Run:
    """A job that was handed over; `canceled` may be set from the reading thread at any time."""

    params: RunParams
    answer: Answer
    """Takes its RunResult, or the ProtocolError that it ended in; once, after `RequestListener.done`."""
    canceled: threading.Event = field(default_factory=threading.Event)


@dataclass
class WarmUp:
    """What is to be got ready while there is no job; `ended` may be set from the reading thread at any time."""

    params: WarmUpParams
    answer: Answer
    """Takes Nothing, once."""
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class Look:
    """A look that is to be made while there is no job; `ended` may be set from the reading thread at any time."""

    params: MakeLookParams
    answer: Answer
    """Takes its MakeLookResult, or the ProtocolError that it ended in; once."""
    ended: threading.Event = field(default_factory=threading.Event)


class RequestListener:
    """Reads requests from the descriptor `source` to its end; `tasks` holds what the main thread is to do."""

    def __init__(
        self, source: int, send: Callable[[bytes], None], leave: Callable[[int], None] = lambda code: _leave(code)
    ) -> None:
        """`send` writes a line, from any thread; `leave` ends the process."""
        self.tasks: queue.Queue[Run | WarmUp | Look] = queue.Queue()
        self._endpoint = Endpoint(
            send, serves=WORKER_METHODS, handler=self._serve, sends=WORKER_EVENTS, peer="the server"
        )
        self._source = source
        self._leave = leave
        self._current: Run | None = None
        self._makes_way: WarmUp | Look | None = None  # only the reading thread uses it
        self._lock = threading.Lock()

    @property
    def notify(self) -> Callable[[str, Any], None]:
        """notify(event, message) sends an event to the server, from any thread."""
        return self._endpoint.notify

    def start(self) -> None:
        """Read on a thread of its own."""
        threading.Thread(target=self.listen, name="listener", daemon=True).start()

    def done(self, run: Run) -> None:
        """Let the next run come: the main thread is through with `run`, and has not answered it yet."""
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
        if method == "warm":
            return self._do_aside(lambda answer: WarmUp(params, answer))
        if method == "look":
            return self._do_aside(lambda answer: Look(params, answer))
        if method == "make_way":
            self._end_aside()
            return Nothing()
        if method == "cancel":
            return self._cancel(params)
        return Later(self._shut_down)

    def _begin(self, params: RunParams) -> Later:
        if self._current is not None:  # only this thread sets it
            raise ProtocolError(INVALID_REQUEST, "The worker is busy; it does one job at a time.")
        self._end_aside()

        def start(answer: Answer) -> None:
            run = Run(params, answer)
            with self._lock:
                self._current = run
            self.tasks.put(run)

        return Later(start)

    def _do_aside(self, of_answer: Callable[[Answer], WarmUp | Look]) -> Later:
        if self._current is not None:
            raise ProtocolError(INVALID_REQUEST, "The worker is busy; it does nothing else while it has a job.")
        self._end_aside()

        def start(answer: Answer) -> None:
            self._makes_way = of_answer(answer)
            self.tasks.put(self._makes_way)

        return Later(start)

    def _end_aside(self) -> None:
        """Something newer is to be done: what nobody waits for may not hold it up."""
        if self._makes_way is not None:
            self._makes_way.ended.set()
            self._makes_way = None

    def _cancel(self, params: JobParams) -> Nothing:
        with self._lock:
            run = self._current
        if run is None or run.params.job_id != params.job_id:
            raise ProtocolError(NO_SUCH_JOB, "The worker has no such job.")
        run.canceled.set()
        return Nothing()

    def _shut_down(self, answer: Answer) -> None:
        answer(Nothing())
        self._leave(0)


def _leave(code: int) -> None:
    kernel_trials.forget_begun()
    os._exit(code)


class WorkerHeartbeat:
    """Sends `alive` every BEAT_SECONDS, with how long the job has been silent.

    By it the server distinguishes a worker that works in silence from one that hangs. It comes from a thread of its
    own, so it goes on while a step takes its time. It stops with the interpreter: if a library holds that for
    minutes, the server looks at the process itself.
    """

    def __init__(self, notify: Callable[[str, Any], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`notify(event, message)` is called from the heartbeat's thread."""
        self._notify, self._clock = notify, clock
        self._spoke_at: float | None = None

    def start(self) -> None:
        """Beat until the process ends."""
        threading.Thread(target=self._go_on, name="heartbeat", daemon=True).start()

    def job_spoke(self) -> None:
        """Note that a job begins, or has just reported its progress."""
        self._spoke_at = self._clock()

    def job_ended(self) -> None:
        """Note that there is no job now."""
        self._spoke_at = None

    def beat(self) -> None:
        """Send one `alive`."""
        spoke_at = self._spoke_at
        silent = 0.0 if spoke_at is None else max(0.0, self._clock() - spoke_at)
        self._notify("alive", AliveParams(silent, time.process_time()))

    def _go_on(self) -> None:
        while True:
            self.beat()
            time.sleep(BEAT_SECONDS)
