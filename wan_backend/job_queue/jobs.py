"""The queue: every job this server has, in memory and on disk. Standard library and protocol only; single-threaded.

What changes a state goes to the disk at once; progress doesn't. A disk that is full stops no job: its newer state is
kept in memory and written when there is room again. Only a new job is refused then, because it could be lost.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import Timeout

from ..protocol import ProtocolError, Refusal
from ..protocol.errors import INVALID_PARAMS, NO_SUCH_JOB
from ..protocol.media import STEPS_FILE
from ..protocol.messages import (
    JobState,
    JobStatus,
    PhaseSeconds,
    Plan,
    Problem,
    ProblemKind,
    ProgressParams,
    RunResult,
    Take,
    TakeRequest,
)
from . import take_files, transitions
from .owners import Owner
from .store import JOB_ID, Job, JobStore

log = logging.getLogger(__name__)

WAITING = "Waiting for its turn."
INTERRUPTED = "The backend ended while this job ran; retry it."
GOES_ON = "The backend ended while this job ran; retry it, and it goes on from its last step."
ALMOST_DONE = 0.999
"""Progress is 1 only once the take is on the disk."""

OnChange = Callable[[JobStatus, bool], None]
"""Called with a job's status and whether its state changed (else only its progress did)."""


class JobQueue:
    """First in, first out. One worker at a time has a job."""

    def __init__(self, state_folder: Path, owner: Owner, on_change: OnChange) -> None:
        """Raises OSError where the folder can't be written."""
        self._store = JobStore(state_folder)
        self._owner = owner
        self._on_change = on_change
        self._jobs: dict[str, Job] = {}

    def adopt(self) -> None:
        """Take over every job on disk whose server is dead; say of running ones that they were interrupted."""
        try:
            with self._owner.adopting():
                self._store.remove_leftovers(self._is_owned)
                for job_id in self._store.ids():
                    if job_id not in self._jobs:
                        self._adopt_one(self._store.load(job_id))
        except (OSError, Timeout) as error:
            log.warning("The jobs of other servers could not be looked at: %s", error)

    def statuses(self) -> list[JobStatus]:
        """All jobs, oldest first."""
        return [job.status for job in sorted(self._jobs.values(), key=lambda job: (job.status.created, job.order))]

    def status(self, job_id: str) -> JobStatus:
        """One job; raises ProtocolError (NO_SUCH_JOB)."""
        return self._job(job_id).status

    def work_folder(self, job_id: str) -> Path:
        """Where a worker keeps the job's finished steps, so that a retry goes on from them."""
        return self._store.work_folder(job_id)

    def has(self, job_id: str) -> bool:
        """Whether this server has the job."""
        return job_id in self._jobs

    def next_queued(self) -> JobStatus | None:
        """The job whose turn it is."""
        queued = [job for job in self._jobs.values() if job.status.state is JobState.QUEUED]
        return min(queued, key=lambda job: job.order).status if queued else None

    def submit(self, job_id: str, request: TakeRequest, plan: Plan) -> JobStatus:
        """Queue a new job, on disk when this returns. Raises Refusal where the disk won't have it."""
        if not JOB_ID.fullmatch(job_id):
            raise ProtocolError(INVALID_PARAMS, "params.job_id must be 32 hexadecimal digits in lower case.")
        status = JobStatus(
            job_id, JobState.QUEUED, request, plan, steps=plan.steps, sentence=WAITING, created=time.time()
        )
        job = Job(status, self._owner.id, self._next_order(), status.created)
        try:
            self._store.create(job)
        except OSError as error:
            raise Refusal(_disk_problem(error, "The job was not taken on")) from None
        self._jobs[job_id] = job
        self._on_change(status, True)
        return status

    def start(self, job_id: str) -> JobStatus:
        """A worker gets the job."""
        job = self._job(job_id)
        waited = PhaseSeconds(queue=max(0.0, time.time() - job.queued_at))
        return self._move(job, JobState.LOADING, sentence="Loading the model.", seconds=waited)

    def progress(self, report: ProgressParams) -> None:
        """A worker says how far it is; what is said of a job that no worker has is passed over."""
        job = self._jobs.get(report.job_id)
        if job is None or not is_working(job.status) or report.state not in transitions.WORKING:
            return
        changed = report.state is not job.status.state
        job.status = dataclasses.replace(
            job.status,
            state=report.state,
            step=report.step,
            steps=report.steps or job.status.steps,
            progress=min(max(report.progress, job.status.progress), ALMOST_DONE),
            eta_seconds=report.eta_seconds,
            sentence=report.sentence or job.status.sentence,
            preview=report.preview or job.status.preview,
        )
        self._on_change(job.status, changed)

    def finish(self, job_id: str, result: RunResult) -> None:
        """The take is whole, on the disk."""
        job = self._job(job_id)
        seconds = dataclasses.replace(result.seconds, queue=job.status.seconds.queue)
        self._finish(job, result.take, seconds, result.notes)

    def end(self, job_id: str, state: JobState, problem: Problem) -> None:
        """The job ended without a take: failed, cancelled or interrupted."""
        job = self._job(job_id)
        take_files.remove_partial(job.status.request, job_id)
        self._move(job, state, problem=problem, sentence=problem.sentence, eta_seconds=None, preview="")

    def retry(self, job_id: str) -> JobStatus:
        """Queue a job that ended once more; done at once where its take is whole on the disk."""
        job = self._job(job_id)
        if job.broken:
            assert job.status.problem is not None
            raise Refusal(job.status.problem)
        if not job.status.state.ended:
            return job.status
        take = take_files.whole_take(job.status.request, job_id)
        if take is not None:
            if job.status.state is not JobState.DONE:
                self._finish(job, take, job.status.seconds)
            return job.status
        take_files.set_aside(job.status.request, job_id)
        job.order, job.queued_at = self._next_order(), time.time()
        fresh = JobStatus(job_id, JobState.QUEUED, job.status.request, sentence=WAITING, created=job.status.created)
        return self._move(job, JobState.QUEUED, fresh)

    def replan(self, job_id: str, plan: Plan) -> JobStatus:
        """What will be done for a queued job changed: the models or the disk did since it was asked for."""
        job = self._job(job_id)
        job.status = dataclasses.replace(job.status, plan=plan, steps=plan.steps)
        return job.status

    def settle(self, job_ids: Iterable[str]) -> None:
        """The saved project knows how these jobs ended; ids unknown or not ended are passed over."""
        for job_id in job_ids:
            job = self._jobs.get(job_id)
            if job is not None and job.status.state.ended and not job.status.settled:
                job.status = dataclasses.replace(job.status, settled=True)
                self._save(job)
                self._on_change(job.status, True)

    def clear(self, job_ids: Iterable[str]) -> None:
        """Forget jobs that ended; their media stays. Ids unknown or not ended are passed over."""
        for job_id in job_ids:
            job = self._jobs.get(job_id)
            if job is not None and job.status.state.ended:
                try:
                    self._store.remove(job)
                    del self._jobs[job_id]
                except OSError as error:
                    raise Refusal(_disk_problem(error, "The job could not be cleared")) from None

    def tell_queued(self, sentence: str) -> None:
        """Say something to those who wait for a queued job."""
        for job in self._jobs.values():
            if job.status.state is JobState.QUEUED:
                self.say(job.status.job_id, sentence)

    def say(self, job_id: str, sentence: str) -> None:
        """Say what goes on with a job; not kept on disk."""
        job = self._job(job_id)
        if job.status.sentence != sentence:
            job.status = dataclasses.replace(job.status, sentence=sentence)
            self._on_change(job.status, True)

    def save_unsaved(self) -> None:
        """Write what could not be written before."""
        for job in self._jobs.values():
            if job.unsaved:
                self._save(job)

    def _adopt_one(self, job: Job) -> None:
        if self._is_owned(job.owner):
            return
        job_id, before = job.status.job_id, job.status.state
        self._store.remove_temporaries(job_id)
        job.owner = self._owner.id
        self._jobs[job_id] = job
        if before in (JobState.DONE, JobState.CANCELLED) or job.broken:
            return
        take = take_files.whole_take(job.status.request, job_id)
        take_files.remove_partial(job.status.request, job_id)
        if take is not None:
            self._finish(job, take, job.status.seconds)
        elif is_working(job.status):
            sentence = GOES_ON if (self.work_folder(job_id) / STEPS_FILE).is_file() else INTERRUPTED
            self.end(job_id, JobState.INTERRUPTED, Problem(ProblemKind.INTERRUPTED, sentence))
        else:
            self._save(job)

    def _is_owned(self, owner_id: str) -> bool:
        """Whether another server, alive, has the jobs of this owner."""
        return bool(owner_id) and owner_id != self._owner.id and self._owner.is_alive(owner_id)

    def _finish(self, job: Job, take: Take, seconds: PhaseSeconds, notes: Iterable[str] = ()) -> None:
        self._store.remove_work(job.status.job_id)
        self._move(
            job, JobState.DONE, take=take, progress=1.0, problem=None, seconds=seconds,
            step=job.status.steps, eta_seconds=0.0, sentence=" ".join(["Done.", *notes]), preview="",
        )  # fmt: skip

    def _move(self, job: Job, state: JobState, status: JobStatus | None = None, **changes: object) -> JobStatus:
        """Bring a job into `state`: in memory, on disk, told."""
        transitions.check(job.status.state, state)
        job.status = status or dataclasses.replace(job.status, state=state, **changes)  # type: ignore[arg-type]
        self._save(job)
        self._on_change(job.status, True)
        return job.status

    def _save(self, job: Job) -> None:
        try:
            self._store.save(job)
            job.unsaved = False
        except OSError as error:
            if not job.unsaved:
                log.error("The state of job %s could not be written, it is kept: %s", job.status.job_id, error)
            job.unsaved = True

    def _job(self, job_id: str) -> Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise ProtocolError(NO_SUCH_JOB, f"There is no job '{job_id[:40]}' here.") from None

    def _next_order(self) -> int:
        last = max((job.order for job in self._jobs.values()), default=0)
        return max(time.time_ns(), last + 1)


def is_working(status: JobStatus) -> bool:
    """Whether a worker has the job."""
    return status.state in transitions.WORKING


def _disk_problem(error: OSError, what: str) -> Problem:
    place = error.filename or "the state folder"
    if error.errno == 28:
        return Problem(ProblemKind.DISK_FULL, f"{what}: the disk of {place} is full; make room and try again.")
    return Problem(
        ProblemKind.FOLDER, f"{what}: {place} can't be written ({error.strerror or error}); make it writable."
    )
