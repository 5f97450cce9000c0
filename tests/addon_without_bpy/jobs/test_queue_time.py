"""The queue's time is the running job's and that of those that wait, by what is known of their models."""

from __future__ import annotations

import dataclasses

import pytest


@pytest.fixture
def job(messages, make_status):
    """job(state, ...) is a job of 10 frames."""

    def make(state="queued", model="big", made=0.0, **more):
        status = make_status("a", state)
        summary = dataclasses.replace(status.summary, model=model, length_frames=10)
        seconds = messages.PhaseSeconds(queue=1000.0, denoise=made)
        return dataclasses.replace(status, summary=summary, seconds=seconds, **more)

    return make


@pytest.fixture
def left(addon):
    return addon("jobs.queue_time").seconds_left


def test_the_running_job_and_the_waiting_ones_by_the_newest_take_of_their_model(job, left):
    ended = [job("failed"), job("done", made=50.0), job("done", made=5000.0), job("done", "small", made=2.0)]
    running = job("denoising", eta_seconds=8.0, progress=0.05)
    assert left([running, job(), job(model="small")], ended) == pytest.approx(8.0 + 50.0 + 2.0)


def test_a_running_job_tells_how_long_the_others_of_its_model_take(job, left):
    running = job("denoising", eta_seconds=30.0, progress=0.5)
    assert left([running, job()], []) == pytest.approx(30.0 + 60.0)


def test_what_was_made_of_a_stopped_job_is_not_counted_again(job, left):
    assert left([job(progress=0.75)], [job("done", made=40.0)]) == pytest.approx(10.0)


def test_a_held_job_takes_no_time_and_an_unknown_one_leaves_all_open(job, left, messages):
    held = job(model="unknown", hold=messages.Hold.NO_PLACEHOLDER)
    assert left([held], []) == 0.0
    assert left([held, job(model="unknown")], [job("done", made=40.0)]) is None
    assert left([job("loading")], []) is None


def test_takes_that_are_not_asked_for_yet(job, addon):
    seconds = addon("jobs.queue_time").seconds_for
    ended = [job("done", made=50.0), job("done", "small", made=20.0)]
    assert seconds([("big", 20), ("small", 5), ("big", 10)], [], ended) == pytest.approx(160.0)
    assert seconds([("big", 20), ("other", 5)], [], ended) is None
    assert seconds([], [], ended) == 0


def test_jobs_that_are_made_side_by_side_end_sooner(job, left):
    ended = [job("done", made=50.0)]
    running = [job("denoising", eta_seconds=eta, progress=0.05) for eta in (10.0, 30.0)]
    assert left(running, ended, 2) == pytest.approx(30.0)
    assert left([*running, job(), job()], ended, 2) == pytest.approx(30.0 + 50.0), "one each"
    assert left([*running, job(), job(), job()], ended, 2) == pytest.approx(10.0 + 50.0 + 50.0)
    assert left([*running, job()], ended, 16) == pytest.approx(50.0)


def test_any_of_those_that_run_tells_how_long_its_model_takes(job, left):
    small = job("denoising", "small", eta_seconds=2.0, progress=0.5)
    big = job("denoising", "big", eta_seconds=30.0, progress=0.5)
    assert left([small, big, job(), job(model="small")], [], 1) == pytest.approx(32.0 + 60.0 + 4.0)
