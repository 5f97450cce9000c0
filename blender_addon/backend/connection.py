"""The life of the backend's server: it is started, greeted, watched, lost and restarted.

No call has a deadline, because a server that reads a slow disk may take its time. A server is lost when its process has
ended or when it answers no ping (Heartbeat). Then it is started again, unless that happened too often.
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
from ..translation import translated
from .child_process import ChildProcess
from .client import ChildClient
from .launch_command import (
    BackendMissing,
    BackendSettings,
    Remedy,
    advice_on_choice,
    find,
    is_chosen,
    remedy_of_choice,
)

log = logging.getLogger(__name__)

LOSSES_ALLOWED = 3
LOSSES_COUNT_SECONDS = 600.0
"""A server that is lost LOSSES_ALLOWED times within this time is not restarted automatically."""
RESTART_AFTER_SECONDS = 0.5
"""Times the number of losses so far: a server that dies at once is not restarted in a loop."""
LEAVE_SECONDS = 10.0
"""A new server waits at most this long for the end of the one before, which owns the jobs until then. One that hangs is
ended by force within this time; a process that is still there afterwards is stuck in the system."""
LONG_START_SECONDS = 120.0
"""The person is offered Restart when a start takes longer than this; the start continues all the same."""
_START_REPORT_SECONDS = 5
PING_SECONDS = 3.0
"""The time from an answer to the next ping."""
HUNG_SECONDS = 20.0
"""A server hangs if a ping goes unanswered this long while the answer would be read."""
BUSY_SECONDS = 60.0
"""The panel says what a server is busy with when one thing takes it longer than this."""
_MAX_TICK_SECONDS = 1.0
"""Of a longer time between two ticks, only this much counts as the server's silence: Blender itself was busy."""
_STARTING = "The backend is starting."
SET_UP_AGAIN = "press Set Up Backend in the preferences"
_ENDING = "The previous backend is still ending."


@dataclass(frozen=True)
class BackendStatus:
    """Whether there is a backend, and what the person should know about it."""

    state: str = "off"
    """One of off, starting, ready, missing and failed."""
    sentence: str = ""
    """Why; while the backend is ready, what has kept it busy for a long time."""
    log: str = ""
    """Path of the log; empty before the first start."""
    asks: bool = False
    """True if the start takes so long that Restart is offered."""
    remedy: Remedy = Remedy.NONE
    """What a button can do if it is missing or has failed."""


class Heartbeat:
    """Whether one server still answers. `ping(answered)` sends a ping."""

    def __init__(self, ping: Callable[[Callable[[PingResult], None]], None]) -> None:
        self.busy = ""
        """A sentence about what has kept the server busy for a long time; empty otherwise."""
        self._ping = ping
        self._waits = False
        self._silent = 0.0
        self._since_answer = PING_SECONDS
        self._last_tick: float | None = None

    def tick(self, now: float, behind: bool) -> bool:
        """Ping when it is time; True if the server hangs. `now` is in seconds; `behind` if output is still unread."""
        passed = min(_MAX_TICK_SECONDS, now - (now if self._last_tick is None else self._last_tick))
        self._last_tick = now
        if not self._waits:
            self._since_answer += passed
            if self._since_answer >= PING_SECONDS:
                self._waits, self._silent = True, 0.0
                self._ping(self._answered)
            return False
        if not behind:  # else its answer may lie there
            self._silent += passed
        return self._silent >= HUNG_SECONDS

    def reset_silence(self, sentence: str) -> None:
        """Count the silence from zero, for the known reason `sentence`, which is shown until an answer comes."""
        self._silent, self.busy = 0.0, sentence

    def _answered(self, result: PingResult) -> None:
        self._waits, self._since_answer = False, 0.0
        self.busy = ""
        if result.busy_seconds >= BUSY_SECONDS:
            self.busy = _busy_sentence(result)


def _busy_sentence(result: PingResult) -> str:
    if result.busy_with:
        words = translated("The backend has been busy with {} for {:.0f} s.")
        return words.format(result.busy_with, result.busy_seconds)
    return translated("The backend has been busy for {:.0f} s.").format(result.busy_seconds)


