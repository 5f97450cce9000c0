"""What is yet to be told to the server: kept until it answers, and told again to the next one. No bpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.conversion import from_json
from ...wan_backend.protocol.errors import NO_SUCH_JOB
from ...wan_backend.protocol.messages import (
    JobIdsParams,
    JobParams,
    JobState,
    JobStatus,
    ListResult,
    Problem,
    ProblemKind,
    SubmitParams,
    TakeRequest,
)
from ..backend.client import Client
from .job_list import JobList


class Outbox:
    """Jobs to submit, cancel, retry, settle and clear."""

    def __init__(self, jobs: JobList, on_change: Callable[[], None]) -> None:
        self._jobs = jobs
        self._on_change = on_change
        self._submits: dict[str, TakeRequest] = {}
        self._cancels: set[str] = set()
        self._settles: set[str] = set()
        self._retries: dict[str, TakeRequest] = {}
        self._clears: set[str] = set()
        self._under_way: set[str] = set()

    def submit(self, job_id: str, request: TakeRequest) -> None:
        """Ask for a take as soon as there is a server."""
        self._jobs.ask(job_id, request, "Waiting for the backend.")
        self._submits[job_id] = request

    def cancel(self, job_id: str) -> None:
        """End a job, whether the server has it yet or not."""
        if job_id in self._submits and job_id not in self._under_way:
            del self._submits[job_id]
            self._jobs.end(job_id, JobState.CANCELLED)
        else:
            self._cancels.add(job_id)

    def retry(self, status: JobStatus) -> None:
        """Ask once more for a job that ended."""
        if not self._jobs.is_servers(status.job_id):
            self.submit(status.job_id, status.request)
            return
        self.retry_at_server(status.job_id, status.request)

    def retry_at_server(self, job_id: str, request: TakeRequest) -> None:
        """Ask once more for a job that the server has; where it turns out not to, the job is submitted anew."""
        self._retries[job_id] = request

    def clear(self, job_ids: Iterable[str]) -> None:
        """The jobs, which ended, are of no more interest."""
        self._clears.update(job_ids)

    def settle(self, job_ids: Iterable[str]) -> None:
        """The saved file knows how these jobs ended."""
        self._settles.update(job_ids)

    def server_gone(self) -> None:
        """What was under way may not have arrived: it is told again (a job's id counts once)."""
        self._under_way.clear()

    def give_up(self, sentence: str) -> None:
        """There will be no server for now: the waiting jobs end with the reason."""
        for job_id in list(self._submits):
            del self._submits[job_id]
            self._jobs.end(job_id, JobState.FAILED, Problem(ProblemKind.INTERNAL, sentence))
            self._on_change()

    def tick(self, client: Client) -> None:
        """Send what is due."""
        for job_id, request in self._submits.items():
            if job_id not in self._under_way:
                self._under_way.add(job_id)
                params = SubmitParams(job_id, request)
                client.call("submit", params, self._submitted, self.refused(job_id))
        for job_id in list(self._cancels):
            if job_id not in self._submits:
                self._cancels.discard(job_id)
                client.call("cancel", JobParams(job_id), self._hear)
        for job_id, request in self._retries.items():
            client.call("retry", JobParams(job_id), self._hear, self._not_retried(job_id, request))
        self._retries.clear()
        for method, job_ids in (("settle", self._settles), ("clear", self._clears)):
            if job_ids and not self._submits:
                client.call(method, JobIdsParams(sorted(job_ids)), self._hear_list)
                job_ids.clear()

    def refused(self, job_id: str) -> Callable[[ProtocolError], None]:
        """What to do when the server won't have the job: the job says why."""

        def take(error: ProtocolError) -> None:
            request = self._submits.pop(job_id, None)
            self._under_way.discard(job_id)
            status = self._jobs.get(job_id)
            if request is None and status is None:
                return
            if self._jobs.is_servers(job_id) and status is not None:
                self._jobs.ask(job_id, status.request, "")
            self._jobs.end(job_id, JobState.FAILED, problem_of(error))
            self._on_change()

        return take

    def _not_retried(self, job_id: str, request: TakeRequest) -> Callable[[ProtocolError], None]:
        def take(error: ProtocolError) -> None:
            if error.code == NO_SUCH_JOB:
                self.submit(job_id, request)
            else:
                self.refused(job_id)(error)

        return take

    def _submitted(self, status: JobStatus) -> None:
        self._submits.pop(status.job_id, None)
        self._under_way.discard(status.job_id)
        self._hear(status)

    def _hear(self, status: JobStatus) -> None:
        self._jobs.hear(status)
        self._on_change()

    def _hear_list(self, result: ListResult) -> None:
        self._jobs.hear_all(result.jobs)
        self._on_change()


def problem_of(error: ProtocolError) -> Problem:
    """The Problem that a refusal carries, else its sentence as one."""
    try:
        return from_json(Problem, error.details, "data")
    except ProtocolError:
        return Problem(ProblemKind.INTERNAL, error.message)
