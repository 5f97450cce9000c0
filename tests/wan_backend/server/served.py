"""A real `serve` child process with the fake worker, for tests. Standard library and the protocol only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan_backend.protocol import PROTOCOL_VERSION
from wan_backend.protocol.sentences import in_english

ROOT = Path(__file__).resolve().parents[3]
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
PATIENCE_SECONDS = 60.0
"""On a busy machine anything may take long; that it comes at all is asked here."""


class Served:
    """The server, its lines as they come, and calls that wait for their answers."""

    def __init__(
        self,
        state: Path,
        models: Path,
        *flags: str,
        command: list[str] | None = None,
        prefix: tuple[str, ...] = (),
        instead: list[str] | None = None,
        **environment: str,
    ):
        """`instead` is the whole command line of something else that speaks as a server."""
        worker = command or [sys.executable, str(FAKE_WORKER)]
        self.started = time.monotonic()
        given = ["--state", str(state), "--models-folder", str(models), "--worker-command", json.dumps(worker), *flags]
        self.process = subprocess.Popen(
            instead or [*prefix, sys.executable, "-m", "wan_backend", "serve", *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": python_path(), **environment},
            cwd=ROOT,
        )
        self.state, self.models = state, models
        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ids = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Served:
        self.call("hello", protocol=PROTOCOL_VERSION)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, line: bytes) -> None:
        """Bytes as they are."""
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call, and give the whole answer."""
        self._ids += 1
        number = self._ids
        self.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n")
        return self.wait(lambda message: message.get("id") == number and "method" not in message)

    def call(self, method: str, **params: Any) -> Any:
        """Call, and give the result."""
        answer = self.ask(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def refused(self, method: str, **params: Any) -> dict[str, Any]:
        """Call, and give the error."""
        answer = self.ask(method, **params)
        assert "error" in answer, answer
        return answer["error"]

    def submit(self, request: dict[str, Any], job_id: str | None = None) -> str:
        """Queue a job; its id."""
        return self.call("submit", job_id=job_id or uuid.uuid4().hex, request=request)["job_id"]

    def wait(self, wanted, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The first message, already here or to come, that `wanted` is true of."""
        until = time.monotonic() + seconds
        seen = 0
        with self._changed:
            while True:
                for message in self.messages[seen:]:
                    if wanted(message):
                        return message
                seen = len(self.messages)
                left = until - time.monotonic()
                assert left > 0 and self._reader.is_alive(), f"nothing came; last: {self.messages[-3:]}"
                self._changed.wait(min(left, 0.2))

    def wait_for(self, job_id: str, *states: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The job's first status in one of the states."""
        return self.wait(lambda message: _is_job(message, job_id) and message["params"]["state"] in states, seconds)[
            "params"
        ]

    def wait_for_worker(self, *states: str, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The worker's first status in one of the states."""
        return self.wait(
            lambda message: message.get("method") == "worker" and message["params"]["state"] in states, seconds
        )["params"]

    def forget_messages(self) -> None:
        """Look only at what comes from now on."""
        with self._changed:
            self.messages.clear()

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs by id, in the order of the list."""
        found: dict[str, dict[str, Any]] = {}
        page = self.call("list")
        while page["next"]:
            found.update({job["job_id"]: job for job in page["jobs"]})
            page = self.call("list", after=page["next"])
        return {**found, **{job["job_id"]: job for job in page["jobs"]}}

    def rows(self, wanted: Callable[[dict[str, Any]], bool] = lambda rows: True, *ids: str) -> list[dict[str, Any]]:
        """The rows of models and extras of these ids (none: of all), once the first look is over and `wanted` of them.

        `wanted` is given row by id.
        """
        until = time.monotonic() + 60.0
        while True:
            known = self.call("models")
            rows = {row["model"]: row for row in [*known["models"], *known["extras"]]}
            if not known["looking"] and wanted(rows):
                return [rows[each] for each in ids or rows]
            assert time.monotonic() < until, known
            time.sleep(0.1)

    def end_stdin(self) -> float:
        """Close stdin and wait; how many seconds it took to leave."""
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(30)
        self._reader.join(5)
        self.process.stdout.close()
        return time.monotonic() - begun

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.end_stdin()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.end_stdin()
        else:
            self.kill()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stdout:
                with self._changed:
                    self.messages.append(in_english(json.loads(line)))
                    self._changed.notify_all()


def python_path() -> str:
    """Where a child's Python looks for modules: in this tree, then where ours was told to."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def request(media: Path, prompt: str = "fog", **changes: Any) -> dict[str, Any]:
    """A request for the embedded model: 5 frames of 144x96 unless changed."""
    made = {
        "prompt": prompt,
        "model": "embedded",
        "width": 144,
        "height": 96,
        "length_frames": 5,
        "frame_rate": {"fps": 24, "fps_base": 1.0},
        "seed": 1,
        "media_folder": str(media),
    }
    return {**made, **changes}


def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until it is so; fails where it never is."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it never was so"
        time.sleep(0.02)


def _is_job(message: dict[str, Any], job_id: str) -> bool:
    return message.get("method") == "job" and message["params"]["job_id"] == job_id


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_with(marker: str) -> list[int]:
    """Processes whose command line or environment has `marker` (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if marker.encode() in text and is_alive(int(folder.name)):
                found.append(int(folder.name))
    return found
