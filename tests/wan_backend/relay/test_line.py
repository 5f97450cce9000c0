"""A line whose far end starts and never says a word: no process, and no time that passes."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

import pytest

from wan_backend.relay import line as lines
from wan_backend.server.inbox import WorkerExit


class SilentChild:
    """In the place of what runs the command."""

    killed = 0

    def __init__(self, number: int, command: list[str], environment: dict[str, str], logs: Path, *_: Any) -> None:
        self.number, self.log_file, self.message_at = number, logs / "line.log", 0.0

    def send(self, line: bytes) -> None:
        """It is not heard."""

    def kill(self) -> None:
        SilentChild.killed += 1


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(lines, "WorkerProcess", SilentChild)
    monkeypatch.setattr(SilentChild, "killed", 0)
    return now


def test_one_that_never_greets_is_cut_and_said_and_tried_again(clock, tmp_path):
    changed: list[str] = []
    asked: list[Any] = []

    def on_change() -> None:
        changed.append(line.sentence)

    command, inbox = ["ssh", "box", "sleep"], queue.SimpleQueue()
    line = lines.Line("box", command, tmp_path, inbox, lambda _: None, lambda *_: None, on_change)
    line.call("list", None, asked.append, asked.append)
    line.tick()
    clock[0] += lines.GREETING_SECONDS - 1
    line.tick()
    assert line.is_running and not SilentChild.killed
    clock[0] += 2
    line.tick()
    line.tick()
    assert SilentChild.killed == 1
    line.on_exit(WorkerExit(1, -9))
    assert changed == ["box does not answer: see that it is on."] and not line.is_running and not line.is_open
    assert not asked, "it waits for a line"
    line.tick()
    assert not line.is_running
    clock[0] += lines.AGAIN_SECONDS[0]
    line.tick()
    assert line.is_running
