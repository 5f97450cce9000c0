"""What a worker keeps of a job: there for a retry, gone with the take or the job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wan_backend.job_queue.written_jobs import answered, take_request
from wan_backend.catalogue import entries
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import ALMOST_DONE, JobQueue
from wan_backend.planning import plan_steps
from wan_backend.protocol.media import STEPS_FILE, WORK_FOLDER
from wan_backend.protocol.messages import (
    JobState,
    MediaFormat,
    PhaseSeconds,
    Problem,
    ProblemKind,
    ProgressParams,
    RunResult,
    Take,
)

JOB = "a" * 32


@pytest.fixture
def owners():
    taken: list[Owner] = []
    yield taken
    for owner in taken:
        owner.release()


@pytest.fixture
def queue(tmp_path, owners) -> JobQueue:
    """With one job that a worker has, and its finished steps."""
    owners.append(Owner(tmp_path))
    queue = JobQueue(tmp_path, owners[-1], lambda *_: None)
    request = take_request(tmp_path / "media")
    plan = plan_steps.plan(request, entries.entry("embedded"))
    answered(queue.submit(JOB, request, plan))
    queue.start(JOB, plan)
    work = queue.work_folder(JOB)
    work.mkdir()
    (work / STEPS_FILE).write_bytes(b"steps")
    return queue


def result(tmp_path: Path, *notes: str) -> RunResult:
    rate = take_request().frame_rate
    take = Take(str(tmp_path / "media" / JOB), "0001.png", MediaFormat.PNG, 5, 144, 96, rate)
    return RunResult(take, PhaseSeconds(), list(notes))


def test_it_lies_in_the_job_s_folder(queue, tmp_path):
    assert queue.work_folder(JOB) == tmp_path / "jobs" / JOB / WORK_FOLDER


def test_a_queued_job_that_was_canceled_and_retried_comes_last(queue, tmp_path):
    request = take_request(tmp_path / "media")
    plan = plan_steps.plan(request, entries.entry("embedded"))
    first, second = "b" * 32, "c" * 32
    for job_id in (first, second):
        answered(queue.submit(job_id, request, plan))
    queue.end(first, JobState.CANCELED, Problem(ProblemKind.CANCELED, "Canceled."))
    answered(queue.retry(first))
    turns = []
    while (waiting := queue.next_queued()) is not None:
        turns.append(waiting.job_id)
        queue.start(waiting.job_id, plan)
    assert turns == [second, first]


def test_progress_never_falls(queue):
    """A worker that begins again after it ran out of memory counts from the start."""
    shown = []
    for state, said in [("denoising", 0.5), ("loading", 0.0), ("denoising", 0.4), ("decoding", 0.9), ("decoding", 1.0)]:
        queue.progress(ProgressParams(JOB, JobState(state), 1, 8, said))
        shown.append(queue.status(JOB).progress)
    assert shown == [0.5, 0.5, 0.5, 0.9, ALMOST_DONE]


def test_a_take_takes_its_place(queue, tmp_path):
    queue.finish(JOB, result(tmp_path))
    assert not queue.work_folder(JOB).exists()
    assert queue.status(JOB).sentence == "Done."


def test_what_was_unusual_is_said_with_the_take(queue, tmp_path):
    queue.finish(JOB, result(tmp_path, "Memory ran out."))
    assert queue.status(JOB).sentence == "Done. Memory ran out."


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELED, JobState.INTERRUPTED])
def test_it_stays_for_a_retry_until_the_job_is_cleared(queue, state):
    queue.end(JOB, state, Problem("internal", "It ended."))
    assert queue.work_folder(JOB).exists()
    answered(queue.retry(JOB))
    assert queue.work_folder(JOB).exists()
    queue.end(JOB, JobState.CANCELED, Problem("cancelled", "Canceled."))
    answered(queue.clear([JOB]))
    assert not queue.work_folder(JOB).parent.exists()


@pytest.mark.parametrize("kept", [True, False])
def test_the_next_server_says_whether_it_goes_on(queue, tmp_path, owners, kept):
    if not kept:
        (queue.work_folder(JOB) / STEPS_FILE).unlink()
    owners[0].release()
    owners.append(Owner(tmp_path))
    later = JobQueue(tmp_path, owners[-1], lambda *_: None)
    later.adopt()
    assert later.status(JOB).state is JobState.INTERRUPTED
    assert ("resume from its last step" in later.status(JOB).sentence) is kept


def test_a_preview_is_told_while_the_job_runs(queue, tmp_path):
    shown = str(queue.work_folder(JOB) / "preview.jpg")
    queue.progress(ProgressParams(JOB, JobState.DENOISING, 3, 8, 0.3, preview=shown))
    assert queue.status(JOB).preview == shown
    queue.progress(ProgressParams(JOB, JobState.DECODING, 8, 8, 0.8))
    assert queue.status(JOB).preview == shown
    queue.end(JOB, JobState.CANCELED, Problem("cancelled", "Canceled."))
    assert queue.status(JOB).preview == ""
