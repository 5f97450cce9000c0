"""Starts a server as a child process and speaks the protocol with it."""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ..protocol import PROTOCOL_VERSION, OverlongLine, ProtocolError, Refusal
from ..protocol.conversion import from_json
from ..protocol.endpoint import Endpoint
from ..protocol.errors import GONE, REFUSED
from ..protocol.messages import HelloParams, Nothing, Problem
from ..protocol.methods import SERVER_EVENTS, SERVER_METHODS
from ..server.serve import own_state_folder
from ..server.worker_process import environment, own_group
from ..storage.byte_sizes import existing_ancestor
from ..storage.disk_errors import reason

PING_SECONDS = 15.0
"""Interval of the pings to a server that owes an answer."""
DEAD_SECONDS = 90.0
"""A server that answers no ping for this long is dead; every other answer may take any time."""
LEAVE_SECONDS = 4.0
ERRORS_FILE = "stderr.txt"


class ServeChild:
    """A server as a child process, greeted. It ends with the `with` block."""

    def __init__(self, state: Path, options: argparse.Namespace, findings: Path | None = None) -> None:
        """Start it with the machine's flags in `options`. Raises ProtocolError.

        What helps later takes is kept in `findings`; without it in `state`. It is an error if a folder that somebody
        named can't be written; of the person's own it is only said.
        """
        unusable = None if findings is None else why_unwritable(findings)
        if unusable and findings != own_state_folder():
            raise ProtocolError(GONE, f"--state {findings} can't be used ({unusable}); choose another folder.")
        if unusable:
            sys.stderr.write(
                f"{findings} can't be written ({unusable}): nothing is kept that would help later takes.\n"
            )
            findings = None
        self._errors = state / ERRORS_FILE
        command = [sys.executable, "-m", "wan_backend", "serve", "--state", str(state), *_flags(options)]
        command += [] if findings is None else ["--findings", os.path.abspath(findings)]
        try:
            self._process = self._started(command)
        except OSError as error:
            place = error.filename or self._errors
            raise ProtocolError(GONE, f"The backend can't be started: {place} ({reason(error)}).") from None
        self._lines: queue.Queue[bytes | OverlongLine | None] = queue.Queue()
        self._events: list[tuple[str, Any]] = []
        self._endpoint = Endpoint(
            self._send,
            calls=SERVER_METHODS,
            receives=SERVER_EVENTS,
            on_event=lambda method, message: self._events.append((method, message)),
            peer="The backend",
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.call("hello", HelloParams(PROTOCOL_VERSION, "command line"))

    def _started(self, command: list[str]) -> subprocess.Popen[bytes]:
        """The process; its stderr goes to a file. Raises OSError."""
        with open(self._errors, "wb") as errors:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(online=True),  # the server itself goes offline, and its worker with it
                **own_group(),
            )

    def __enter__(self) -> ServeChild:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, params: Any) -> Any:
        """The method's result, waited for as long as the server lives. Raises ProtocolError: a Refusal, or GONE."""
        answers: list[Any] = []
        self._endpoint.call(method, params, answers.append, answers.append)
        pinged_at = alive_at = time.monotonic()

        def is_alive(_: Any) -> None:
            nonlocal alive_at
            alive_at = time.monotonic()

        while not answers:
            if self._take(PING_SECONDS):
                continue
            now = time.monotonic()
            if now - alive_at > DEAD_SECONDS:
                raise ProtocolError(GONE, "The backend does not answer; try again.")
            if now - pinged_at >= PING_SECONDS:
                pinged_at = now
                self._endpoint.call("ping", Nothing(), is_alive, is_alive)
        if isinstance(answers[0], ProtocolError):
            raise _as_refusal(answers[0])
        return answers[0]

    def event(self, *methods: str) -> Any:
        """The message of the next event of one of those methods, waited for; others are skipped. Raises
        ProtocolError (GONE)."""
        while True:
            while self._events:
                method, message = self._events.pop(0)
                if method in methods:
                    return message
            self._take(None)

    def close(self) -> None:
        """End it: at the end of its stdin it leaves."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _take(self, timeout_seconds: float | None) -> bool:
        """Handle the server's next line; False if none comes in time. Raises ProtocolError (GONE)."""
        try:
            line = self._lines.get(timeout=timeout_seconds)
        except queue.Empty:
            return False
        if line is None:
            last_line = self._errors.read_text("utf-8", "replace").strip().split("\n")[-1]
            raise ProtocolError(GONE, f"The backend ended: {last_line or 'it did not say why'}")
        self._endpoint.take(line)
        return True

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the end of its stdout shows that it is gone
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout, contextlib.suppress(OSError):
            while chunk := os.read(stdout.fileno(), 1 << 16):
                for line in self._endpoint.lines(chunk):
                    self._lines.put(line)
        self._lines.put(None)


def why_unwritable(folder: Path) -> str:
    """Why nothing can be kept in the folder, or where it is to be made; empty if it can."""
    try:
        with tempfile.TemporaryFile(dir=existing_ancestor(folder.absolute())):
            return ""
    except OSError as error:
        return reason(error)


def _as_refusal(error: ProtocolError) -> ProtocolError:
    """The error, turned into a Refusal if it holds a problem that can be read."""
    if error.code == REFUSED:
        with contextlib.suppress(ProtocolError):
            return Refusal(from_json(Problem, error.details, "data"))
    return error


def _flags(options: argparse.Namespace) -> list[str]:
    flags = ["--device", options.device]
    for card in options.card:
        flags += ["--card", card]
    if options.cards_per_take > 1:
        flags += ["--cards-per-take", str(options.cards_per_take)]
    flags += ["--share-weights"] * options.share_weights
    for folder in options.models_folder:
        flags += ["--models-folder", os.path.abspath(folder)]
    for file, part in options.transformer:
        flags += ["--transformer", f"{file}={part.value}"]
    flags += ["--try-card-ways"] * getattr(options, "try_card_ways", False)
    if options.memory_budget_gib:
        flags += ["--memory-budget-gib", str(options.memory_budget_gib)]
    if options.worker_command:
        flags += ["--worker-command", options.worker_command]
    return flags
