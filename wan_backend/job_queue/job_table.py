"""The queue's jobs in memory: their states, the orders in which they are listed and get their turns, what is written.

Every change of a state goes through `JobTable.move`: it checks it, has it written and reports it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..protocol import ProtocolError
from ..protocol.errors import NO_SUCH_JOB
from ..protocol.messages import Hold, JobState, JobStatus, PhaseSeconds, Problem, Take, TrainingStatus
from ..protocol.sentences import Sentence, as_sentence
from . import take_files
from .job import Job, check_transition, has_turn, is_working
from .job_order import Rows, Turns
from .saving import Saving
from .store import JobStore

WAITING = Sentence("Waiting for its turn.")
DONE = Sentence("Done.")
MAX_SENTENCE = 2000
MAX_FIXES = 20

OnChange = Callable[[JobStatus, bool], None]
"""Called with a job's status and whether its state changed (else only its progress did)."""


class JobTable:
    """The jobs of this server, and those of other servers that are shown."""

    def __init__(self, store: JobStore, saving: Saving, on_change: OnChange) -> None:
        self._store, self._saving, self.on_change = store, saving, on_change
        self.jobs: dict[str, Job] = {}
        self.rows = Rows()
        self.turns = Turns(self.jobs)

    def job(self, job_id: str) -> Job:
        """The job with that id; raises ProtocolError (NO_SUCH_JOB)."""
        try:
            return self.jobs[job_id]
        except KeyError:
            raise no_such_job(job_id) from None

    def ended(self, job_ids: Iterable[str]) -> list[Job]:
        """Those of the jobs that are here and have ended, each once."""
        return [job for job in map(self.jobs.get, dict.fromkeys(job_ids)) if job and job.status.state.ended]

    def has(self, job: Job) -> bool:
        """False if that job was removed meanwhile, even if another of its id came."""
        return self.jobs.get(job.status.job_id) is job

    def add(self, job: Job) -> None:
        """Have a job from now on; nothing is written."""
        self.jobs[job.status.job_id] = job
        if job.status.state is JobState.QUEUED and job.status.turn != job.order:
            job.status = dataclasses.replace(job.status, turn=job.order)
        self.rows.add(job.status)
        self.turns.add(job)

    def remove(self, job: Job) -> None:
        """Have a job no more; nothing is written."""
        del self.jobs[job.status.job_id]
        self.rows.remove(job.status)

    def change(self, job: Job, status: JobStatus) -> None:
        """Give a job another status, in memory alone."""
        if self.has(job):
            self.rows.change(job.status, status)
        job.status = status

    def set_sentence(self, job: Job, sentence: Sentence) -> None:
        """Show a sentence at a job; it is not kept on disk."""
        if job.status.sentence != sentence:
            self.change(job, dataclasses.replace(job.status, sentence=as_sentence(sentence).within(MAX_SENTENCE)))
            self.on_change(job.status, True)

    def take_back(self, job: Job) -> None:
        """Give a job that was set aside its turn again; nothing if it wasn't."""
        if self.has(job) and job.aside:
            job.aside = False
            if has_turn(job):
                self.turns.add(job)
                self.set_sentence(job, WAITING)

    def hold(self, job: Job, hold: Hold, sentence: Sentence) -> None:
        """Keep a queued job from its turn, or give it that again; written and reported."""
        if job.status.hold is not hold or job.status.sentence != sentence:
            self.change(job, dataclasses.replace(job.status, hold=hold, sentence=sentence))
            self._give_turn(job)
            self._saving.save(job)
            self.on_change(job.status, True)

    def put_before(self, job: Job, before: Job) -> None:
        """Give a queued job its turn right before another one; written and reported."""
        for job_id, order in self.turns.order_before(job, before).items():
            moved = self.jobs[job_id]
            moved.order = order
            self._give_turn(moved)
            self._saving.save(moved)
            self.on_change(moved.status, True)

    def _give_turn(self, job: Job) -> None:
        """A queued job's order is what its status says; nothing is written."""
        self.turns.add(job)
        if job.status.turn != job.order:
            self.change(job, dataclasses.replace(job.status, turn=job.order))

    def move(self, job: Job, state: JobState, status: JobStatus | None = None, **changes: Any) -> JobStatus:
        """Bring a job into `state`, in memory and on disk, and report it."""
        check_transition(job.status.state, state)
        # Nobody waits for what a worker's job comes to, and the next server finds that out by itself.
        urgent = state in (JobState.QUEUED, JobState.INTERRUPTED) or not is_working(job.status)
        changes.setdefault("hold", Hold.NONE)
        self.change(job, status or dataclasses.replace(job.status, state=state, **changes))
        if state is JobState.QUEUED:
            job.aside = False
            self._give_turn(job)
        self._saving.save(job, urgent=urgent and state is not JobState.LOADING)
        self.on_change(job.status, True)
        return job.status

    def finish(
        self,
        job: Job,
        take: Take | None,
        seconds: PhaseSeconds,
        notes: Iterable[Sentence] = (),
        training: TrainingStatus | None = None,
    ) -> None:
        """The job's take is whole, on the disk; or the LoRA that was trained is, and `take` None."""
        job_id = job.status.job_id
        self._saving.put(job, lambda: self._store.remove_work(job_id))
        self.move(
            job, JobState.DONE, take=take, progress=1.0, problem=None, seconds=seconds, step=job.status.steps,
            eta_seconds=0.0, sentence=Sentence.joined([DONE, *notes]).within(MAX_SENTENCE), preview="",
            training=training or job.status.training,
        )  # fmt: skip

    def end(self, job: Job, state: JobState, problem: Problem) -> None:
        """The job ended without a take."""
        problem = dataclasses.replace(
            problem, sentence=as_sentence(problem.sentence).within(MAX_SENTENCE), fixes=problem.fixes[:MAX_FIXES]
        )
        self.move(job, state, problem=problem, sentence=problem.sentence, eta_seconds=None, preview="")

    def clean_up(self, job: Job, made_again: bool) -> None:
        """Remove what the try that ends now has left; the media folder may be slow.

        A job that is to be made again, and whose take is whole all the same, is done. Of one that was canceled or has
        failed no take is looked for.
        """
        job_id, takes_folder = job.status.job_id, job.media_folder
        may_be_whole = made_again and job.status.summary.training is None
        job.media_cleanups, job.media_cleanups_since = job.media_cleanups + 1, time.monotonic()

        def clean() -> Take | None:
            take_files.remove_partial(takes_folder, job_id)
            return take_files.find_take(takes_folder, job_id) if may_be_whole else None

        def done(found: Take | ProtocolError | None) -> None:
            if isinstance(found, Take) and self.has(job) and job.status.state is JobState.QUEUED:
                self.finish(job, found, job.status.seconds)  # its worker ended between the last picture and its answer
            self.leave_media(job)

        self._saving.in_thread("cleanup", clean, done)

    def leave_media(self, job: Job) -> None:
        """One of the threads that were at the job's media folder is done."""
        job.media_cleanups -= 1
        if not job.media_cleanups:
            self.take_back(job)


def no_such_job(job_id: str) -> ProtocolError:
    """No job here has that id."""
    return ProtocolError(NO_SUCH_JOB, Sentence("There is no job '{job_id}' here.", job_id=job_id[:40]))
