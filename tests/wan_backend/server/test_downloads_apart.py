"""Downloads without their process: what it may say, and folders that hang while they are asked about."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from wan_backend.catalogue import entries
from wan_backend.downloads import cache_notes
from wan_backend.library import hub_cache
from wan_backend.protocol import OverlongLine, ProtocolError
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.downloads import DownloadFile, DownloadPlan, DownloadState, DownloadStatus
from wan_backend.protocol.endpoint import Later
from wan_backend.protocol.envelope import Notification
from wan_backend.server import download_process
from wan_backend.server.download_process import DownloadCommand
from wan_backend.server.download_queue import Downloads
from wan_backend.server.download_records import DownloadRecords, Record
from wan_backend.server.inbox import Call, WorkerExit, WorkerLine

SMALL = entries.entry("wan2.1-t2v-1.3b")
PLAN = DownloadPlan(SMALL.id, SMALL.label, "/models", "a", "b", 100, 60, 60, 1000)
PATIENCE_SECONDS = 60.0
NONSENSE = [
    OverlongLine(b'{"jsonrpc":"2.0","method":"fetch"'), b"\xff\xfe\n", b"Traceback (most recent call last):\n", b"[]\n",
    b'{"jsonrpc":"2.0","method":"fetch","params":{"model":5}}\n', b'{"jsonrpc":"2.0","method":"other","params":{}}\n',
    b'{"jsonrpc":"2.0","id":1,"method":"fetch","params":{}}\n', b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
]  # fmt: skip


class Fetching:
    """What stands for the process: it has said some lines, and ends when it is told to."""

    log_file = Path("none.log")

    def __init__(self, lines: list[Any], receiver: Any) -> None:
        self._receiver = receiver
        for line in lines:
            receiver.put(WorkerLine(1, line))

    def end(self) -> None:
        self._receiver.put(WorkerExit(1, 0))

    kill = end


class Main:
    """The main thread of a server, which does what other threads hand in."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch, *lines: Any) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.told: list[DownloadStatus] = []
        self.started: list[Fetching] = []

        def start(_number, _command, _environment, _logs, receiver, _kind):
            self.started.append(Fetching(list(lines), receiver))
            return self.started[-1]

        monkeypatch.setattr(download_process, "WorkerProcess", start)
        self.command = DownloadCommand(["/models"], state / "logs")
        self.downloads = Downloads(state, self.command, self.inbox, self.told.append)

    def until(self, done: Any) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while not done():
            assert time.monotonic() < until
            with contextlib.suppress(queue.Empty):
                event = self.inbox.get(timeout=0.05)
                assert isinstance(event, Call)
                event.do()

    def ask(self, later: Later) -> list[Any]:
        """Where the answer comes."""
        answers: list[Any] = []
        later.start(answers.append)
        return answers


def line(method: str, message: Any) -> bytes:
    return Notification(method, to_json(message)).line()


@pytest.fixture
def begun(tmp_path):
    """A download that another server left in the middle."""
    files = [DownloadFile("a", 100, SMALL.repo, False, str(tmp_path / "blobs" / "abc"))]
    status = DownloadStatus(SMALL.id, DownloadState.RUNNING, 0, 100, folder=str(tmp_path / "models"))
    DownloadRecords(tmp_path / "downloads").write(Record(status, files))
    return tmp_path


def test_lines_that_make_no_sense_are_passed_over(tmp_path, monkeypatch):
    half = DownloadStatus(SMALL.id, DownloadState.RUNNING, 50, 100)
    other = DownloadStatus("wan2.1-vace-1.3b", DownloadState.RUNNING, 70, 100)
    lines = [*NONSENSE, line("fetch_plan", PLAN), line("fetch", other), line("fetch", half)]
    main = Main(tmp_path, monkeypatch, *lines)
    main.downloads.start(SMALL.id)
    main.until(lambda: main.told[-1].done_bytes == 50)
    assert [status.model for status in main.downloads.statuses()] == [SMALL.id]
    assert 40 in [status.done_bytes for status in main.told], "what the plan said is here"
    main.started[0].end()
    main.until(lambda: main.told[-1].state is DownloadState.FAILED)


@pytest.mark.parametrize("lines", [NONSENSE, [], [*NONSENSE, line("fetch_plan", PLAN)]])
def test_a_plan_is_answered_whatever_the_process_says(tmp_path, monkeypatch, lines):
    main = Main(tmp_path, monkeypatch, *lines)
    answers = main.ask(main.command.plan(SMALL, main.inbox))
    main.started[0].end()
    main.until(lambda: answers)
    (plan,) = answers
    assert plan == PLAN if len(lines) > len(NONSENSE) else plan.problem.kind == "offline" and plan.folder == "/models"


def test_what_another_server_left_is_told_at_once_and_counted_when_the_disk_answers(begun, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(hub_cache, "fetched_bytes", lambda *_: gate.wait(PATIENCE_SECONDS) and 30)
    main = Main(begun, monkeypatch)
    (status,) = main.downloads.statuses()
    assert (status.state, status.done_bytes) == (DownloadState.PAUSED, 0) and main.told == []
    gate.set()
    main.until(lambda: main.told)
    assert main.told == main.downloads.statuses() and main.told[0].done_bytes == 30


def test_what_is_counted_late_is_forgotten(begun, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(hub_cache, "fetched_bytes", lambda *_: gate.wait(PATIENCE_SECONDS) and 30)
    half = DownloadStatus(SMALL.id, DownloadState.RUNNING, 50, 100)
    main = Main(begun, monkeypatch, line("fetch", half))
    main.downloads.start(SMALL.id)
    main.until(lambda: main.told[-1].done_bytes == 50)
    gate.set()
    event = main.inbox.get(timeout=PATIENCE_SECONDS)
    event.do()
    assert main.told[-1].done_bytes == 50


def test_a_cancel_is_answered_when_the_disk_answers(begun, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(cache_notes, "is_downloading", lambda *_: not gate.wait(PATIENCE_SECONDS))
    main = Main(begun, monkeypatch)
    answers = main.ask(main.downloads.cancel(SMALL.id))
    assert answers == [] and [status.model for status in main.downloads.statuses()] == [SMALL.id]
    gate.set()
    main.until(lambda: main.told and main.told[-1].state is DownloadState.CANCELED)
    assert answers[0].sentence == "Canceling." and main.downloads.statuses() == []


def test_a_cancel_of_what_another_process_fetches_is_refused(begun, monkeypatch):
    monkeypatch.setattr(cache_notes, "is_downloading", lambda *_: True)
    main = Main(begun, monkeypatch)
    answers = main.ask(main.downloads.cancel(SMALL.id))
    main.until(lambda: answers)
    assert isinstance(answers[0], ProtocolError) and answers[0].problem.kind == "busy"


def test_a_cancel_ends_though_nothing_can_be_removed(begun, monkeypatch):
    def fail(_):
        raise RuntimeError("a loop of links")

    monkeypatch.setattr(hub_cache, "remove_blobs", fail)
    main = Main(begun, monkeypatch)
    main.ask(main.downloads.cancel(SMALL.id))
    main.until(lambda: main.told and main.told[-1].state is DownloadState.CANCELED)
    assert main.downloads.statuses() == []
