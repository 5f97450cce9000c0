"""The queue's jobs go to the worker and come back. Single-threaded; job queue, models and protocol only."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ..job_queue.jobs import WAITING, JobQueue, is_working
from ..protocol.messages import (
    JobState,
    JobStatus,
    ModelPart,
    Problem,
    ProblemKind,
    ProgressParams,
    RunParams,
    RunResult,
    WorkerStatus,
)
from .planner import Planner
from .worker_life import WorkerLife

log = logging.getLogger(__name__)

CANCELLED = Problem(ProblemKind.CANCELLED, "Cancelled.")
LEFT = "The backend ended while this job ran; retry it."


class JobRunner:
    """Hears the worker, feeds it, and keeps the queue's jobs true to what happens."""

    def __init__(
        self,
        queue: JobQueue,
        life: WorkerLife,
        planner: Planner,
        device: str,
        memory_budget_bytes: int | None,
        state_folder: Path,
        on_worker: Callable[[WorkerStatus], None],
        copies_folder: str = "",
    ) -> None:
        """`copies_folder`: where a worker may keep 16 bit copies of weights."""
        self._queue, self._life, self._planner = queue, life, planner
        self._device, self._memory_budget_bytes = device, memory_budget_bytes
        self._state_folder, self._copies_folder, self._on_worker = state_folder, copies_folder, on_worker
        life.listener = self

    def advance(self) -> None:
        """Give the worker the next job, or have a worker where one waits."""
        if self._life.busy_with or self._queue.next_queued() is None:
            return
        if self._life.status.state == "broken":
            self._queue.tell_queued(self._life.status.sentence)
        elif self._life.can_take_a_job:
            if self._planner.ready:
                self._start_next()
        else:
            self._life.want()

    def cancel(self, job_id: str) -> JobStatus:
        """End a job; one that the worker has ends within the worker's time for it."""
        status = self._queue.status(job_id)
        if status.state is JobState.QUEUED:
            self._queue.end(job_id, JobState.CANCELLED, CANCELLED)
        elif is_working(status):
            self._queue.say(job_id, "Cancelling.")
            self._life.cancel(job_id)
        return self._queue.status(job_id)

    def retry(self, job_id: str) -> JobStatus:
        """Queue a job again, and forgive the workers that died."""
        status = self._queue.retry(job_id)
        self.forgive()
        return status

    def forgive(self) -> None:
        """Let workers be started again."""
        if self._life.status.state == "broken":
            self._queue.tell_queued(WAITING)
        self._life.reset()

    def leave(self) -> None:
        """The server ends: its running job is interrupted, queued ones stay for the next server."""
        job_id = self._life.busy_with
        self._life.stop(1.0)
        if job_id:
            self._queue.end(job_id, JobState.INTERRUPTED, Problem(ProblemKind.INTERRUPTED, LEFT))

    def worker_changed(self, status: WorkerStatus) -> None:
        """The worker's life changed."""
        self._on_worker(status)

    def job_progressed(self, report: ProgressParams) -> None:
        """The worker's job went on."""
        self._queue.progress(report)

    def job_finished(self, job_id: str, result: RunResult) -> None:
        """The worker made the take."""
        self._queue.finish(job_id, result)

    def job_failed(self, job_id: str, problem: Problem) -> None:
        """The worker could not, or died."""
        state = JobState.CANCELLED if problem.kind == ProblemKind.CANCELLED else JobState.FAILED
        self._queue.end(job_id, state, problem)

    def _start_next(self) -> None:
        """Plan again, because disks and models change while a job waits; then hand it over."""
        while (status := self._queue.next_queued()) is not None:
            plan = self._planner.plan(status.request)
            if plan.problem is None:
                break
            self._queue.end(status.job_id, JobState.FAILED, plan.problem)
        else:
            return
        try:
            found = self._planner.found(plan.model)
        except LookupError as gone:
            self._queue.end(status.job_id, JobState.FAILED, Problem(ProblemKind.MODEL_MISSING, str(gone)))
            return
        self._queue.replan(status.job_id, plan)
        started = self._queue.start(status.job_id)
        self._life.run(
            RunParams(
                status.job_id,
                started.request,
                plan,
                str(found.folder),
                self._device,
                self._memory_budget_bytes,
                tiny_decoder=self._planner.tiny_decoder(plan.model),
                model_parts=[ModelPart(part, str(place)) for part, place in found.parts.items()],
                copies_folder=self._copies_folder,
                work_folder=str(self._queue.work_folder(status.job_id)),
                state_folder=str(self._state_folder),
            )
        )
