"""The worker's life with a real process: that which hangs is noticed, that which works is left alone."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.wan_backend.server.served import FAKE_WORKER, ROOT, is_alive
from wan_backend.protocol.choices import Role
from wan_backend.protocol.messages import (
    FrameRate,
    Plan,
    Problem,
    ProblemKind,
    ProgressParams,
    RunParams,
    RunResult,
    Source,
    TakeRequest,
    WorkerState,
    WorkerStatus,
)
from wan_backend.server import worker_life, worker_process
from wan_backend.server.inbox import Call, Inbox, WorkerExit, WorkerLine
from wan_backend.server.worker_life import WorkerLife
from wan_backend.server.worker_pulse import Timeouts

pytestmark = [
    pytest.mark.ci,
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes, and reads /proc"),
]
DEADLINE_SECONDS = 60.0
NEVER = 1000.0
QUICK = Timeouts(look=0.1, fresh=NEVER, silent=2.0, loading_silent=2.0, at_disk=NEVER, gap=NEVER)
RATE = FrameRate(16)


class Heard:
    """Stands for the job runner: keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[WorkerState] = []
        self.done: dict[str, RunResult] = {}
        self.failed: dict[str, Problem] = {}
        self.progress: list[ProgressParams] = []

    def worker_changed(self, status: WorkerStatus) -> None:
        self.states.append(status.state)

    def job_progressed(self, report: ProgressParams) -> None:
        self.progress.append(report)

    def job_finished(self, job_id: str, result: RunResult) -> None:
        self.done[job_id] = result

    def job_failed(self, job_id: str, problem: Problem) -> None:
        self.failed[job_id] = problem


