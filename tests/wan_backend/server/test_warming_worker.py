"""A worker gets ready for a request that may come; no job waits for it, is made of it, or is hurt by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.job_queue.written_jobs import answered, take_plan, take_request
from tests.wan_backend.server.in_process import InProcess, inside
from tests.wan_backend.server.served import request
from tests.wan_backend.server.test_job_runner import PREPARED, Desk, Life
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import JobQueue
from wan_backend.protocol import Refusal
from wan_backend.protocol.messages import Problem, ProblemKind, WarmParams, WorkerState
from wan_backend.server.job_runner import NO_PROMPT, JobRunner
from wan_backend.server.seats import Seat, Seats
from wan_backend.server.worker_life import QUICK_DEATHS

__all__ = ["inside"]
A = "a" * 32


@pytest.fixture
def server(inside) -> InProcess:
    return inside()


def warm(server: InProcess, media: Path, prompt: str = "fog", **more):
    """Ask for it, and turn the loop until the worker has it."""
    count = len(server.worker.warm_ups) if server.worker else 0
    server.call("warm", request=request(media, prompt), **more)
    server.until(lambda: server.worker and len(server.worker.warm_ups) > count)
    return server.worker


def test_what_the_panel_shows_reaches_the_worker_and_is_no_job(server, media):
    worker = warm(server, media)
    (asked,) = worker.warm_ups
    assert asked.job.job_id == "" and asked.job.work_folder == "" and asked.job.plan.model == "embedded"
    assert not asked.read_prompt
    worker.warms_up()
    assert server.call("list")["jobs"] == []
    assert not [m for m in server.messages if m.get("method") in ("job", "progress")]


def test_a_prompt_that_is_not_written_yet_keeps_no_model_out(server, media):
    assert warm(server, media, "").warm_ups[0].job.request.prompt == NO_PROMPT


def test_a_job_goes_to_the_worker_while_it_warms_up(server, media):
    worker = warm(server, media)
    job = server.submit(request(media))
    assert server.runs(job) is worker, "it isn't waited for what it gets ready"
    worker.warms_up()
    worker.finishes()
    assert server.ended(job)["state"] == "done"


def test_beside_a_job_nothing_is_warmed_up_and_after_it_nothing_old_is(server, media):
    job = server.submit(request(media))
    worker = server.runs(job)
    server.call("warm", request=request(media))
    worker.finishes()
    server.ended(job)
    server.until(lambda: len(worker.warm_ups) == 1)  # the model is there already: the worker sees that at once
    worker.warms_up()


def test_a_worker_that_dies_of_it_costs_no_job_and_is_not_called_broken(server, media):
    for _ in range(QUICK_DEATHS + 1):
        server.call("release")
        warm(server, media).die(-9)
        server.until(lambda: server.worker is None)
    job = server.submit(request(media))
    worker = server.runs(job)
    assert not worker.warm_ups
    worker.finishes()
    assert server.ended(job)["state"] == "done"
    states = {m["params"]["state"] for m in server.messages if m.get("method") == "worker"}
    assert WorkerState.BROKEN not in states


def test_after_such_a_death_the_next_worker_is_left_alone_until_a_job_ran(server, media):
    warm(server, media).die(-9)
    server.until(lambda: server.worker is None)
    server.call("warm", request=request(media))
    server.until(lambda: server.worker is not None)
    (seat,) = server.server._seats
    assert not seat.life.may_warm_up and not seat.life.can_warm_up
    for _ in range(5):
        server.call("ping")
    assert not server.worker.warm_ups
    job = server.submit(request(media))
    server.runs(job).finishes()
    server.ended(job)
    warm(server, media)


@pytest.fixture
def parts(tmp_path):
    """(queue, life, desk, runner) with no job."""
    owner = Owner(tmp_path)
    queue, life, desk = JobQueue(tmp_path, owner, lambda *_: None), Life(), Desk()
    seats = Seats([Seat(0, life)])
    runner = JobRunner(queue, seats, desk, "cpu", None, tmp_path, lambda _: None, idle_seconds=1800.0)
    yield queue, life, desk, runner
    owner.release()


def asked_for(runner, desk, tmp_path, **more) -> None:
    runner.warm_up(WarmParams(take_request(tmp_path / "media"), **more))
    runner.advance()
    if desk.asked:
        desk.asked.pop()[1](PREPARED)


def test_the_same_model_is_asked_for_once_in_a_worker_but_each_final_prompt_is(parts, tmp_path):
    _, life, desk, runner = parts
    for _ in range(3):
        asked_for(runner, desk, tmp_path)
    assert len(life.warm_ups) == 1
    asked_for(runner, desk, tmp_path, read_prompt=True)
    assert [each.read_prompt for each in life.warm_ups] == [False, True]
    life.number = 2
    asked_for(runner, desk, tmp_path)
    assert len(life.warm_ups) == 3, "another worker has nothing yet"


def test_a_job_that_came_while_it_was_planned_goes_first(parts, tmp_path):
    queue, life, desk, runner = parts
    runner.warm_up(WarmParams(take_request(tmp_path / "media")))
    runner.advance()
    answered(queue.submit(A, take_request(tmp_path / "media"), take_plan()))
    desk.asked.pop()[1](PREPARED)
    assert not life.warm_ups
    runner.advance()
    desk.asked.pop()[1](PREPARED)
    assert [run.job_id for run in life.runs] == [A]


def test_what_can_not_be_planned_is_not_warmed_up_and_nobody_is_told(parts, tmp_path):
    _, life, desk, runner = parts
    runner.warm_up(WarmParams(take_request(tmp_path / "media")))
    runner.advance()
    desk.asked.pop()[1](Refusal(Problem(ProblemKind.MODEL_MISSING, "It is not here; download it.")))
    runner.advance()
    assert not life.warm_ups and not desk.asked


def test_an_idle_worker_is_ended_in_time_and_comes_back_when_it_is_wanted(parts, tmp_path):
    _, life, desk, runner = parts
    for life.idle_seconds in (0.0, 1799.0):
        runner.advance()
    assert not life.released
    life.idle_seconds = 1800.0
    runner.advance()
    assert life.released == 1
    life.reset()
    runner.warm_up(WarmParams(take_request(tmp_path / "media")))
    runner.advance()
    assert life.wanted == 1 and not desk.asked
