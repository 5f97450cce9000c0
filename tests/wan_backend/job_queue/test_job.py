"""A job's states, driven at random: only allowed ones follow, and the disk always has what memory has."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.wan_backend.job_queue.written_jobs import answered, every, take_request
from wan_backend.catalogue import entries
from wan_backend.job_queue.job import ALLOWED, ENDS, WORKING, check_transition
from wan_backend.job_queue.owners import Owner
from wan_backend.job_queue.queue import ALMOST_DONE, JobQueue
from wan_backend.planning import plan_steps
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

PLAN = plan_steps.plan(take_request("/tmp"), entries.entry("embedded"))
IDS = [f"{n:032x}" for n in range(4)]


def test_every_state_has_its_followers_and_no_state_is_a_dead_end():
    assert set(ALLOWED) == set(JobState)
    assert set(ENDS) == {JobState.DONE, JobState.FAILED, JobState.CANCELED, JobState.INTERRUPTED}
    for state in ENDS:
        assert JobState.QUEUED in ALLOWED[state]


@pytest.mark.parametrize(
    ("before", "after"),
    [("queued", "decoding"), ("done", "failed"), ("cancelled", "loading"), ("queued", "interrupted")],
)
def test_what_can_not_follow(before, after):
    with pytest.raises(RuntimeError, match=f"{before} can't become {after}"):
        check_transition(JobState(before), JobState(after))


class QueueMachine(RuleBasedStateMachine):
    """Calls in any order, as clients and workers may make them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.owner = Owner(self.root)
        self.seen: dict[str, JobState] = {}
        self.queue = JobQueue(self.root, self.owner, self.changed)

    def changed(self, status, state_changed) -> None:
        before = self.seen.get(status.job_id)
        if before is not None and before is not status.state:
            assert state_changed and status.state in ALLOWED[before]
        self.seen[status.job_id] = status.state

    def working(self) -> list[str]:
        return [s.job_id for s in every(self.queue) if s.state in WORKING]

    @rule(job_id=st.sampled_from(IDS))
    def submit(self, job_id):
        if not self.queue.has(job_id):
            answered(self.queue.submit(job_id, take_request(self.root / "media"), PLAN))

    @rule()
    def start(self):
        waiting = self.queue.next_queued()
        if waiting is not None and not self.working():
            self.queue.start(waiting.job_id, PLAN)

    @rule(job_id=st.sampled_from(IDS), state=st.sampled_from(list(JobState)), progress=st.floats(-1, 2))
    def progress(self, job_id, state, progress):
        self.queue.progress(ProgressParams(job_id, state, 1, 4, progress))

    @rule(state=st.sampled_from([JobState.FAILED, JobState.CANCELED, JobState.INTERRUPTED]))
    def end(self, state):
        for job_id in self.working():
            self.queue.end(job_id, state, Problem(ProblemKind.INTERNAL, "Why."))

    @rule()
    def finish(self):
        for job_id in self.working():
            request = take_request()
            take = Take(str(self.root), "0001.png", MediaFormat.PNG, 5, 144, 96, request.frame_rate)
            self.queue.finish(job_id, RunResult(take, PhaseSeconds(denoise=1.0)))

    @rule(job_id=st.sampled_from(IDS))
    def retry(self, job_id):
        if self.queue.has(job_id):
            answered(self.queue.retry(job_id))

    @rule(job_ids=st.lists(st.sampled_from(IDS)))
    def settle(self, job_ids):
        ended = {s.job_id for s in every(self.queue) if s.state.ended}
        assert set(answered(self.queue.settle(job_ids)).job_ids) == ended & set(job_ids)

    @rule(job_ids=st.lists(st.sampled_from(IDS)))
    def clear(self, job_ids):
        ended = {s.job_id for s in every(self.queue) if s.state.ended}
        assert set(answered(self.queue.clear(job_ids)).job_ids) == ended & set(job_ids)
        for job_id in job_ids:
            if not self.queue.has(job_id):
                self.seen.pop(job_id, None)

    @rule()
    def another_server(self):
        """This one is killed; the next has the same jobs, running ones interrupted."""
        before = {s.job_id: s.state for s in every(self.queue)}
        self.owner.release()
        self.owner = Owner(self.root)
        self.queue = JobQueue(self.root, self.owner, self.changed)
        self.queue.adopt()
        after = {s.job_id: s.state for s in every(self.queue)}
        assert after == {k: JobState.INTERRUPTED if v in WORKING else v for k, v in before.items()}

    @invariant()
    def disk_has_what_memory_has(self):
        for status in every(self.queue):
            kept = json.loads((self.root / "jobs" / status.job_id / "state.json").read_bytes())["status"]
            if status.state not in WORKING:  # phases of a running job need not be there
                assert kept["state"] == status.state.value and kept["settled"] == status.settled

    @invariant()
    def the_next_is_the_first_that_waits(self):
        waiting = [job for job in self.queue._table.jobs.values() if job.status.state is JobState.QUEUED]
        first = min(waiting, key=lambda job: job.order, default=None)
        assert self.queue.next_queued() == (first and first.status)

    @invariant()
    def pages_have_every_job_in_order(self):
        listed = every(self.queue)
        assert listed == sorted(listed, key=lambda s: (s.state.ended, -s.created, s.job_id))
        assert {s.job_id for s in listed} == {s.job_id for s in map(self.queue.status, self.queue._table.jobs)}

    @invariant()
    def progress_is_whole_only_when_done(self):
        for status in every(self.queue):
            assert (status.progress == 1.0) == (status.state is JobState.DONE)
            assert 0 <= status.progress <= ALMOST_DONE or status.state is JobState.DONE
            assert (status.take is not None) == (status.state is JobState.DONE)
            assert (status.problem is not None) == (status.state in ENDS and status.state is not JobState.DONE)

    def teardown(self):
        self.owner.release()
        self.folder.cleanup()


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(
    derandomize=True, max_examples=25, stateful_step_count=40, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
