"""The life of a backend, with a child whose answers the test decides."""

from __future__ import annotations

import itertools
import json
import os
import time

import pytest

from wan_backend.protocol import PROTOCOL_VERSION

PIDS = itertools.count(100)


class Child:
    """Stands in for ChildProcess."""

    def __init__(self, command, run_folder, name) -> None:
        self.sent: list[dict] = []
        self.output: list[bytes] = []
        self.exit_code: int | None = None
        self.left, self.forced, self.is_gone, self.is_disk_full = False, False, True, False
        self.pid, self.log_path = next(PIDS), run_folder / "server.log"

    def send(self, line) -> None:
        self.sent.append(json.loads(line))

    def flush(self) -> None:
        pass

    def read(self) -> bytes:
        output, self.output = b"".join(self.output), []
        return output

    def answers(self, method: str, **result) -> None:
        """The last call of that method."""
        asked = next(message for message in reversed(self.sent) if message["method"] == method)
        self.output.append(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode() + b"\n")

    def greets(self) -> None:
        self.answers("hello", protocol=PROTOCOL_VERSION, version="0", tasks=[], pid=self.pid, state_folder="/s", log="")

    def last_log_line(self) -> str:
        return ""

    def leave(self, by_force: bool = False) -> None:
        self.left, self.forced = True, by_force

    def has_ended(self) -> bool:
        return self.is_gone

    def end_now(self, patience_seconds: float) -> None:
        self.left = True


@pytest.fixture
def life(addon, monkeypatch, tmp_path):
    return Life(addon, monkeypatch, tmp_path)


class Life:
    """A connection with its clock and its children."""

    def __init__(self, addon, monkeypatch, tmp_path) -> None:
        module, command = addon("backend.connection"), addon("backend.launch_command")
        self.children: list[Child] = []
        self.now, self.ready, self.lost = 1000.0, 0, 0

        def start(*arguments):
            self.children.append(Child(*arguments))
            return self.children[-1]

        monkeypatch.setattr(module, "ChildProcess", start)
        monkeypatch.setattr(module, "find", lambda settings: command.BackendCommand(["python"], {}))
        settings = command.BackendSettings(tmp_path, tmp_path)
        self.connection = module.Connection(
            lambda: settings, self._ready, lambda *_: None, self._lost, clock=lambda: self.now
        )

    def _ready(self, hello) -> None:
        self.ready += 1

    def _lost(self) -> None:
        self.lost += 1

    @property
    def child(self) -> Child:
        return self.children[-1]

    @property
    def status(self):
        return self.connection.status

    def tick(self, seconds: float = 0.0, pings_answered: bool = False, **pong) -> None:
        """Half a second at a time."""
        end = self.now + seconds
        while True:
            self.connection.tick(time.perf_counter() + 30)
            if pings_answered and any(message["method"] == "ping" for message in self.child.sent):
                self.child.answers("ping", **pong)
                self.child.sent.clear()
            if self.now >= end:
                return
            self.now += 0.5

    def begin(self) -> None:
        self.connection.start()
        self.child.greets()
        self.tick()


@pytest.mark.ci
@pytest.mark.skipif(os.name == "nt", reason="files that are programs by their mode")
@pytest.mark.parametrize(
    ("content", "state", "says"),
    [
        ("", "missing", "could not be started with"),
        ("#!/bin/sh\nexit 3\n", "failed", "ended unexpectedly (exit code 3)"),
        ("#!/bin/sh\necho No module named wan >&2; exit 1\n", "failed", "lacks wan: clear the field"),
    ],
)
def test_a_chosen_backend_that_does_not_work_is_named_with_what_helps(addon, tmp_path, content, state, says) -> None:
    command = addon("backend.launch_command")
    program = tmp_path / "my python"
    program.write_text(content)
    program.chmod(0o755 if content else 0o644)
    settings = command.BackendSettings(tmp_path, tmp_path / "user", command=str(program))
    module = addon("backend.connection")
    connection = module.Connection(lambda: settings, lambda _: None, lambda *_: None, lambda: None)
    connection.start()
    until = time.monotonic() + 60
    while connection.status.state == "starting" and time.monotonic() < until:
        connection.tick(time.perf_counter() + 30)
        time.sleep(0.01)
    status = connection.status
    connection.close(10)
    assert status.state == state and status.remedy is command.Remedy.CLEAR
    assert str(program) in status.sentence and says in status.sentence


def test_a_slow_start_is_waited_for_and_told_and_then_the_person_is_asked(life) -> None:
    life.connection.start()
    life.tick(41)
    assert (life.status.state, life.status.sentence) == ("starting", "The backend is starting (40 s so far).")
    assert not life.status.asks
    life.tick(600)
    assert life.status.state == "starting" and life.status.asks
    assert "10 minutes" in life.status.sentence and "Restart" in life.status.sentence
    assert life.children == [life.child] and not life.child.left
    life.child.greets()
    life.tick()
    assert (life.status.state, life.status.sentence, life.status.asks, life.ready) == ("ready", "", False, 1)


