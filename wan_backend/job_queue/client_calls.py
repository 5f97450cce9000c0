"""The calls that change the queue for a client: submit, retry, settle, clear.

Each is answered once its effect is on the disk. Where two ask the same, both get the one answer.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Iterable

from ..protocol import ProtocolError, Refusal
from ..protocol.conversion import to_json
from ..protocol.endpoint import Answer
from ..protocol.errors import INVALID_PARAMS, result_or_error
from ..protocol.messages import (
    JobIdsParams,
    JobState,
    JobStatus,
    JobSummary,
    Plan,
    Problem,
    ProblemKind,
    Take,
    TakeRequest,
    TrainedLora,
)
from ..protocol.sentences import Sentence
from ..storage import disk_errors
from . import reading, take_files
from .adoption import AbandonedJobSearch
from .job import Job
from .job_table import WAITING, JobTable, no_such_job
from .owners import Owner
from .saving import Saving
from .store import JOB_ID, JobStore

HELD_ELSEWHERE = Sentence("Another Blender window has this job; change it in that window, or close that window first.")
MAX_STATUS_BYTES = 16_000
"""Limit for a new job; sentences and fixes that come later have limits of their own."""


class ClientCalls:
    """Carries the calls out. `hand_in` is given the answer."""

    def __init__(
        self, table: JobTable, store: JobStore, saving: Saving, search: AbandonedJobSearch, owner: Owner
    ) -> None:
        self._table, self._store, self._saving, self._search, self._owner = table, store, saving, search, owner
        self._new: dict[str, list[Answer]] = {}
        """Jobs that are being written to the disk, and the answers that wait for that."""
        self._cleared: set[str] = set()
        self._retried: dict[str, list[Answer]] = {}
        """Jobs whose files are checked for a retry, and the answers that wait for that."""

    @property
    def new_ids(self) -> list[str]:
        """The jobs that are being written to the disk."""
        return [*self._new]

    def is_new_or_cleared(self, job_id: str) -> bool:
        """Whether what lies on the disk of that job is coming or going by a call."""
        return job_id in self._new or job_id in self._cleared

    def submit(self, job_id: str, request: TakeRequest, plan: Plan, hand_in: Answer) -> None:
        """Queue a new job; one that is there already stays as it is."""
        if job_id in self._table.jobs:
            hand_in(self._table.jobs[job_id].status)
        elif job_id in self._new:
            self._new[job_id].append(hand_in)
        elif self._search.holds_elsewhere(job_id):
            hand_in(_held_elsewhere())
        else:
            made = result_or_error(lambda: self._made(job_id, request, plan), Sentence("The new job"))
            if isinstance(made, ProtocolError):
                hand_in(made)
                return
            self._new[job_id] = [hand_in]
            create = functools.partial(
                self._saving.create, made, request, plan, functools.partial(self._on_created, made)
            )
            self._saving.when_written(job_id, create)  # a job of that id that was cleared may not be gone yet

    def _made(self, job_id: str, request: TakeRequest, plan: Plan) -> Job:
        if not JOB_ID.fullmatch(job_id):
            raise ProtocolError(INVALID_PARAMS, "params.job_id must be 32 hexadecimal digits in lower case.")
        status = JobStatus(
            job_id, JobState.QUEUED, JobSummary.of(request), steps=plan.steps, sentence=WAITING, created=time.time()
        )
        if len(json.dumps(to_json(status))) > MAX_STATUS_BYTES:
            sentence = Sentence("The path of the project or the name of its scene is too long; choose shorter ones.")
            raise Refusal(Problem(ProblemKind.TOO_LARGE, sentence))
        order = self._table.turns.new_order(training=request.training is not None)
        return Job(status, self._owner.id, order, status.created, request.media_folder)

    def _on_created(self, job: Job, error: OSError | None) -> None:
        job_id = job.status.job_id
        answer: JobStatus | Refusal = job.status
        if error is None:
            self._cleared.discard(job_id)
            self._table.add(job)
            self._table.on_change(job.status, True)
        else:
            answer = Refusal(disk_errors.write_problem(error, Sentence("The job was not accepted")))
        for hand_in in self._new.pop(job_id):
            hand_in(answer)

    def retry(self, job_id: str, hand_in: Answer) -> None:
        """Queue a job that ended once more; done at once where its take is whole on the disk."""
        job = result_or_error(lambda: self._table.job(job_id), Sentence("The job"))
        if isinstance(job, ProtocolError):
            hand_in(_held_elsewhere() if self._search.holds_elsewhere(job_id) else job)
        elif job.elsewhere:
            hand_in(_held_elsewhere())
        elif job.broken and job.status.problem is not None:
            hand_in(Refusal(job.status.problem))
        elif not job.status.state.ended:
            hand_in(job.status)
        elif job_id in self._retried:
            self._retried[job_id].append(hand_in)
        else:
            self._retried[job_id] = [hand_in]
            folder, takes_folder = self._store.folder(job_id), job.media_folder
            trained = job.status.training.newest if job.status.training is not None else None

            def look() -> Take | TrainedLora | None:
                reading.request_of(folder)
                if job.status.state is JobState.DONE and trained is not None and os.path.exists(trained.path):
                    return trained
                take = take_files.find_take(takes_folder, job_id)
                if take is None:
                    take_files.set_aside(takes_folder, job_id)
                return take

            self._saving.in_thread("retry", look, functools.partial(self._retry_with, job))

    def _retry_with(self, job: Job, take: Take | TrainedLora | ProtocolError | None) -> None:
        """`take`: the complete take or LoRA on the disk, or why the job can't be made again."""
        job_id = job.status.job_id
        answer: ProtocolError | None = None
        if isinstance(take, ProtocolError):
            answer = take
        elif not self._table.has(job):
            answer = no_such_job(job_id)
        elif job.status.state.ended:
            if take is None:
                self._requeue(job)
            elif isinstance(take, Take) and job.status.state is not JobState.DONE:
                self._table.finish(job, take, job.status.seconds)
        waiting = self._retried.pop(job_id)

        def answer_all() -> None:
            for hand_in in waiting:
                hand_in(job.status if answer is None else answer)

        self._saving.when_written(job_id, answer_all)

    def _requeue(self, job: Job) -> None:
        before = job.status
        is_training = before.summary.training is not None
        job.order, job.queued_at = self._table.turns.new_order(is_training), time.time()
        fresh = JobStatus(
            *(before.job_id, JobState.QUEUED, before.summary),
            sentence=WAITING,
            created=before.created,
            training=before.training,
        )
        self._table.move(job, JobState.QUEUED, fresh)

    def settle(self, job_ids: Iterable[str], hand_in: Answer) -> None:
        """The saved project knows how these jobs ended; ids unknown or not ended are passed over."""
        jobs = self._table.ended(job_ids)
        for job in jobs:
            if not job.status.settled:
                self._table.change(job, dataclasses.replace(job.status, settled=True))
                if job.elsewhere:
                    self._saving.put(job, functools.partial(self._store.mark_settled, job.status.job_id))
                else:
                    self._saving.save(job, urgent=False)
        ids = [job.status.job_id for job in jobs]

        def answer() -> None:
            hand_in(JobIdsParams([job_id for job_id in ids if not self._saving.is_unsaved(job_id)]))

        count_one = _after_calls(len(ids), answer)
        for job_id in ids:
            self._saving.when_written(job_id, count_one)

    def clear(self, job_ids: Iterable[str], hand_in: Answer) -> None:
        """Forget jobs that ended; their media stays. Ids unknown or not ended are passed over."""
        known = self._table.ended(job_ids)
        jobs = [job for job in known if not job.elsewhere]
        if known and not jobs:
            hand_in(_held_elsewhere())
            return
        cleared: list[str] = []
        errors: list[OSError] = []

        def answer() -> None:
            if errors and not cleared:
                hand_in(Refusal(disk_errors.write_problem(errors[0], Sentence("The job could not be cleared"))))
            else:
                hand_in(JobIdsParams(cleared))

        count_one = _after_calls(len(jobs), answer)

        def on_removed(job: Job, error: OSError | None) -> None:
            if error is None:
                cleared.append(job.status.job_id)
            else:
                errors.append(error)
                self._cleared.discard(job.status.job_id)
                self._table.add(job)
            count_one()

        for job in jobs:
            self._table.remove(job)
            self._cleared.add(job.status.job_id)
            self._saving.remove(job, self._owner.id, functools.partial(on_removed, job))


def _after_calls(count: int, then: Callable[[], None]) -> Callable[[], None]:
    """A function that calls `then` when it is called the `count`th time; `then` is called now where `count` is 0."""
    left = count

    def one() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            then()

    if count == 0:
        then()
    return one


def _held_elsewhere() -> Refusal:
    return Refusal(Problem(ProblemKind.BUSY, HELD_ELSEWHERE))
