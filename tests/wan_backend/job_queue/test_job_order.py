"""Pages of the list: every job once, whatever happens between two of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wan_backend.job_queue.written_jobs import answered, every, take_plan, take_request, write_job, write_jobs
from wan_backend.job_queue.job import Job
from wan_backend.job_queue.job_order import Rows, Turns
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import MAX_PAGE_BYTES, JobQueue
from wan_backend.protocol import MAX_LINE_BYTES, ProtocolError, Refusal
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.messages import (
    JobState,
    JobStatus,
    JobSummary,
    ListParams,
    Origin,
    Problem,
    ProblemKind,
    Task,
)

SUMMARY = JobSummary("fog", Task.TEXT_TO_VIDEO, "embedded", 1, 5)
WAITS, ENDED = JobState.QUEUED, JobState.FAILED


@pytest.fixture
def queue(tmp_path):
    owner = Owner(tmp_path)
    yield JobQueue(tmp_path, owner, lambda *_: None)
    owner.release()


def page_by_page(rows: Rows, most: int):
    """The ids, page by page."""
    cursor = ""
    while True:
        page = list(zip(rows.after(cursor), range(most), strict=False))
        if not page:
            return
        yield [job_id for (job_id, _), _ in page]
        assert page[-1][0][1] != cursor, "a page goes on where it began"
        cursor = page[-1][0][1]


JOBS = st.dictionaries(
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.tuples(st.booleans(), st.floats(0, 1e11) | st.sampled_from([0.0, 1.0, 2.0])),
    max_size=30,
)


@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(JOBS, st.integers(1, 7), st.data())
def test_jobs_that_stay_come_once_and_in_order_while_others_come_and_go(jobs, most, data):
    rows = Rows()
    statuses = {
        job_id: JobStatus(job_id, ENDED if ended else WAITS, SUMMARY, created=created)
        for job_id, (ended, created) in jobs.items()
    }
    for status in statuses.values():
        rows.add(status)
    going = sorted(data.draw(st.sets(st.sampled_from(sorted(jobs))))) if jobs else []
    gone: set[str] = set()
    found: list[str] = []
    for page in page_by_page(rows, most):
        found += page
        if going:
            gone.add(going[-1])
            rows.remove(statuses[going.pop()])
        rows.add(JobStatus(f"{len(found):032x}", WAITS, SUMMARY, created=2e11))
        assert len(found) <= len(jobs), "what is new comes before the pages that are still to come"
    stayed = [job_id for job_id in found if job_id in statuses]
    expected = sorted(statuses.values(), key=lambda s: (s.state.ended, -s.created, s.job_id))
    assert len(set(found)) == len(found)
    assert stayed == [s.job_id for s in expected if s.job_id in stayed]
    assert set(jobs) - set(stayed) <= gone


def test_a_page_begins_with_what_has_not_ended_newest_first(tmp_path, queue):
    ids = write_jobs(tmp_path, ["done", "queued", "failed", "queued", "cancelled"])
    queue.adopt()
    assert [status.job_id for status in every(queue)] == [ids[3], ids[1], ids[4], ids[2], ids[0]]
    page = queue.page(ListParams(most=2))
    assert [status.job_id for status in page.jobs] == [ids[3], ids[1]]
    answered(queue.clear([ids[4]]))
    queue.end(ids[1], JobState.CANCELED, Problem(ProblemKind.CANCELED, "Canceled."))
    page = queue.page(ListParams(page.next, 2))
    assert [status.job_id for status in page.jobs] == [ids[2], ids[1]]  # where it is now
    page = queue.page(ListParams(page.next, 2))
    assert [status.job_id for status in page.jobs] == [ids[0]] and page.next == ""


@pytest.mark.parametrize("after", ["x", "1 2", "0 nan " + "a" * 32, "0 1 2 3", " ", "9" * 5000])
def test_what_is_no_cursor_is_refused(tmp_path, queue, after):
    write_job(tmp_path, "a" * 32)
    queue.adopt()
    with pytest.raises(ProtocolError, match="of another page"):
        queue.page(ListParams(after))


@pytest.mark.parametrize("most", [-5, 0, 10**15])
def test_any_number_of_jobs_may_be_asked_for(tmp_path, queue, most):
    write_jobs(tmp_path, ["done"] * 3)
    queue.adopt()
    assert len(queue.page(ListParams(most=most)).jobs) == (3 if most > 1 else 1)


def test_a_page_goes_on_one_line_whatever_the_jobs_say(tmp_path, queue):
    problem = Problem(ProblemKind.INTERNAL, "why " * 10_000)
    write_jobs(tmp_path, ["failed"] * 60, problem=problem)
    queue.adopt()
    page = queue.page(ListParams())
    assert 1 < len(page.jobs) < 60 and len(json.dumps(to_json(page))) < MAX_PAGE_BYTES + 100 < MAX_LINE_BYTES
    assert len(every(queue)) == 60


def test_a_job_whose_row_would_be_too_long_is_refused(queue):
    request = take_request(origin=Origin("/films/" + "x" * 20_000))
    with pytest.raises(Refusal, match="too long"):
        answered(queue.submit("a" * 32, request, take_plan()))
    request = take_request(prompt="fog " * 1200)
    status = answered(queue.submit("a" * 32, request, take_plan()))
    assert len(json.dumps(to_json(status))) < 2000


def test_only_the_next_job_is_told_that_no_worker_can_be_started(tmp_path):
    told = []
    owner = Owner(tmp_path)
    queue = JobQueue(tmp_path, owner, lambda status, _: told.append(status.job_id))
    ids = write_jobs(tmp_path, ["queued"] * 50)
    queue.adopt()
    for _ in range(3):
        queue.report_to_next("The worker died.")
    assert told == [ids[0]] and queue.status(ids[0]).sentence == "The worker died."
    queue.end(ids[0], JobState.CANCELED, Problem(ProblemKind.CANCELED, "Canceled."))
    queue.report_to_next("The worker died.")
    queue.report_to_next("Waiting for its turn.")
    assert told[1:] == [ids[0], ids[1], ids[1]]
    owner.release()


def test_many_jobs_moved_before_the_same_one_move_few_others():
    """Each job that gets another order is written and reported: of a thousand moves, that was half a million."""
    jobs = {f"{n}": Job(JobStatus(f"{n}", WAITS, SUMMARY), "", 10 * n) for n in range(400)}
    turns = Turns(jobs)
    for job in jobs.values():
        turns.add(job)
    changed = 0
    for number in range(1, 390):
        orders = turns.order_before(jobs[str(number)], jobs["395"])
        changed += len(orders)
        for job_id, order in orders.items():
            jobs[job_id].order = order
            turns.add(jobs[job_id])
    in_order = sorted(jobs, key=lambda job_id: jobs[job_id].order)
    assert in_order == ["0", *map(str, range(390, 395)), *map(str, range(1, 390)), *map(str, range(395, 400))]
    assert len({job.order for job in jobs.values()}) == len(jobs)
    assert changed < 10 * 390
