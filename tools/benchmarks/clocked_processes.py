"""Real processes whose seconds are claimed. Each function gets an empty folder and returns seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from wan_backend.protocol import PROTOCOL_VERSION
from wan_backend.protocol.endpoint import Endpoint
from wan_backend.protocol.errors import ProtocolError
from wan_backend.protocol.messages import HelloParams, JobParams, JobState, ListParams, SubmitParams
from wan_backend.protocol.methods import SERVER_EVENTS, SERVER_METHODS
from wan_backend.protocol.takes import FrameRate, TakeRequest

PYTHON = [sys.executable, "-m", "wan_backend"]
LONG_TAKE_STEPS = 60
PATIENCE_SECONDS = 120.0


def server_start(folder: Path) -> float:
    """Until the server has greeted."""
    began = time.monotonic()
    with Client(folder):
        return time.monotonic() - began


def answers_meanwhile(folder: Path) -> float:
    """The longest that the list of jobs was waited for while the worker computes."""
    with Client(folder) as client:
        client.begin_take()
        waited = []
        for _ in range(30):
            began = time.monotonic()
            client.ask("list", ListParams())
            waited.append(time.monotonic() - began)
            time.sleep(0.02)
        return max(waited)


def cancel(folder: Path) -> float:
    """Until the job is reported as canceled."""
    with Client(folder) as client:
        job_id = client.begin_take()
        began = time.monotonic()
        client.ask("cancel", JobParams(job_id))
        client.until(lambda: client.states.get(job_id) == JobState.CANCELED)
        return time.monotonic() - began


def leave(folder: Path) -> float:
    """From the end of stdin to the end of the process, which takes its worker along."""
    with Client(folder) as client:
        client.begin_take()
        return client.leave()


def worker_leave(_folder: Path) -> float:
    """From the end of stdin to the end of the process."""
    command = [sys.executable, "-m", "wan_backend.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        while b'"ready"' not in worker.stdout.readline():
            assert worker.poll() is None, "the worker didn't start"
        began = time.monotonic()
        worker.stdin.close()
        worker.wait(PATIENCE_SECONDS)
        return time.monotonic() - began


def interrupt(folder: Path) -> float:
    """`generate` ends its server, its worker and itself."""
    words = ["generate", "a red ball over sand", "--output", str(folder / "out"), "--steps", str(LONG_TAKE_STEPS)]
    with subprocess.Popen([*PYTHON, *words], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = b""
        while b"Step " not in said:
            part = os.read(process.stderr.fileno(), 4096)
            assert part, f"it ended: {said.decode(errors='replace')}"
            said += part
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.stderr.read()
        process.wait(PATIENCE_SECONDS)
        return time.monotonic() - began


class Client:
    """A server of its own, spoken to by one thread that waits for what it asks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.states: dict[str, JobState] = {}
        self._steps: dict[str, int] = {}
        command = [*PYTHON, "serve", "--state", str(folder / "state"), "--device", "cpu"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._endpoint = Endpoint(
            self._send,
            calls=SERVER_METHODS,
            receives=SERVER_EVENTS,
            on_event=self._hear,
            peer="the server",
        )

    def __enter__(self) -> Client:
        self.ask("hello", HelloParams(PROTOCOL_VERSION))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def ask(self, method: str, params: object) -> Any:
        """Call, and wait for the answer. Raises ProtocolError."""
        answers: list[Any] = []
        self._endpoint.call(method, params, answers.append, answers.append)
        self.until(lambda: bool(answers))
        if isinstance(answers[0], ProtocolError):
            raise answers[0]
        return answers[0]

    def until(self, true: Callable[[], bool]) -> None:
        """Hear the server until it is so."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while not true():
            line = self._stdout.readline()
            if not line or time.monotonic() > ends:
                raise TimeoutError("the server left, or took too long")
            self._endpoint.feed(line)

    def begin_take(self) -> str:
        """Have a long take of the embedded model made; its id, once it is past its first step."""
        job_id = uuid.uuid4().hex
        media = str(self._folder / "media")
        request = TakeRequest(
            "a red ball over sand", "embedded", 256, 144, 33, FrameRate(16), 1, media, steps=LONG_TAKE_STEPS
        )
        self.ask("submit", SubmitParams(job_id, request))
        self.until(lambda: self._steps.get(job_id, 0) > 0)
        return job_id

    def leave(self) -> float:
        """Close the server's stdin; how long it took to end."""
        began = time.monotonic()
        if not self._stdin.closed:
            self._stdin.close()
            self._stdout.read()
        self._process.wait(PATIENCE_SECONDS)
        self._stdout.close()
        return time.monotonic() - began

    def _send(self, line: bytes) -> None:
        self._stdin.write(line)
        self._stdin.flush()

    def _hear(self, event: str, message: Any) -> None:
        if event == "job":
            self.states[message.job_id] = message.state
        elif event == "progress":
            self._steps[message.job_id] = message.step
