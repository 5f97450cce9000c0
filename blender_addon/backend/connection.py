"""The life of the backend: starting, greeting, losing it, starting it again. No bpy.

No call has a deadline: what has to read a slow disk may take its time. Who answers no ping is dead (pulse), and whose
process has ended is. Such a server is started again, but seldom: then the person is asked.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ...wan_backend.protocol import PROTOCOL_VERSION, ProtocolError
from ...wan_backend.protocol.errors import GONE, WRONG_VERSION
from ...wan_backend.protocol.messages import HelloParams, HelloResult, PingResult
from .client import Client
from .command import BackendMissing, BackendSettings, find
from .process import ChildProcess
from .pulse import HUNG_SECONDS, Pulse

log = logging.getLogger(__name__)

LOSSES_ALLOWED = 3
LOSSES_COUNT_SECONDS = 600.0
"""With so many losses in so long a time it is not started again by itself, however they are spread."""
AGAIN_AFTER_SECONDS = 0.5
LEAVE_SECONDS = 10.0
"""So long the next one waits for the end of the one before, which has the jobs until then; one that hangs is ended by
force within it, and what is still there then is held by the system."""
LONG_START_SECONDS = 120.0
"""A start that takes longer asks the person, who may press Restart; it goes on all the same."""
_TOLD_EVERY_SECONDS = 5
_STARTING = "The backend is starting."
_ENDING = "The backend before this one is still ending."


@dataclass(frozen=True)
class BackendState:
    """How the backend is."""

    state: str = "off"
    """off, starting, ready, missing, failed."""
    sentence: str = ""
    """What a person should know of it; also while it is ready, where it has been busy for long."""
    log: str = ""
    """Path of the log; empty before the first start."""
    asks: bool = False
    """True where the start takes so long that the person is asked whether to go on waiting or to press Restart."""


class Connection:
    """At most one server at a time, and the ones that are on their way out.

    `on_ready(hello)` is called when a server has greeted, `on_event(name, message)` with each of its events,
    `on_lost()` when it is gone. `clock` counts seconds.
    """

    def __init__(
        self,
        settings: Callable[[], BackendSettings],
        on_ready: Callable[[HelloResult], None],
        on_event: Callable[[str, Any], None],
        on_lost: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state = BackendState()
        self.client: Client | None = None
        self._settings = settings
        self._on_ready, self._on_event, self._on_lost = on_ready, on_event, on_lost
        self._clock = clock
        self._child: ChildProcess | None = None
        self._pulse: Pulse | None = None
        self._leaving: list[ChildProcess] = []
        self._started = 0.0
        self._losses: deque[float] = deque()
        self._start_at: float | None = None

    def start(self) -> None:
        """Start the server, unless one is there, as soon as none before it is; forgets earlier losses."""
        self._losses.clear()
        if self._child is not None:
            return
        self._start_at = self._clock()
        if not self._spawn_when_due():
            self.state = BackendState("starting", _ENDING, self.state.log)

    def stop(self) -> None:
        """Let the server go; it is watched on its way out by `tick`."""
        self._start_at = None
        self._drop("The backend was stopped.")
        self.state = BackendState(log=self.state.log)

    def close(self, patience_seconds: float) -> None:
        """Blender or the add-on ends: let every child go, by force after `patience_seconds`."""
        self.stop()
        until = time.monotonic() + patience_seconds
        for child in self._leaving:
            child.end_now(max(0.0, until - time.monotonic()))
        self._leaving.clear()

    def tick(self, deadline: float) -> bool:
        """Read and write until `deadline` (of time.perf_counter); True where something changed."""
        if self._spawn_when_due():
            return True
        if self._child is None or self.client is None:
            return False
        client, child = self.client, self._child
        exit_code = child.exit_code  # asked before reading, so that its last words are read
        changed = client.tick(deadline)
        if self._child is not child:
            return True  # a callback has dropped it
        if exit_code is not None:
            if not client.behind:
                self._lost(_death_sentence(child, exit_code))
            return True
        return self._look_after(client) or changed

    def _look_after(self, client: Client) -> bool:
        before = self.state
        if self._pulse is None:
            self._tell_of_long_start()
        elif self._pulse.tick(self._clock(), client.behind) and not self._is_cramped(self._pulse):
            self._lost(f"The backend has not answered for {HUNG_SECONDS:.0f} s and was ended.", by_force=True)
        elif self.state.state == "ready":
            self.state = replace(self.state, sentence=self._pulse.busy)
        return self.state != before

    def _is_cramped(self, pulse: Pulse) -> bool:
        """Whether one that is silent can't say anything; it goes on by itself once there is room."""
        if self._child is None or not self._child.is_cramped:
            return False
        folder = self._child.log_path.parent
        pulse.spare(f"The backend can't be heard, because the disk of {folder} is full: make room there.")
        return True

    def _tell_of_long_start(self) -> None:
        seconds = int(self._clock() - self._started) // _TOLD_EVERY_SECONDS * _TOLD_EVERY_SECONDS
        if self.state.state != "starting" or seconds == 0:
            return
        if seconds < LONG_START_SECONDS:
            sentence = f"The backend is starting ({seconds} s so far)."
        else:
            sentence = (
                f"The backend has been starting for {seconds // 60} minutes and has not said anything yet: wait where "
                "its disk is slow, or press Restart. The log says more."
            )
        self.state = replace(self.state, sentence=sentence, asks=seconds >= LONG_START_SECONDS)

    def _spawn_when_due(self) -> bool:
        """True where one was started. One that is leaving still owns its jobs: the next would not see them."""
        self._leaving = [child for child in self._leaving if not child.gone()]
        if self._start_at is None or self._clock() < self._start_at + (LEAVE_SECONDS if self._leaving else 0.0):
            return False
        self._spawn()
        return True

    def _spawn(self) -> None:
        self._start_at = None
        try:
            settings = self._settings()
            self._child = ChildProcess(find(settings), settings.user_folder / "run", "server")
        except BackendMissing as missing:
            self.state = BackendState("missing", missing.sentence, self.state.log)
            return
        except OSError as error:
            sentence = f"The extension's folder can't be written in ({error}): free some space, or mend its rights."
            self.state = BackendState("failed", sentence, self.state.log)
            return
        self._started = self._clock()
        self.client = Client(self._child, self._on_event)
        self.state = BackendState("starting", _STARTING, str(self._child.log_path))
        hello = HelloParams(PROTOCOL_VERSION, "Wan VSE in Blender")
        self.client.call("hello", hello, self._greeted, self._not_greeted)

    def _greeted(self, hello: HelloResult) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            self._not_greeted(ProtocolError(WRONG_VERSION, f"it speaks version {hello.protocol}"))
            return
        assert self.client is not None
        client = self.client
        self._pulse = Pulse(lambda answered: client.call("ping", None, answered, _unanswered(answered)))
        self.state = BackendState("ready", "", self.state.log)
        self._on_ready(hello)

    def _not_greeted(self, error: ProtocolError) -> None:
        if error.code == GONE:
            return  # how it ended is told where its end is seen
        sentence = f"The backend refused the greeting: {error.message}"
        if error.code == WRONG_VERSION:
            sentence = (
                "The backend and this extension are of different versions: press Set up backend in the "
                "preferences, or correct the backend that is set there."
            )
        self._fail(sentence)

    def _fail(self, sentence: str) -> None:
        self._drop(sentence)
        self.state = BackendState("failed", sentence, self.state.log)
        self._on_lost()

    def _lost(self, sentence: str, by_force: bool = False) -> None:
        log.warning("%s", sentence)
        now = self._clock()
        self._losses.append(now)
        while now - self._losses[0] > LOSSES_COUNT_SECONDS:
            self._losses.popleft()
        self._drop(sentence, by_force)
        if len(self._losses) >= LOSSES_ALLOWED:
            self._fail(
                f"{sentence} It was started {LOSSES_ALLOWED} times within {LOSSES_COUNT_SECONDS / 60:.0f} minutes: "
                "read its log, then press Restart."
            )
            return
        self.state = BackendState("starting", f"{sentence} Starting it again.", self.state.log)
        self._start_at = now + AGAIN_AFTER_SECONDS * len(self._losses)
        self._on_lost()

    def _drop(self, sentence: str, by_force: bool = False) -> None:
        child, client = self._child, self.client
        self._child = self.client = self._pulse = None
        if child is not None:
            child.leave(by_force)
            self._leaving.append(child)
        if client is not None:
            client.lost(sentence)


def _unanswered(answered: Callable[[PingResult], None]) -> Callable[[ProtocolError], None]:
    def failed(error: ProtocolError) -> None:
        if error.code != GONE:  # a refusal is a sign of life, too
            answered(PingResult())

    return failed


def _death_sentence(child: ChildProcess, exit_code: int) -> str:
    words = child.last_words()
    if "No module named" in words:
        lacking = words.rpartition("No module named")[2].strip(" '\"")
        return f"The backend's Python lacks {lacking}: press Set up backend in the preferences."
    manner = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return f"The backend ended unexpectedly ({manner}){': ' + words.rstrip('.') if words else ''}."
