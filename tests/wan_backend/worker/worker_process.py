"""The worker's process as a test talks to it, and what its takes look like."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wan_backend.protocol.conversion import from_json, to_json
from wan_backend.protocol.envelope import Request
from wan_backend.protocol.errors import REFUSED
from wan_backend.protocol.messages import AliveParams, Problem, ProgressParams, ReadyParams, RunParams, RunResult

WAIT_SECONDS = 300


class Worker:
    """The process, its events, and what it answered."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wan_backend.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        self.progress: list[ProgressParams] = []
        self._number = 0
        self.beats: list[AliveParams] = []
        self.ready = from_json(ReadyParams, self.read()["params"])

    def end(self) -> int:
        """Close its stdin; gives its exit code."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(WAIT_SECONDS)
        self.process.stdout.close()
        return code

    def send(self, method: str, params: Any) -> int:
        self._number += 1
        self.write(Request(self._number, method, to_json(params)).line())
        return self._number

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """The next line that is no heartbeat and names no file; the worker is killed where none comes."""
        while (message := self._read()).get("method") in ("alive", "reading"):
            if message["method"] == "alive":
                self.beats.append(from_json(AliveParams, message["params"]))
        return message

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        alarm = threading.Timer(WAIT_SECONDS, self.process.kill)
        alarm.start()
        line = self.process.stdout.readline()
        alarm.cancel()
        assert line, f"the worker is gone: {self.log.read_text()[-2000:]}"
        value: dict[str, Any] = json.loads(line)
        return value

    def answer(self, number: int | None) -> dict[str, Any]:
        """What is answered to request `number`; progress on the way is kept."""
        while "method" in (message := self.read()) or message["id"] != number:
            if message.get("method") == "progress":
                self.progress.append(from_json(ProgressParams, message["params"]))
        return message

    def wait_for(self, state: str, step: int = 0) -> None:
        """Read until the job is there."""
        while True:
            message = self.read()
            assert message.get("method") == "progress", message
            if message["params"]["state"] == state and message["params"]["step"] >= step:
                return

    def run(self, params: RunParams) -> RunResult:
        self.progress = []
        answer = self.answer(self.send("run", params))
        assert "error" not in answer, (answer, self.log.read_text()[-3000:])
        return from_json(RunResult, answer["result"])

    def refusal(self, params: RunParams) -> Problem:
        return problem_in(self.answer(self.send("run", params)))


def problem_in(answer: dict[str, Any]) -> Problem:
    assert answer["error"]["code"] == REFUSED
    return from_json(Problem, answer["error"]["data"])


def pictures(folder: str) -> np.ndarray:
    return np.stack([cv2.imread(str(file))[:, :, ::-1] for file in sorted(Path(folder).glob("*.png"))])


def left_behind(media: str) -> list[str]:
    return sorted(entry.name for entry in Path(media).iterdir()) if Path(media).exists() else []
