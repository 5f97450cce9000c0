"""The statuses of all jobs: as the server reports them, and as this side knows them for jobs that it hasn't got.

There may be ten thousand, and this is asked at every tick and redraw. So each change costs only what it changes, and
the list in order is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ...wan_backend.protocol.messages import (
    JobState,
    JobStatus,
    JobSummary,
    Problem,
    ProblemKind,
    ProgressParams,
    TakeRequest,
)

_Key = tuple[bool, float, str]


class JobList:
    """What is known of every job, by id. The server's word counts before this side's."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        """The ids of the jobs that have a take."""
        self._server: dict[str, JobStatus] = {}
        self._local: dict[str, JobStatus] = {}
        self._requests: dict[str, TakeRequest] = {}
        """The requests of jobs that the server doesn't have yet, so that they are known only here."""
        self._running: set[str] = set()
        self._unsettled: set[str] = set()
        self._came_done: set[str] = set()
        self._to_render: set[str] = set()
        self._in_order: list[JobStatus] = []
        self._handed_out: list[JobStatus] | None = None
        self._places: dict[str, int] = {}
        self._keys: dict[str, _Key] = {}
        self._without_key: dict[str, None] = {}
        """In the order of their arrival, which is mostly the order in which they are shown and so quickly sorted."""
        self._unsorted = True
        self._pass: set[str] | None = None
        """The jobs that the pages so far have named; None if no list is on its way."""
        self._reported_since: set[str] = set()
        """Jobs that the server reported singly while the pages came: their pages are older."""

    # What is known

    def get(self, job_id: str) -> JobStatus | None:
        """The job's status; None if nobody knows it."""
        return self._server.get(job_id) or self._local.get(job_id)

    def all(self) -> list[JobStatus]:
        """Every job, in no order. Not for a tick."""
        return [*self._server.values(), *self._local.values()]

    def request_of(self, job_id: str) -> TakeRequest | None:
        """The request of a job that the server doesn't have (yet)."""
        return self._requests.get(job_id)

    def is_on_server(self, job_id: str) -> bool:
        """True if the server has the job."""
        return job_id in self._server

    @property
    def busy(self) -> bool:
        """True while a job has not ended."""
        return bool(self._running)

    def ended_unsettled(self) -> list[JobStatus]:
        """The jobs that ended and that no saved file is known to know of."""
        return [status for job_id in self._unsettled if (status := self.get(job_id)) is not None]

    def done_unsettled(self) -> set[str]:
        """The jobs with a take that no saved file is known to know of."""
        return self.done & self._unsettled

    def pop_done(self) -> set[str]:
        """The jobs that were reported done since the last call."""
        came, self._came_done = self._came_done, set()
        return came

    def pop_to_render(self) -> set[str]:
        """The jobs that failed since the last call because their sources have to be rendered first."""
        came, self._to_render = self._to_render, set()
        return came

    def in_order(self, belongs_here: Callable[[JobStatus], bool]) -> list[JobStatus]:
        """The open file's jobs first; newest first in both halves. The same list until something changes."""
        if self._handed_out is not None:
            return self._handed_out
        if self._unsorted:
            self._sort(belongs_here)
        self._handed_out = list(self._in_order)
        return self._handed_out

    def reorder(self) -> None:
        """Sort everything again, because other jobs may belong to the open file now."""
        self._keys.clear()
        self._without_key = dict.fromkeys((*self._places, *self._server, *self._local))
        self._changed_order()

    # What the server reports

    def receive(self, status: JobStatus) -> None:
        """Take over a job's status from the server."""
        if self._pass is not None:
            self._reported_since.add(status.job_id)
        self._receive(status)

    def receive_progress(self, progress: ProgressParams) -> None:
        """Take over how far a job is. For a job that has ended or isn't known, the event is late or early: ignored."""
        status = self._server.get(progress.job_id)
        if status is None or status.state.ended or progress.state.ended:
            return
        self._put(
            self._server,
            replace(
                status,
                state=progress.state,
                step=progress.step,
                steps=progress.steps,
                progress=progress.progress,
                eta_seconds=progress.eta_seconds,
                sentence=progress.sentence,
                preview=progress.preview or status.preview,
            ),
        )

    def begin_pages(self) -> None:
        """The server's list is asked for again; its pages arrive one by one."""
        self._pass = set()
        self._reported_since.clear()

    def receive_page(self, statuses: Iterable[JobStatus], last: bool) -> None:
        """A page of the list of jobs. What was reported of a job since the list was asked for is newer than its page.

        After the last page, jobs that were on none are gone.
        """
        if self._pass is None:
            return
        for status in statuses:
            self._pass.add(status.job_id)
            if status.job_id not in self._reported_since:
                self._receive(status)
        if last:
            for job_id in self._server.keys() - self._pass - self._reported_since:
                self._drop(job_id)
            self._pass = None

    def receive_settled(self, job_ids: Iterable[str]) -> None:
        """The server has it on its disk that a saved file knows how these jobs ended."""
        for job_id in job_ids:
            status = self._server.get(job_id)
            if status is not None:
                self.receive(replace(status, settled=True))

    # What this side knows first

    def keep(self, status: JobStatus, request: TakeRequest | None) -> None:
        """Add a job that the server doesn't know (yet); `request` is None if nobody knows what was asked for."""
        if request is not None:
            self._requests[status.job_id] = request
        self._put(self._local, status)

    def add_queued(self, job_id: str, request: TakeRequest, sentence: str) -> None:
        """A job is on its way to the server."""
        self._server.pop(job_id, None)
        summary = JobSummary.of(request)
        self.keep(JobStatus(job_id, JobState.QUEUED, summary, sentence=sentence, created=time.time()), request)

    def change(self, job_id: str, **changed: Any) -> None:
        """Change fields of a job that the server doesn't know (yet)."""
        status = self._local.get(job_id)
        if status is not None:
            self._put(self._local, replace(status, **changed))

    def end(self, job_id: str, state: JobState, problem: Problem | None = None) -> None:
        """A job ended before the server had it, or before what was asked of it now could be done."""
        where = self._local if job_id in self._local else self._server
        status = where.get(job_id)
        if status is not None:
            sentence = problem.sentence if problem else ""
            self._put(where, replace(status, state=state, problem=problem, sentence=sentence))

    def forget(self, job_ids: Iterable[str]) -> None:
        """The jobs are of no more interest."""
        for job_id in job_ids:
            if self._pass is not None:
                self._reported_since.add(job_id)
            self._drop(job_id)

    # Each change costs what it changes

    def _receive(self, status: JobStatus) -> None:
        self._local.pop(status.job_id, None)
        self._requests.pop(status.job_id, None)
        self._put(self._server, status)

    def _put(self, where: dict[str, JobStatus], status: JobStatus) -> None:
        job_id = status.job_id
        before = self._server.get(job_id) or self._local.get(job_id)
        where[job_id] = status
        _change(self._running, job_id, not status.state.ended)
        _change(self._unsettled, job_id, status.state.ended and not status.settled)
        if status.state is not JobState.DONE:
            self.done.discard(job_id)
        elif job_id not in self.done:
            self.done.add(job_id)
            self._came_done.add(job_id)
        _change(self._to_render, job_id, _wants_rendering(status))
        place = self._places.get(job_id)
        if place is not None and not self._unsorted and before is not None and before.created == status.created:
            self._in_order[place] = status
            self._handed_out = None
        else:
            self._keys.pop(job_id, None)
            self._without_key[job_id] = None
            self._changed_order()

    def _drop(self, job_id: str) -> None:
        self._server.pop(job_id, None)
        self._local.pop(job_id, None)
        self._requests.pop(job_id, None)
        for each in (self._running, self._unsettled, self.done, self._came_done, self._to_render):
            each.discard(job_id)
        self._keys.pop(job_id, None)
        self._without_key.pop(job_id, None)
        self._changed_order()

    def _sort(self, belongs_here: Callable[[JobStatus], bool]) -> None:
        """Only the position of new jobs is looked up: the others keep their keys, and are mostly in order already."""
        keys, server, local = self._keys, self._server, self._local
        ids = [job_id for job_id in self._places if job_id in keys]
        for job_id in self._without_key:
            status = server.get(job_id) or local.get(job_id)
            if status is not None:
                keys[job_id] = (not belongs_here(status), -status.created, job_id)
                ids.append(job_id)
        ids.sort(key=keys.__getitem__)
        self._in_order = [server.get(job_id) or local[job_id] for job_id in ids]
        self._places = dict(zip(ids, range(len(ids)), strict=True))
        self._without_key.clear()
        self._unsorted = False

    def _changed_order(self) -> None:
        self._unsorted, self._handed_out = True, None


def _wants_rendering(status: JobStatus) -> bool:
    wants = status.problem is not None and status.problem.kind is ProblemKind.RENDER_FIRST
    return wants and status.state is JobState.FAILED and not (status.settled or status.held_elsewhere)


def _change(ids: set[str], job_id: str, present: bool) -> None:
    if present:
        ids.add(job_id)
    else:
        ids.discard(job_id)