class Living:
    """A worker's life with a loop as the server has one."""

    def __init__(self, folder: Path, patience: Timeouts, beat: float = 0.1) -> None:
        self.inbox: Inbox = queue.SimpleQueue()
        around = {**os.environ, "PYTHONPATH": str(ROOT), "FAKE_WORKER_BEAT": str(beat)}
        command = [sys.executable, str(FAKE_WORKER)]
        self.life = WorkerLife(command, around, folder / "logs", self.inbox, patience)
        self.heard = self.life.listener = Heard()
        self._folder = folder

    def until(self, wanted: Callable[[], object]) -> None:
        """Serve until it comes true."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not wanted():
            assert time.monotonic() < end, (self.life.status, self.heard.failed)
            self.serve_one()

    def serve_one(self) -> None:
        due = self.life.seconds_to_deadline()
        try:
            event = self.inbox.get(timeout=0.5 if due is None else min(due, 0.5))
        except queue.Empty:
            event = None
        if isinstance(event, WorkerLine):
            self.life.on_line(event)
        elif isinstance(event, WorkerExit):
            self.life.on_exit(event)
        elif isinstance(event, Call):
            event.do()
        self.life.tick()

    def get_ready(self) -> int:
        """Have a worker; its process."""
        self.life.want()
        self.until(lambda: self.life.status.state is WorkerState.READY)
        return self.life._process.pid

    def run(self, prompt: str, job: str = "a" * 32, **changes: object) -> str:
        asked = TakeRequest(prompt, "m", 64, 64, 3, RATE, 1, str(self._folder / "media"))
        plan = Plan("m", 64, 64, 5, RATE, 3, 4, 1.0, 3.0, "unipc")
        self.life.run(RunParams(job, replace(asked, **changes), plan, "/model"))
        return job

    def ended(self, job: str) -> bool:
        return job in self.heard.done or job in self.heard.failed


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Living]]:
    """live(patience) is a life; all that lives is ended at the end of the test."""
    lives: list[Living] = []

    def begin(patience: Timeouts = QUICK, **more: float) -> Living:
        lives.append(Living(tmp_path, patience, **more))
        return lives[-1]

    yield begin
    for each in lives:
        each.life.stop(10)


def test_a_job_is_made(live):
    living = live()
    living.get_ready()
    job = living.run("fog")
    living.until(lambda: living.ended(job))
    assert living.heard.done[job].take.frames == 3 and living.heard.progress
    assert living.life.can_take_a_job and not living.life.busy_with


def test_a_worker_that_is_stopped_is_ended_and_the_job_can_go_on(live):
    living = live()
    pid = living.get_ready()
    job = living.run("stop")
    living.until(lambda: living.ended(job))
    problem = living.heard.failed[job]
    assert problem.kind is ProblemKind.INTERRUPTED
    assert problem.sentence == (
        "The worker stopped responding while it made step 2 of 4 and was ended; press Retry, and the take resumes from "
        "its last step."
    )
    assert Path(problem.log).is_file()
    living.until(lambda: not is_alive(pid))
    assert living.life.status.state is WorkerState.NONE
    living.get_ready()
    job = living.run("fog", "b" * 32)
    living.until(lambda: living.ended(job))
    assert job in living.heard.done


def test_what_a_worker_read_when_it_died_is_named_once(live):
    living = live()
    for number, (words, how) in enumerate(
        {"signal:11": "crashed", "signal:9": "was killed", "stop": "stopped"}.items()
    ):
        living.get_ready()
        job = living.run(f"reads:/models/wan.gguf {words}", str(number) * 32)
        living.until(lambda job=job: living.ended(job))
        sentence = living.heard.failed[job].sentence
        assert how in sentence and "/models/wan.gguf" in sentence and sentence.endswith(".")
        living.life.reset()
    living.get_ready()
    job = living.run("signal:11", "d" * 32)
    living.until(lambda: living.ended(job))
    assert "wan.gguf" not in living.heard.failed[job].sentence


def test_one_that_works_without_a_word_lives(live):
    """Its interpreter is held: no heartbeat for three times as long as silence is borne, but the processor is used."""
    living = live()
    living.get_ready()
    job = living.run("spin:6")
    living.until(lambda: living.ended(job))
    assert job in living.heard.done


def test_one_that_lives_but_whose_job_stands_still_is_ended(live):
    living = live(replace(QUICK, silent=NEVER, loading_silent=NEVER, first_step=1.0, step=1.0))
    living.get_ready()
    job = living.run("sulk")
    living.until(lambda: living.ended(job))
    assert living.heard.failed[job].kind is ProblemKind.INTERRUPTED


def test_a_stopped_worker_with_nothing_to_do_is_replaced_without_a_word(live):
    living = live()
    pid = living.get_ready()
    os.kill(pid, signal.SIGSTOP)
    living.until(lambda: WorkerState.NONE in living.heard.states)
    assert WorkerState.BROKEN not in living.heard.states and not living.heard.failed
    living.until(lambda: living.life.status.state is WorkerState.READY)  # nobody asks for it
    assert living.life._process.pid != pid
    job = living.run("fog")
    living.until(lambda: living.ended(job))
    assert job in living.heard.done
    living.until(lambda: not is_alive(pid))


def test_one_that_replaced_another_and_hangs_as_well_waits_for_a_job_to_be_replaced(live):
    living = live(replace(QUICK, silent=1.0))
    for _ in range(2):
        os.kill(living.get_ready(), signal.SIGSTOP)
        living.until(lambda: living.life.status.state is not WorkerState.READY)
    assert living.life.status.state is WorkerState.NONE and not living.heard.failed
    assert "next take" in living.life.status.sentence


def test_a_worker_that_is_not_heard_of_is_given_no_job(live):
    living = live(replace(QUICK, fresh=0.5, silent=NEVER))
    pid = living.get_ready()
    living.until(lambda: living.life.can_take_a_job)
    os.kill(pid, signal.SIGSTOP)
    living.until(lambda: not living.life.can_take_a_job)
    assert living.life.status.state is WorkerState.READY
    os.kill(pid, signal.SIGCONT)
    living.until(lambda: living.life.can_take_a_job)


def an_hour_later(monkeypatch) -> None:
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)
    monkeypatch.setattr(worker_life, "time", later)
    monkeypatch.setattr(worker_process, "time", later)


def test_after_the_server_slept_the_worker_is_not_blamed(live, monkeypatch):
    """Suspend: nothing was heard since an hour ago, for nothing could be."""
    living = live(replace(QUICK, gap=60.0))
    pid = living.get_ready()
    os.kill(pid, signal.SIGSTOP)
    an_hour_later(monkeypatch)
    living.life.tick()
    assert living.life.status.state is WorkerState.READY and living.life.can_take_a_job
    os.kill(pid, signal.SIGCONT)
    job = living.run("fog")
    living.until(lambda: living.ended(job))
    assert job in living.heard.done and living.life._process.pid == pid


def test_a_cancel_that_a_sleep_came_between_still_ends_in_time(live, monkeypatch):
    living = live(replace(QUICK, silent=NEVER, gap=60.0))
    living.get_ready()
    job = living.run("stop")
    living.until(lambda: living.heard.progress)
    living.life.cancel(job)
    an_hour_later(monkeypatch)
    living.life.tick()
    assert living.life.status.state is WorkerState.BUSY and not living.ended(job)
    living.until(lambda: living.ended(job))
    assert living.heard.failed[job].kind is ProblemKind.CANCELED


def test_what_is_too_long_to_hand_over_fails_in_a_sentence_and_the_next_job_is_made(live):
    living = live()
    living.get_ready()
    names = [f"{'x' * 200}-{'a' * (n % 7)}.png" for n in range(9000)]
    job = living.run("fog", sources=[Source(Role.FOOTAGE, "/footage", names)])
    problem = living.heard.failed[job]
    assert problem.kind is ProblemKind.TOO_LARGE and "movie file" in problem.sentence
    assert living.life.can_take_a_job
    job = living.run("fog", "b" * 32)
    living.until(lambda: living.ended(job))
    assert job in living.heard.done


def test_a_worker_that_hangs_again_and_again_is_not_started_without_end(live):
    living = live(replace(QUICK, silent=0.5, loading_silent=0.5))
    for number in range(worker_life.QUICK_DEATHS):
        assert living.life.status.state is not WorkerState.BROKEN
        living.get_ready()
        job = living.run("stop", str(number) * 32)
        living.until(lambda job=job: living.ended(job))
    assert living.life.status.state is WorkerState.BROKEN
    assert "stopped responding" in living.life.status.sentence
    living.life.want()
    assert living.life.status.state is WorkerState.BROKEN
    living.life.reset()
    living.get_ready()


def test_one_that_can_not_be_killed_is_left_to_the_system(live, monkeypatch):
    """Held by a driver or a dead disk, a process outlives its kill."""
    living = live()
    pid = living.get_ready()
    process = living.life._process
    monkeypatch.setattr(process, "kill", lambda: None)
    monkeypatch.setattr(worker_life, "KILL_SECONDS", 0.5)
    job = living.run("stop")
    living.until(lambda: living.ended(job))
    assert living.heard.failed[job].kind is ProblemKind.INTERRUPTED and is_alive(pid)
    assert living.get_ready() != pid
    monkeypatch.undo()
    process.kill()
    living.until(lambda: not is_alive(pid))
    assert living.life.status.state is WorkerState.READY


def test_a_cancel_that_a_stopped_worker_does_not_hear_ends_as_a_cancel(live):
    living = live(replace(QUICK, silent=NEVER))
    living.get_ready()
    job = living.run("stop")
    living.until(lambda: living.heard.progress)
    living.life.cancel(job)
    living.until(lambda: living.ended(job))
    assert living.heard.failed[job].kind is ProblemKind.CANCELED
    living.until(lambda: living.life.status.state is WorkerState.READY)