def test_no_answer_is_ever_too_late(life) -> None:
    life.begin()
    answers: list = []
    life.connection.client.call("models", answered=answers.append)
    question = life.child.sent[-1]
    life.tick(3600, pings_answered=True)
    assert life.status.state == "ready" and len(life.children) == 1
    life.child.sent.append(question)
    life.child.answers("models", models=[])
    life.tick()
    assert len(answers) == 1


def test_a_server_that_answers_no_ping_is_ended_and_another_started(life) -> None:
    life.begin()
    failures: list = []
    life.connection.client.call("list", failed=failures.append)
    life.tick(30)
    assert len(life.children) == 2
    assert life.children[0].left and life.children[0].forced
    assert (life.status.state, life.lost) == ("starting", 1)
    assert "has not answered for 20 s" in failures[0].message


def test_one_that_has_no_room_to_answer_is_left_alone_and_the_disk_is_named(life) -> None:
    life.begin()
    life.child.is_disk_full = True
    life.tick(100)
    assert len(life.children) == 1 and life.status.state == "ready"
    assert "is full: make room" in life.status.sentence and str(life.child.log_path.parent) in life.status.sentence
    life.child.answers("ping")
    life.tick(1)
    assert (life.status.state, life.status.sentence) == ("ready", "")
    life.child.is_disk_full = False
    life.tick(40)
    assert len(life.children) == 2


def test_one_that_is_busy_is_left_alone_and_its_sentence_says_so(life) -> None:
    life.begin()
    life.tick(120, pings_answered=True, busy_seconds=70.0, busy_with="submit")
    assert len(life.children) == 1
    assert life.status.sentence == "The backend has been busy with submit for 70 s."
    life.tick(10, pings_answered=True, busy_seconds=0.0)
    assert (life.status.state, life.status.sentence) == ("ready", "")


@pytest.mark.parametrize("apart_seconds", [0, 25, 100, 250])
def test_restarts_are_few_however_they_are_spread(life, apart_seconds) -> None:
    life.begin()
    for _ in range(10):
        if life.status.state == "failed":
            break
        life.tick(apart_seconds, pings_answered=True)
        life.child.exit_code = -9
        life.tick(3)
        if life.status.state == "starting":
            life.child.greets()
            life.tick()
    assert life.status.state == "failed"
    assert len(life.children) == 3
    assert "3 times" in life.status.sentence and "Restart" in life.status.sentence and "log" in life.status.sentence


def test_deaths_that_are_far_apart_are_forgotten(life) -> None:
    life.begin()
    for _ in range(6):
        life.tick(400, pings_answered=True)
        life.child.exit_code = 1
        life.tick(3)
        life.child.greets()
        life.tick()
    assert life.status.state == "ready" and len(life.children) == 7


def test_the_persons_restart_begins_to_count_anew(life) -> None:
    life.begin()
    for _ in range(3):
        life.child.exit_code = 1
        life.tick(3)
    assert life.status.state == "failed"
    life.begin()
    life.child.exit_code = 1
    life.tick(3)
    assert life.status.state == "starting" and len(life.children) == 5


@pytest.mark.parametrize("ends", [True, False])
def test_a_restart_waits_for_the_end_of_the_one_before_which_has_the_jobs(life, ends) -> None:
    life.begin()
    life.child.is_gone = False
    life.connection.stop()
    life.connection.start()
    life.tick(4)
    assert (life.status.state, len(life.children)) == ("starting", 1) and "ending" in life.status.sentence
    life.child.is_gone = ends
    life.tick(1 if ends else 10)
    assert len(life.children) == 2, "and for one that the system holds, not without end"
    life.child.greets()
    life.tick()
    assert life.status.state == "ready"


def test_a_restart_that_is_taken_back_starts_nothing(life) -> None:
    life.begin()
    life.child.is_gone = False
    life.connection.stop()
    life.connection.start()
    life.connection.stop()
    life.tick(20)
    assert life.status.state == "off" and len(life.children) == 1


def test_a_render_of_an_hour_ends_no_server(life) -> None:
    life.begin()
    life.tick(4)
    for _ in range(3):
        life.now += 3600
        life.tick()
    assert len(life.children) == 1 and life.status.state == "ready"
    life.child.answers("ping")
    life.tick(1)
    assert life.status.state == "ready"


def test_last_words_are_read_before_its_end_is_told(life) -> None:
    life.begin()
    answers: list = []
    life.connection.client.call("release", answered=answers.append)
    life.child.answers("release", workers=[{"state": "none"}])
    life.child.exit_code = 0
    life.tick()
    assert len(answers) == 1 and life.lost == 1


def test_another_version_is_a_sentence_and_no_restart(life) -> None:
    life.connection.start()
    life.child.answers("hello", protocol=2, version="0", tasks=[], pid=1, state_folder="/s", log="")
    life.tick(60)
    assert life.status.state == "failed" and "different versions" in life.status.sentence
    assert len(life.children) == 1 and life.child.left
