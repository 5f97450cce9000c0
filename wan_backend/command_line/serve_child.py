"""A server of one's own as a child process, spoken to over the protocol. Standard library and protocol only."""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TypeVar

from ..protocol import PROTOCOL_VERSION, LineSplitter, ProtocolError, Refusal
from ..protocol.conversion import from_json, to_json
from ..protocol.envelope import Notification, Request, Response, parse_line
from ..protocol.errors import INTERNAL_ERROR, REFUSED
from ..protocol.messages import HelloParams, Problem
from ..protocol.methods import SERVER_METHODS
from ..server.worker_process import environment, own_group

T = TypeVar("T")

ANSWER_SECONDS = 60.0
LEAVE_SECONDS = 4.0
ERRORS_FILE = "stderr.txt"


class ServerGone(Exception):
    """The server ended; the message is a sentence for a person."""


class ServeChild:
    """The child, greeted. As a context manager it ends with the block."""

    def __init__(self, state: Path, options: argparse.Namespace) -> None:
        """Start it with the machine's flags in `options`. Raises ServerGone or ProtocolError."""
        self._errors = state / ERRORS_FILE
        command = [sys.executable, "-m", "wan_backend", "serve", "--state", str(state), *_flags(options)]
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(online=True),  # the server itself goes offline, and its worker with it
                **own_group(),
            )
        self._messages: queue.Queue[Notification | Response | None] = queue.Queue()
        self._events: list[Notification] = []
        self._calls = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.call("hello", HelloParams(PROTOCOL_VERSION, "command line"))

    def __enter__(self) -> ServeChild:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, params: Any) -> Any:
        """The method's result. Raises Refusal, ProtocolError or ServerGone."""
        self._calls += 1
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # that it is gone, the answer's absence says
            self._process.stdin.write(Request(self._calls, method, to_json(params)).line())
            self._process.stdin.flush()
        while True:
            message = self._next(ANSWER_SECONDS)
            if isinstance(message, Notification):
                self._events.append(message)
            elif message.id == self._calls:
                return self._result(method, message)

    def event(self, kind: type[T], method: str) -> T:
        """The next event of that method, waited for; others are passed over. Raises ServerGone."""
        while True:
            message = self._events.pop(0) if self._events else self._next(None)
            if isinstance(message, Notification) and message.method == method:
                return from_json(kind, message.params)

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

    def _result(self, method: str, answer: Response) -> Any:
        if answer.error is None:
            result = SERVER_METHODS[method].result
            assert result is not None
            return from_json(result, answer.result, "result")
        if answer.error["code"] == REFUSED:
            raise Refusal(from_json(Problem, answer.error.get("data"), "data"))
        raise ProtocolError(answer.error["code"], str(answer.error["message"]))

    def _next(self, timeout_seconds: float | None) -> Notification | Response:
        try:
            message = self._messages.get(timeout=timeout_seconds)
        except queue.Empty:
            raise ProtocolError(INTERNAL_ERROR, "The backend does not answer; try again.") from None
        if message is None:
            said = self._errors.read_text("utf-8", "replace").strip().split("\n")[-1]
            raise ServerGone(f"The backend ended: {said or 'it did not say why'}")
        return message

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        splitter = LineSplitter()
        while chunk := os.read(stdout.fileno(), 1 << 16):
            for line in splitter.feed(chunk):
                message = parse_line(line) if isinstance(line, bytes) else None
                if isinstance(message, Notification | Response):
                    self._messages.put(message)
        self._messages.put(None)


def _flags(options: argparse.Namespace) -> list[str]:
    flags = ["--device", options.device]
    for folder in options.models_folder:
        flags += ["--models-folder", os.path.abspath(folder)]
    if options.memory_budget_gib:
        flags += ["--memory-budget-gib", str(options.memory_budget_gib)]
    if options.worker_command:
        flags += ["--worker-command", options.worker_command]
    return flags