class Connection:
    """The server that runs, of which there is at most one, and those that are ending.

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
        self.status = BackendStatus()
        self.client: ChildClient | None = None
        self._settings = settings
        self._on_ready, self._on_event, self._on_lost = on_ready, on_event, on_lost
        self._clock = clock
        self._child: ChildProcess | None = None
        self._heartbeat: Heartbeat | None = None
        self._leaving: list[ChildProcess] = []
        self._started = 0.0
        self._losses: deque[float] = deque()
        self._start_at: float | None = None
        self._choice: Remedy | None = None
        """What helps if the server is one that the preferences name, and doesn't work; None if it isn't one."""

    def start(self) -> None:
        """Start the server, unless one runs, as soon as the previous one has ended. Forgets earlier losses."""
        self._losses.clear()
        if self._child is not None:
            return
        self._start_at = self._clock()
        if not self._spawn_when_due():
            self.status = BackendStatus("starting", _ENDING, self.status.log)

    def stop(self) -> None:
        """Ask the server to end; `tick` ends it by force if it doesn't. A job that runs goes on at the next server."""
        self._start_at = None
        if self.client is not None and self._child is not None and self.status.state == "ready":
            self.client.call("shutdown")
            self._child.flush()
        self._drop("The backend was stopped.")
        self.status = BackendStatus(log=self.status.log)

    def close(self, patience_seconds: float) -> None:
        """End every child, by force after `patience_seconds`, because Blender or the add-on ends."""
        self.stop()
        until = time.monotonic() + patience_seconds
        for child in self._leaving:
            child.end_now(max(0.0, until - time.monotonic()))
        self._leaving.clear()

    def tick(self, deadline: float) -> bool:
        """Read and write until `deadline` (of time.perf_counter); True if something changed."""
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
                self._lost(_death_sentence(child, exit_code, self._choice))
            return True
        return self._look_after(client) or changed

    def _look_after(self, client: ChildClient) -> bool:
        before = self.status
        if self._heartbeat is None:
            self._report_long_start()
        elif self._heartbeat.tick(self._clock(), client.behind) and not self._is_disk_full(self._heartbeat):
            words = translated("The backend has not answered for {:.0f} s and was ended.")
            self._lost(words.format(HUNG_SECONDS), by_force=True)
        elif self.status.state == "ready":
            self.status = replace(self.status, sentence=self._heartbeat.busy)
        return self.status != before

    def _is_disk_full(self, heartbeat: Heartbeat) -> bool:
        """Whether a silent server can't write its output; it continues by itself once the disk has room."""
        if self._child is None or not self._child.is_disk_full:
            return False
        folder = self._child.log_path.parent
        words = translated("The backend can't answer because the disk of {} is full: make room there.")
        heartbeat.reset_silence(words.format(folder))
        return True

    def _report_long_start(self) -> None:
        seconds = int(self._clock() - self._started) // _START_REPORT_SECONDS * _START_REPORT_SECONDS
        if self.status.state != "starting" or seconds == 0:
            return
        if seconds < LONG_START_SECONDS:
            sentence = translated("The backend is starting ({} s so far).").format(seconds)
        else:
            sentence = translated(
                "The backend has been starting for {} minutes and has not answered yet: wait if its disk is slow, or "
                "press Restart. The log says more."
            ).format(seconds // 60)
        self.status = replace(self.status, sentence=sentence, asks=seconds >= LONG_START_SECONDS)

    def _spawn_when_due(self) -> bool:
        """Start the server if that is due; True if it was. One that is ending still owns the jobs."""
        self._leaving = [child for child in self._leaving if not child.has_ended()]
        if self._start_at is None or self._clock() < self._start_at + (LEAVE_SECONDS if self._leaving else 0.0):
            return False
        self._spawn()
        return True

    def _spawn(self) -> None:
        self._start_at = None
        self._choice = None
        try:
            settings = self._settings()
            self._choice = remedy_of_choice(settings) if is_chosen(settings) else None
            self._child = ChildProcess(find(settings), settings.user_folder / "run", "server")
        except BackendMissing as missing:
            sentence, remedy = missing.sentence, missing.remedy
            if remedy is None:
                remedy = self._choice or Remedy.SET_UP
                sentence = f"{sentence.removesuffix('.')}: {_advice(self._choice)}."
            self.status = BackendStatus("missing", sentence, self.status.log, remedy=remedy)
            return
        except OSError as error:
            words = translated(
                "The extension's folder can't be written to ({}): free some space, or fix its permissions."
            )
            self.status = BackendStatus("failed", words.format(error), self.status.log)
            return
        self._started = self._clock()
        self.client = ChildClient(self._child, self._on_event)
        self.status = BackendStatus("starting", _STARTING, str(self._child.log_path))
        hello = HelloParams(PROTOCOL_VERSION, "Wan VSE in Blender")
        self.client.call("hello", hello, self._greeted, self._not_greeted)

    def _greeted(self, hello: HelloResult) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            self._not_greeted(ProtocolError(WRONG_VERSION, str(hello.protocol)))
            return
        assert self.client is not None
        client = self.client
        self._heartbeat = Heartbeat(lambda answered: client.call("ping", None, answered, _unanswered(answered)))
        self.status = BackendStatus("ready", "", self.status.log)
        self._on_ready(hello)

    def _not_greeted(self, error: ProtocolError) -> None:
        if error.code == GONE:
            return  # `tick` reports how it ended
        sentence = translated("The backend refused the connection: {}").format(translated(error.message))
        if error.code == WRONG_VERSION:
            sentence = translated("The backend and this extension are of different versions: {}.")
            sentence = sentence.format(_advice(self._choice))
        self._fail(sentence)

    def _fail(self, sentence: str) -> None:
        self._drop(sentence)
        self.status = BackendStatus("failed", sentence, self.status.log, remedy=self._choice or Remedy.NONE)
        self._on_lost()

    def _lost(self, sentence: str, by_force: bool = False) -> None:
        log.warning("%s", sentence)
        now = self._clock()
        self._losses.append(now)
        while now - self._losses[0] > LOSSES_COUNT_SECONDS:
            self._losses.popleft()
        self._drop(sentence, by_force)
        if len(self._losses) >= LOSSES_ALLOWED:
            words = translated("{} It was started {} times within {:.0f} minutes: read its log, then press Restart.")
            self._fail(words.format(sentence, LOSSES_ALLOWED, LOSSES_COUNT_SECONDS / 60))
            return
        self.status = BackendStatus("starting", translated("{} Restarting it.").format(sentence), self.status.log)
        self._start_at = now + RESTART_AFTER_SECONDS * len(self._losses)
        self._on_lost()

    def _drop(self, sentence: str, by_force: bool = False) -> None:
        child, client = self._child, self.client
        self._child = self.client = self._heartbeat = None
        if child is not None:
            child.leave(by_force)
            self._leaving.append(child)
        if client is not None:
            client.lost(sentence)


def _unanswered(answered: Callable[[PingResult], None]) -> Callable[[ProtocolError], None]:
    def failed(error: ProtocolError) -> None:
        if error.code != GONE:  # one that refuses is alive
            answered(PingResult())

    return failed


def _advice(choice: Remedy | None) -> str:
    """What helps if the backend doesn't work, to follow a colon."""
    return translated(SET_UP_AGAIN) if choice is None else advice_on_choice(choice)


def _death_sentence(child: ChildProcess, exit_code: int, choice: Remedy | None) -> str:
    words = child.last_log_line()
    if "No module named" in words:
        lacking = words.rpartition("No module named")[2].strip(" '\"")
        if choice is not None:
            sentence = translated("The backend set in the preferences, {}, lacks {}: {}.")
            return sentence.format(child.program, lacking, _advice(choice))
        return translated("The backend's Python lacks {}: press Set Up Backend in the preferences.").format(lacking)
    manner = translated("signal {}" if exit_code < 0 else "exit code {}").format(abs(exit_code))
    if words:
        manner = f"{manner}: {words.rstrip('.')}"
    if choice is not None:
        sentence = translated("The backend set in the preferences, {}, ended unexpectedly ({}).")
        return sentence.format(child.program, manner)
    return translated("The backend ended unexpectedly ({}).").format(manner)
