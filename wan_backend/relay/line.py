"""The line to a server on another machine: a child process that is started, greeted, watched and started again.

What is asked while there is no line waits for the next one, and so does what was asked and not answered: the server
counts twice what counts once. It is never given up, because a job may be made over there meanwhile.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__
from ..protocol import PROTOCOL_VERSION, ProtocolError
from ..protocol.endpoint import Answered, Endpoint, Failed
from ..protocol.errors import GONE, WRONG_VERSION
from ..protocol.messages import HelloParams, HelloResult, Nothing
from ..protocol.methods import SERVER_EVENTS, SERVER_METHODS
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..server.inbox import Receiver, WorkerExit, WorkerLine
from ..server.worker_process import WorkerProcess
from . import far_words

log = logging.getLogger(__name__)

GREETING_SECONDS = 120.0
"""A container may take its time to start."""
PING_SECONDS = 3.0
STALLED_SECONDS = 30.0
"""A line that brings nothing for so long, though it is asked, is cut and begun anew."""
AGAIN_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""From the end of a line to the next try, by the number of tries."""
UPDATE_COMMAND = f"pip install --upgrade wan_backend-{__version__}-py3-none-any.whl"


class Line:
    """At most one child at a time. `on_open(hello)` is called whenever the server has greeted, `on_change()` whenever
    the line has been lost or `sentence` changed, `on_event(name, message)` with each event of the server."""

    def __init__(
        self,
        name: str,
        command: list[str],
        logs: Path,
        inbox: Receiver,
        on_open: Callable[[HelloResult], None],
        on_event: Callable[[str, Any], None],
        on_change: Callable[[], None],
        stalled_seconds: float = STALLED_SECONDS,
        environment: dict[str, str] | None = None,
    ) -> None:
        """`environment` is the child's; by default, that of this process without what concerns its Python alone."""
        self.name = name
        self.is_open = False
        self.sentence = Sentence("Connecting to {name}.", name=name)
        """Why there is no line; empty while there is one."""
        self._command, self._logs, self._inbox = far_words.completed(command), logs, inbox
        self._on_open, self._on_event, self._on_change = on_open, on_event, on_change
        self._stalled_seconds = stalled_seconds
        self._environment = environment or _environment()
        self._child: WorkerProcess | None = None
        self._endpoint: Endpoint | None = None
        self._number = self._tries = 0
        self._next_try = 0.0
        self._started_at = self._pinged_at = 0.0
        self._ping_waits = False
        self._cut_because: Sentence | None = None
        self._waiting: list[tuple[str, Any, Answered | None, Failed | None]] = []

    def call(
        self, method: str, params: Any = None, answered: Answered | None = None, failed: Failed | None = None
    ) -> None:
        """Call the server now, or as soon as there is a line. It may get the call twice, and counts it once."""
        if self._endpoint is None or not self.is_open:
            self._waiting.append((method, params, answered, failed))
            return

        def on_failure(error: ProtocolError) -> None:
            if error.code == GONE:
                self._waiting.append((method, params, answered, failed))
            elif failed is not None:
                failed(error)
            else:
                log.warning("%s refused '%s': %s", self.name, method, error.message)

        self._endpoint.call(method, params, answered, on_failure)

    def try_call(self, method: str, params: Any, answered: Answered, failed: Failed) -> None:
        """Call the server on this line or not at all: `failed` is given GONE if it breaks before the answer."""
        if self._endpoint is None or not self.is_open:
            failed(ProtocolError(GONE, self.sentence))
        else:
            self._endpoint.call(method, params, answered, failed)

    def tick(self) -> None:
        """Start, ping or cut, when it is time."""
        now = time.monotonic()
        if self._child is None:
            if now >= self._next_try:
                self._start()
        elif not self.is_open:
            if now - self._started_at > GREETING_SECONDS:
                self._cut(Sentence("{name} does not answer: see that it is on.", name=self.name))
        elif self._ping_waits:
            if now - max(self._pinged_at, self._child.message_at) > self._stalled_seconds:
                words = Sentence("The line to {name} has stalled; it is begun anew.", name=self.name)
                self._cut(words)
        elif now - self._pinged_at > PING_SECONDS:
            self._ping_waits, self._pinged_at = True, now
            self.try_call("ping", Nothing(), self._ponged, self._ponged)

    def seconds_to_deadline(self) -> float:
        """When `tick` has something to do."""
        return 1.0 if self._child is not None else max(0.05, self._next_try - time.monotonic())

    def on_line(self, event: WorkerLine) -> None:
        """A line of the child."""
        if self._endpoint is not None and event.worker == self._number:
            if isinstance(event.line, bytes) and not event.line.lstrip().startswith(b"{"):
                log.info("%s says: %.200s", self.name, event.line.decode("utf-8", "replace"))
                return  # a shell over there greets its user
            self._endpoint.take(event.line)

    def on_exit(self, event: WorkerExit) -> None:
        """The child has ended."""
        if event.worker != self._number or self._child is None:
            return
        log_file = self._child.log_file
        sentence = self._cut_because or far_words.why_it_ended(self.name, event.code, log_file)
        self._lost(sentence)

    def close(self) -> None:
        """Let the child go; a server that stays over there goes on."""
        if self._child is not None:
            self._child.close()
            if not self._child.wait(1.0):
                self._child.kill()

    @property
    def is_running(self) -> bool:
        """Whether the command runs."""
        return self._child is not None

    @property
    def log_file(self) -> str:
        """What the child said on its stderr; empty before the first."""
        return "" if self._child is None else str(self._child.log_file)

    def _start(self) -> None:
        self._number += 1
        self._started_at = time.monotonic()
        self._cut_because = None
        try:
            self._child = WorkerProcess(self._number, self._command, self._environment, self._logs, self._inbox, "line")
        except (OSError, ValueError) as error:
            told = error if isinstance(error, OSError) else OSError(str(error))
            self._lost(far_words.cant_start(self.name, self._command, told))
            return
        self._endpoint = Endpoint(
            self._child.send,
            calls=SERVER_METHODS,
            receives=SERVER_EVENTS,
            on_event=self._receive,
            peer=self.name,
        )
        hello = HelloParams(PROTOCOL_VERSION, f"relay {__version__}")
        self._endpoint.call("hello", hello, self._greeted, self._not_greeted)

    def _receive(self, name: str, message: Any) -> None:
        if self.is_open:
            self._on_event(name, message)

    def _greeted(self, hello: HelloResult) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            self._not_greeted(ProtocolError(WRONG_VERSION, str(hello.protocol)))
            return
        log.info("%s answers: version %s, process %d", self.name, hello.version, hello.pid)
        self.is_open, self.sentence = True, NO_SENTENCE
        self._tries, self._ping_waits, self._pinged_at = 0, False, time.monotonic()
        self._on_open(hello)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            self.call(*call)
        self._on_change()

    def _not_greeted(self, error: ProtocolError) -> None:
        if error.code == GONE:
            return  # `on_exit` says more
        sentence = Sentence("{name} refused the connection: {reason}", name=self.name, reason=error.message)
        if error.code == WRONG_VERSION:
            sentence = Sentence(
                "{name} has another version of the backend than this extension ({own}): run {command} there, or update "
                "the extension.",
                name=self.name,
                own=__version__,
                command=UPDATE_COMMAND,
            )
        self._tries = len(AGAIN_SECONDS)
        self._cut(sentence)

    def _ponged(self, answer: Any) -> None:
        if not (isinstance(answer, ProtocolError) and answer.code == GONE):
            self._ping_waits = False

    def _cut(self, sentence: Sentence) -> None:
        if self._cut_because is None and self._child is not None:
            self._cut_because = sentence
            self._child.kill()

    def _lost(self, sentence: Sentence) -> None:
        log.warning("%s", sentence)
        endpoint = self._endpoint
        self._child = self._endpoint = None
        self.is_open = False
        self._next_try = time.monotonic() + AGAIN_SECONDS[min(self._tries, len(AGAIN_SECONDS) - 1)]
        self._tries += 1
        self.sentence = sentence
        if endpoint is not None:
            endpoint.lost(sentence)
        self._on_change()


def _environment() -> dict[str, str]:
    """As this process has it: the person's ssh, its agent and its configuration; a Python there gets its own."""
    kept = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONSAFEPATH", "HF_HUB_OFFLINE"):
        kept.pop(name, None)
    return kept
