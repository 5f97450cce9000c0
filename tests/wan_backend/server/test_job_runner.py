"""Jobs get to the worker one after another, and whatever goes wrong with one is one sentence on that one."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from tests.wan_backend.job_queue.written_jobs import answered, take_plan, take_request
from wan_backend.job_queue.job_table import WAITING
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import JobQueue
from wan_backend.planning.measured_times import MeasuredTimes
from wan_backend.planning.measured_ways import Kind, MeasuredWays, Shape, Way
from wan_backend.protocol import ProtocolError, Refusal
from wan_backend.protocol.errors import INTERNAL_ERROR
from wan_backend.protocol.messages import (
    FrameRate,
    JobState,
    MediaFormat,
    PhaseSeconds,
    Problem,
    ProblemKind,
    RunResult,
    SteadySteps,
    Take,
    WorkerState,
    WorkerStatus,
)
from wan_backend.server.graphics_card import GraphicsCard
from wan_backend.server.job_runner import JobRunner
from wan_backend.server.planning_queue import Prepared
from wan_backend.server.seats import Seat, Seats

A, B = "a" * 32, "b" * 32
PREPARED = Prepared(take_plan(), Path("/models/embedded"), {"vae": Path("/vae")}, "")

TAKE = Take("/media/a", "0001.png", MediaFormat.PNG, 9, 832, 480, FrameRate(24))


class Life:
    """A worker that is ready, and does what it is told."""

    def __init__(self) -> None:
        self.status = WorkerStatus(WorkerState.READY)
        self.busy_with = ""
        self.runs = []
        self.fails: Exception | None = None
        self.wanted = 0
        self.number, self.idle_seconds, self.released = 1, 0.0, 0
        self.warm_ups = []
        self.is_far, self.turn_is_over, self.waits_for, self.node = False, False, "", ""

    @property
    def can_warm_up(self):
        return self.can_take_a_job

    def warm_up(self, params):
        self.warm_ups.append(params)

    def release(self):
        self.released += 1
        self.idle_seconds = 0.0

    @property
    def can_take_a_job(self):
        return self.status.state is WorkerState.READY

    def run(self, params):
        if self.fails is not None:
            raise self.fails
        self.busy_with = params.job_id
        self.runs.append(params)

    def want(self):
        self.wanted += 1

    def reset(self):
        self.status = WorkerStatus(WorkerState.NONE)


class Desk:
    """Plans when it is told to."""

    def __init__(self) -> None:
        self.asked = []

    def start(self, request, then, set_aside=None, machine=None):
        self.asked.append((request, then))
        self.set_aside = set_aside


@pytest.fixture
def parts(tmp_path):
    """(queue, life, desk, runner), with two jobs that wait."""
    owner = Owner(tmp_path)
    queue = JobQueue(tmp_path, owner, lambda *_: None)
    life, planning = Life(), Desk()
    runner = JobRunner(queue, Seats([Seat(0, life)]), planning, "cpu", None, tmp_path, lambda _: None)
    for job_id in (A, B):
        answered(queue.submit(job_id, take_request(tmp_path / "media", seed=int(job_id[0], 16)), take_plan()))
    yield queue, life, planning, runner
    owner.release()


def test_a_job_is_planned_once_and_handed_over(parts):
    queue, life, planning, runner = parts
    for _ in range(3):
        runner.advance()
    ((request, then),) = planning.asked
    assert request.seed == 0xA and queue.status(A).state is JobState.QUEUED
    then(PREPARED)
    runner.advance()
    (run,) = life.runs
    assert run.job_id == A and run.plan == take_plan() and run.model_parts[0].place == "/vae"
    assert queue.status(A).state is JobState.LOADING and len(planning.asked) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Refusal(Problem(ProblemKind.MODEL_MISSING, "It is not here; download it.")), "download it"),
        (ProtocolError(INTERNAL_ERROR, "This could not be planned; the log says more."), "could not be planned"),
        (None, "NoneType"),
    ],
)
def test_what_can_not_be_planned_fails_and_the_next_goes_on(parts, answer, words):
    queue, life, planning, runner = parts
    runner.advance()
    planning.asked[0][1](answer)
    assert queue.status(A).state is JobState.FAILED and words in queue.status(A).problem.sentence
    runner.advance()
    planning.asked[1][1](PREPARED)
    assert life.runs[0].job_id == B


def test_a_desk_or_a_worker_that_raises_fails_one_job(parts, monkeypatch):
    queue, life, planning, runner = parts
    monkeypatch.setattr(planning, "start", lambda *_: 1 / 0)
    runner.advance()
    assert queue.status(A).state is JobState.FAILED and "ZeroDivisionError" in queue.status(A).problem.sentence
    monkeypatch.undo()
    runner.advance()
    life.fails = OSError("a broken pipe")
    planning.asked[0][1](PREPARED)
    assert queue.status(B).state is JobState.FAILED and "a broken pipe" in queue.status(B).problem.sentence


def test_a_request_that_was_damaged_meanwhile_fails_its_job(parts, tmp_path):
    queue, _, planning, runner = parts
    (tmp_path / "jobs" / A / "request.json").write_text("[]")
    runner.advance()
    assert queue.status(A).state is JobState.FAILED and "is damaged" in queue.status(A).sentence
    runner.advance()
    assert planning.asked[0][0].seed == 0xB


def test_a_job_canceled_while_it_is_planned_does_not_start(parts):
    queue, life, planning, runner = parts
    runner.advance()
    runner.cancel(A)
    assert queue.status(A).state is JobState.CANCELED
    planning.asked[0][1](PREPARED)
    assert life.runs == []
    runner.advance()
    planning.asked[1][1](PREPARED)
    assert [run.job_id for run in life.runs] == [B]


def test_a_job_whose_worker_went_while_it_was_planned_waits_for_another(parts):
    queue, life, planning, runner = parts
    runner.advance()
    life.status = WorkerStatus(WorkerState.NONE)
    planning.asked[0][1](PREPARED)
    assert queue.status(A).state is JobState.QUEUED and life.runs == []
    runner.advance()
    assert life.wanted == 1
    life.status = WorkerStatus(WorkerState.READY)
    runner.advance()
    planning.asked[1][1](PREPARED)
    assert life.runs[0].job_id == A


def test_a_job_that_is_set_aside_lets_the_next_go_on_and_has_its_turn_again(parts):
    queue, life, planning, runner = parts
    runner.advance()
    for _ in range(2):
        planning.set_aside("The share does not answer; planning continues as soon as it does.")
    assert queue.status(A).state is JobState.QUEUED and "does not answer" in queue.status(A).sentence
    runner.advance()
    planning.asked[1][1](PREPARED)
    assert [run.job_id for run in life.runs] == [B]
    planning.asked[0][1](PREPARED)
    assert queue.status(A).sentence == WAITING and len(life.runs) == 1
    life.busy_with = ""
    runner.advance()
    planning.asked[2][1](PREPARED)
    assert [run.job_id for run in life.runs] == [B, A]


def test_a_job_canceled_and_retried_while_it_was_set_aside_runs_once(parts):
    _, life, planning, runner = parts
    runner.advance()
    planning.set_aside("The share does not answer.")
    runner.cancel(A)
    assert answered(runner.retry(A)).state is JobState.QUEUED
    life.status = WorkerStatus(WorkerState.READY)
    planning.asked[0][1](PREPARED)
    for number in (1, 2):
        runner.advance()
        planning.asked[number][1](PREPARED)
        life.busy_with = ""
    runner.advance()
    assert [run.job_id for run in life.runs] == [B, A] and len(planning.asked) == 3


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (ProblemKind.INTERRUPTED, JobState.INTERRUPTED),
        (ProblemKind.CANCELED, JobState.CANCELED),
        (ProblemKind.WORKER_DIED, JobState.FAILED),
    ],
)
def test_how_the_worker_ended_a_job_says_its_state(parts, kind, state):
    queue, life, planning, runner = parts
    runner.advance()
    planning.asked[0][1](PREPARED)
    life.listener.job_failed(A, Problem(kind, "It ended."))
    assert queue.status(A).state is state and queue.status(A).sentence == "It ended."
    assert answered(runner.retry(A)).state is JobState.QUEUED


def test_a_worker_that_is_not_started_again_is_told_to_who_waits_next(parts):
    queue, life, _, runner = parts
    life.status = WorkerStatus(WorkerState.BROKEN, sentence="It died 3 times in a row.")
    runner.advance()
    assert queue.status(A).sentence == "It died 3 times in a row."
    assert queue.status(B).sentence == "Waiting for its turn."
    runner.forgive()
    assert queue.status(A).sentence == "Waiting for its turn." and life.status.state is WorkerState.NONE


def test_a_take_tells_how_long_the_next_one_will_take(parts):
    queue, life, planning, runner = parts
    assert runner.with_time(take_plan()).expected_seconds is None
    runner.advance()
    planning.asked[0][1](PREPARED)
    assert queue.status(A).state is JobState.LOADING
    life.listener.job_finished(A, RunResult(TAKE, PhaseSeconds(denoise=10.0)))
    assert runner.with_time(take_plan()).expected_seconds == pytest.approx(10.0, abs=0.1)
    refusal = Refusal(Problem(ProblemKind.MODEL_MISSING, "It is not here; download it."))
    assert runner.with_time(refusal) is refusal


TOGETHER = {"cards": 2, "cards_per_forward": 2}


@pytest.mark.parametrize(("way", "others", "kept"), [(TOGETHER, ["cpu"], 2), ({}, ["cpu"], 1), ({}, [], 0)])
def test_a_take_tells_how_quick_its_way_of_sharing_is_where_takes_can_be_shared(tmp_path, way, others, kept):
    owner = Owner(tmp_path)
    queue, life, planning = JobQueue(tmp_path, owner, lambda *_: None), Life(), Desk()
    seat, times, ways = Seat(0, life, others=others), MeasuredTimes(), MeasuredWays(tmp_path / "ways.json")
    seat.watch._card = GraphicsCard("cuda (a card)", 1 << 30, None, 1 << 30)
    more = {"times": times, "ways": ways}
    runner = JobRunner(queue, Seats([seat]), planning, "cuda", None, tmp_path, lambda _: None, **more)
    plan = dataclasses.replace(take_plan(), **way)
    answered(queue.submit(A, take_request(tmp_path / "media"), plan))
    for steady in (None, SteadySteps(1.0, 10.0)):  # of the first one, the other card came late
        seat.running = plan
        runner.job_finished(seat, A, RunResult(TAKE, PhaseSeconds(denoise=30.0), steady=steady))
        known = times.expected_seconds(plan)
        assert known == (None if way and steady is None else pytest.approx(10.0 if way else 30.0, abs=0.1))
    for thread in threading.enumerate():
        if thread.name == "measured ways":
            thread.join(30)
    takes = ways.takes(Kind.of(plan, "cuda (a card)", False), Shape.of(plan))
    assert takes == ({Way(kept, kept): 1} if kept else {})
    machine = Seats([seat]).machine_of(seat)
    assert (machine.cards, machine.card) == ((2, "cuda (a card)") if others else (1, ""))
    owner.release()


def test_a_take_that_was_resumed_tells_nothing_of_others(parts):
    queue, life, planning, runner = parts
    runner.advance()
    work = queue.work_folder(A)
    work.mkdir(parents=True, exist_ok=True)
    (work / "steps.safetensors").write_bytes(b"")
    planning.asked[0][1](PREPARED)
    life.listener.job_finished(A, RunResult(TAKE, PhaseSeconds(denoise=10.0)))
    assert runner.with_time(take_plan()).expected_seconds is None
