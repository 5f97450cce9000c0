"""The statuses of all jobs: the server's word, and this side's for jobs that the server doesn't know. No bpy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from ...wan_backend.protocol.messages import JobState, JobStatus, Problem, TakeRequest


class JobList:
    """What is known of every job, by id."""

    def __init__(self) -> None:
        self._server: dict[str, JobStatus] = {}
        self._local: dict[str, JobStatus] = {}

    def get(self, job_id: str) -> JobStatus | None:
        """The job's status; None where nobody knows it."""
        return self._server.get(job_id) or self._local.get(job_id)

    def all(self) -> list[JobStatus]:
        """Every job, in no order."""
        return [*self._server.values(), *self._local.values()]

    def is_servers(self, job_id: str) -> bool:
        """True where the server has the job."""
        return job_id in self._server

    def hear(self, status: JobStatus) -> None:
        """The server says how a job is."""
        self._server[status.job_id] = status
        self._local.pop(status.job_id, None)

    def hear_all(self, statuses: Iterable[JobStatus]) -> None:
        """The server says what jobs there are."""
        self._server = {status.job_id: status for status in statuses}
        for job_id in self._server:
            self._local.pop(job_id, None)

    def keep(self, status: JobStatus) -> None:
        """This side says how a job is that the server doesn't know (yet)."""
        self._local[status.job_id] = status

    def ask(self, job_id: str, request: TakeRequest, sentence: str) -> None:
        """A job is on its way to the server."""
        status = JobStatus(job_id, JobState.QUEUED, request, sentence=sentence, created=time.time())
        self._server.pop(job_id, None)
        self._local[job_id] = status

    def end(self, job_id: str, state: JobState, problem: Problem | None = None) -> None:
        """A job ended before the server had it."""
        status = self._local.get(job_id)
        if status is not None:
            sentence = problem.sentence if problem else ""
            self._local[job_id] = replace(status, state=state, problem=problem, sentence=sentence)

    def forget(self, job_ids: Iterable[str]) -> None:
        """The jobs are of no more interest."""
        for job_id in job_ids:
            self._local.pop(job_id, None)
            self._server.pop(job_id, None)

    def in_order(self, belongs_here: Callable[[str], bool]) -> list[JobStatus]:
        """The open file's jobs first; newest first in both halves."""
        return sorted(self.all(), key=lambda s: (not belongs_here(s.job_id), -s.created, s.job_id))
