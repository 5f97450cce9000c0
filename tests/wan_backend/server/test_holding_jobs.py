"""Held, paused and moved jobs: what keeps a job from its turn, and which one comes next."""

from __future__ import annotations

import pytest

from tests.wan_backend.server.in_process import InProcess, inside
from tests.wan_backend.server.served import request
from wan_backend.protocol.messages import JobState

__all__ = ["inside"]

NOBODY = "0" * 32


@pytest.fixture
def server(inside) -> InProcess:
    return inside()


def job_of(server: InProcess, job_id: str) -> dict:
    return next(job for job in server.call("list")["jobs"] if job["job_id"] == job_id)


def test_a_held_job_lets_the_next_one_go_first_and_has_its_old_turn_back(server, media):
    first, second, third, fourth = (server.submit(request(media, f"fog {n}")) for n in range(4))
    worker = server.runs(first)
    held = server.call("hold", job_id=second, hold="no_placeholder")
    assert held["state"] == "queued" and held["hold"] == "no_placeholder" and "placeholder is gone" in held["sentence"]
    assert server.call("hold", job_id=second, hold="no_placeholder") == held, "sent twice, it counts once"
    worker.finishes()
    server.runs(third)
    assert server.call("resume", job_id=second)["hold"] == "none"
    assert server.call("resume", job_id=second)["sentence"] == "Waiting for its turn."
    server.worker.finishes()
    server.runs(second).finishes()
    server.runs(fourth)


def test_a_running_job_that_is_held_stops_and_resumes_with_its_progress(server, media):
    first, second = (server.submit(request(media, word)) for word in ("fog", "rain"))
    server.runs(first).goes_on(JobState.DENOISING, 0.4, 1)
    server.until(lambda: job_of(server, first)["progress"] == 0.4)
    server.call("hold", job_id=first, hold="no_placeholder")
    other = server.runs(second)
    held = job_of(server, first)
    assert held["state"] == "queued" and held["hold"] == "no_placeholder" and held["progress"] == 0.4
    assert "cancelled" not in [job["state"] for job in server.told(first)]
    server.call("resume", job_id=first)
    other.finishes()
    server.runs(first).goes_on(JobState.LOADING, 0.0, 0)
    server.until(lambda: job_of(server, first)["state"] == "loading")
    assert job_of(server, first)["progress"] == 0.4, "the bar only goes forward"
    server.worker.finishes()
    done = server.ended(first)
    assert done["state"] == "done" and done["hold"] == "none"


def test_a_hold_outlives_the_server(inside, media):
    first = inside()
    held, free = (first.submit(request(media, word)) for word in ("fog", "rain"))
    first.runs(held)
    first.call("hold", job_id=held, hold="no_placeholder")
    first.runs(free)
    first.leave()
    second = inside()
    job = job_of(second, held)
    assert job["state"] == "queued" and job["hold"] == "no_placeholder" and "resume or cancel" in job["sentence"]
    last = second.submit(request(media, "snow"))
    second.runs(last).finishes()
    second.ended(last)
    second.call("resume", job_id=held)
    second.runs(held)


def test_a_held_job_can_be_canceled(server, media):
    running, held = (server.submit(request(media, word)) for word in ("fog", "rain"))
    server.runs(running)
    server.call("hold", job_id=held, hold="person")
    canceled = server.call("cancel", job_id=held)
    assert canceled["state"] == "cancelled" and canceled["hold"] == "none"
    server.call("retry", job_id=held)
    server.until(lambda: job_of(server, held)["state"] == "queued")
    assert job_of(server, held)["hold"] == "none"


def test_a_job_that_is_stopping_can_still_be_canceled_or_resumed(server, media):
    job = server.submit(request(media))
    server.runs(job)
    runner = server.server._runner
    runner.hold(job, "person")
    runner.resume(job)
    runner.hold(job, "person")
    runner.cancel(job)  # what the worker answered is read after that
    assert server.ended(job)["state"] == "cancelled"


def test_what_has_ended_is_not_held(server, media):
    job = server.submit(request(media))
    server.runs(job).finishes()
    server.ended(job)
    assert server.call("hold", job_id=job, hold="person")["state"] == "done"
    assert server.call("resume", job_id=job)["state"] == "done"
    for method, more in (("hold", {"hold": "person"}), ("resume", {}), ("move", {"before": job})):
        assert "error" in server.ask(method, job_id=NOBODY, **more)


def test_a_job_is_moved_before_another_and_stays_there(server, media):
    jobs = [server.submit(request(media, f"fog {n}")) for n in range(5)]
    worker = server.runs(jobs[0])
    server.call("move", job_id=jobs[4], before=jobs[1])
    server.call("move", job_id=jobs[4], before=jobs[1])
    server.call("move", job_id=jobs[3], before=jobs[2])
    server.call("move", job_id=jobs[2], before=NOBODY)
    server.call("move", job_id=jobs[2], before=jobs[0])
    server.call("move", job_id=jobs[2], before=jobs[2])
    wanted = [jobs[4], jobs[1], jobs[3], jobs[2]]
    listed = [job for job in server.call("list")["jobs"] if job["state"] == "queued"]
    assert [job["job_id"] for job in sorted(listed, key=lambda job: job["turn"])] == wanted
    for job in wanted:
        worker.finishes()
        worker = server.runs(job)


def test_many_moves_before_the_same_job_keep_every_turn_apart(server, media):
    server.call("pause", paused=True)
    jobs = [server.submit(request(media, f"fog {n}")) for n in range(6)]
    for _ in range(4):
        for job in jobs[1:]:
            server.call("move", job_id=job, before=jobs[0])
    turns = {job["turn"]: job["job_id"] for job in server.call("list")["jobs"]}
    assert [turns[turn] for turn in sorted(turns)] == [*jobs[1:], jobs[0]]


def test_a_paused_queue_stops_its_job_and_resumes_with_it(server, media):
    first, second = (server.submit(request(media, word)) for word in ("fog", "rain"))
    server.runs(first).goes_on(JobState.DENOISING, 0.4, 1)
    assert server.call("pause", paused=True) == {"paused": True}
    server.until(lambda: job_of(server, first)["state"] == "queued")
    assert job_of(server, first)["hold"] == "none" and "paused" in job_of(server, first)["sentence"]
    for _ in range(20):
        server.server._take_one()
    assert server.worker.job is None
    server.call("pause", paused=False)
    server.runs(first).finishes()
    server.runs(second)


def test_a_client_that_leaves_as_usual_has_its_job_go_on(inside, media):
    first = inside()
    running, waiting = (first.submit(request(media, word)) for word in ("fog", "rain"))
    first.runs(running)
    first.leave(goes_on=True)
    second = inside()
    second.runs(running).finishes()
    assert second.ended(running)["state"] == "done"
    second.runs(waiting)


def test_a_server_that_begins_paused_begins_no_job(inside, media):
    first = inside()
    job = first.submit(request(media))
    first.runs(job)
    first.leave(goes_on=True)
    second = inside(paused=True)
    for _ in range(20):
        second.server._take_one()
    assert second.worker is None or second.worker.job is None
    assert job_of(second, job)["state"] == "queued"
    second.call("pause", paused=False)
    second.runs(job)


def test_a_client_that_is_gone_has_its_job_interrupted(inside, media):
    first = inside()
    running = first.submit(request(media))
    first.runs(running)
    first.leave()
    assert job_of(inside(), running)["state"] == "interrupted"
