"""The life of the backend: starting, greeting, losing it, starting it again. No bpy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...wan_backend.protocol import PROTOCOL_VERSION, ProtocolError
from ...wan_backend.protocol.errors import WRONG_VERSION
from ...wan_backend.protocol.messages import HelloParams, HelloResult
from .client import Client
from .command import BackendMissing, BackendSettings, find
from .process import ChildProcess

log = logging.getLogger(__name__)

QUICK_DEATH_SECONDS = 20.0
QUICK_DEATHS_ALLOWED = 3
HELLO_WITHIN_SECONDS = 30.0
"""Python may have to come from a slow disk."""
AGAIN_AFTER_SECONDS = 0.5


@dataclass(frozen=True)
class BackendState:
    """How the backend is."""

    state: str = "off"
    """off, starting, ready, missing, failed."""
    sentence: str = ""
    log: str = ""
    """Path of the log; empty before the first start."""


class Connection:
    """At most one server at a time, and the ones that are on their way out.

    `on_ready(hello)` is called when a server has greeted, `on_event(name, message)` with each of its events,
    `on_lost()` when it is gone.
    """

    def __init__(
        self,
        settings: Callable[[], BackendSettings],
        on_ready: Callable[[HelloResult], None],
        on_event: Callable[[str, Any], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.state = BackendState()
        self.client: Client | None = None
        self._settings = settings
        self._on_ready, self._on_event, self._on_lost = on_ready, on_event, on_lost
        self._child: ChildProcess | None = None
        self._leaving: list[ChildProcess] = []
        self._started = 0.0
        self._quick_deaths = 0
        self._start_at: float | None = None

    def start(self) -> None:
        """Start the server, unless one is there; forgets earlier deaths."""
        self._quick_deaths = 0
        if self._child is None:
            self._spawn()

    def stop(self) -> None:
        """Let the server go; it is watched on its way out by `tick`."""
        self._start_at = None
        self._drop()
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
        self._leaving = [child for child in self._leaving if not child.gone()]
        if self._start_at is not None and time.monotonic() >= self._start_at:
            self._spawn()
            return True
        if self._child is None or self.client is None:
            return False
        client, child = self.client, self._child
        exit_code = child.exit_code  # asked before reading, so that its last words are read
        changed = client.tick(deadline)
        if self._child is not child:
            return True  # a callback has dropped it
        if exit_code is not None and time.perf_counter() < deadline:
            self._lost(_death_sentence(child, exit_code))
            return True
        overdue = client.overdue()
        if overdue:
            self._lost("The backend stopped answering.")
            return True
        return changed

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
        self._started = time.monotonic()
        self.client = Client(self._child, self._on_event)
        self.state = BackendState("starting", "The backend is starting.", str(self._child.log_path))
        hello = HelloParams(PROTOCOL_VERSION, "Wan VSE in Blender")
        self.client.call("hello", hello, self._greeted, self._not_greeted, HELLO_WITHIN_SECONDS)

    def _greeted(self, hello: HelloResult) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            self._not_greeted(ProtocolError(WRONG_VERSION, f"it speaks version {hello.protocol}"))
            return
        self.state = BackendState("ready", "", self.state.log)
        self._on_ready(hello)

    def _not_greeted(self, error: ProtocolError) -> None:
        sentence = f"The backend refused the greeting: {error.message}"
        if error.code == WRONG_VERSION:
            sentence = (
                "The backend and this extension are of different versions: press Set up backend in the "
                "preferences, or correct the backend that is set there."
            )
        self._fail(sentence)

    def _fail(self, sentence: str) -> None:
        self._drop()
        self.state = BackendState("failed", sentence, self.state.log)
        self._on_lost()

    def _lost(self, sentence: str) -> None:
        quick = time.monotonic() - self._started < QUICK_DEATH_SECONDS
        self._quick_deaths = self._quick_deaths + 1 if quick else 1
        log.warning("%s", sentence)
        if self._quick_deaths >= QUICK_DEATHS_ALLOWED:
            self._fail(f"{sentence} It was started {QUICK_DEATHS_ALLOWED} times in vain; the log says more.")
            return
        self._drop()
        self.state = BackendState("starting", f"{sentence} Starting it again.", self.state.log)
        self._start_at = time.monotonic() + AGAIN_AFTER_SECONDS * self._quick_deaths
        self._on_lost()

    def _drop(self) -> None:
        if self._child is not None:
            self._child.leave()
            self._leaving.append(self._child)
        self._child = self.client = None


def _death_sentence(child: ChildProcess, exit_code: int) -> str:
    words = child.last_words()
    if "No module named" in words:
        lacking = words.rpartition("No module named")[2].strip(" '\"")
        return f"The backend's Python lacks {lacking}: press Set up backend in the preferences."
    manner = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return f"The backend ended unexpectedly ({manner}){': ' + words.rstrip('.') if words else ''}."
