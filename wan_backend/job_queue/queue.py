"""Keeps the queue: every job of this server, in memory and on disk.

A change of state goes to the disk at once, by the writer; progress doesn't. A full disk stops no job: its newer state
is kept in memory and written when there is room again. Only a new job is refused then, because it could be lost. A
client's call is answered once its effect is on the disk. Nothing here takes longer the more jobs there are.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..protocol import ProtocolError, Refusal
from ..protocol.conversion import to_json
from ..protocol.endpoint import Answer, Later
from ..protocol.errors import INVALID_PARAMS, NO_SUCH_JOB, result_or_error
from ..protocol.messages import (
    JobDetails,
    JobIdsParams,
    JobState,
    JobStatus,
    JobSummary,
    ListParams,
    ListResult,
    PhaseSeconds,
    Plan,
    Problem,
    ProblemKind,
    ProgressParams,
    RunResult,
    Take,
    TakeRequest,
)
from ..storage import media_folder
from . import reading, take_files
from .adoption import AbandonedJobSearch, Adopter, Found
from .job import BACKEND_ENDED, BACKEND_ENDED_WITH_STEPS, WORKING, Job, check_transition, is_working
from .job_order import Rows, Turns
from .owners import Owner
from .saving import Saving
from .store import JOB_ID, JobStore
from .writer import Post

log = logging.getLogger(__name__)

WAITING = "Waiting for its turn."
HELD_ELSEWHERE = "Another Blender window has this job; change it in that window, or close that window first."
MEDIA_FOLDER_SILENT = "{} does not answer; this job continues as soon as it does."
MEDIA_PATIENCE_SECONDS = 60.0
"""Time that a job waits for its media folder before others go before it."""
ALMOST_DONE = 0.999
"""Progress is 1 only once the take is on the disk."""
MAX_PAGE_JOBS = 1000
MAX_PAGE_BYTES = 1 << 19
"""A page must fit on one line, however long the sentences of its jobs are."""
MAX_STATUS_BYTES = 16_000
"""Limit for a new job; sentences and fixes that come later have limits of their own."""
MAX_SENTENCE = 2000
MAX_FIXES = 20

OnChange = Callable[[JobStatus, bool], None]
"""Called with a job's status and whether its state changed (else only its progress did)."""


class JobQueue:
    """A queue of jobs, first in, first out. One worker at a time has a job."""

    def __init__(
        self,
        state_folder: Path,
        owner: Owner,
        on_change: OnChange,
        post: Post | None = None,
        on_elsewhere: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Raises OSError if the folder can't be written.

        `post` has something done by this thread; what has to do with disks is then done by others. Without it, all is
        done before a call returns. `on_elsewhere` is called with the number of jobs that other live servers have,
        whenever a search finds another number.
        """
        self._store = JobStore(state_folder)
        self._owner, self._on_change = owner, on_change
        self._saving = Saving(self._store, post)
        self._search = AbandonedJobSearch(self._store, owner)
        self._adopter = Adopter(self._search, post, self._known, self._on_found, self._on_media_checked)
        self._on_elsewhere, self._reported_elsewhere = on_elsewhere, 0
        self._jobs: dict[str, Job] = {}
        self._rows = Rows()
        self._turns = Turns(self._jobs)
        self._new: dict[str, list[Answer]] = {}
        """Jobs that are being written to the disk, and the answers that wait for that."""
        self._cleared: set[str] = set()
        self._retried: dict[str, list[Answer]] = {}
        """Jobs whose files are checked for a retry, and the answers that wait for that."""
        self._waiting_for = ""
        """The queued job whose sentence says more than that it waits."""

    # Reading

    def adopt(self, then: Callable[[], None] = lambda: None) -> None:
        """Take over every job on disk whose server is dead; say of running ones that they were interrupted."""
        self._adopter.look(then)

    def when_adopted(self, then: Callable[[], None]) -> None:
        """Call `then` once what was on the disk at the start is in the queue."""
        self._adopter.when_through(then)

    def adopt_freed(self) -> None:
        """Take over the jobs of servers that died since, and report them; to be called now and then."""
        self._adopter.look_where_freed()

    def page(self, params: ListParams) -> ListResult:
        """A page of the jobs; raises ProtocolError if `after` is no cursor."""
        max_jobs = min(max(params.most, 1), MAX_PAGE_JOBS)
        statuses: list[JobStatus] = []
        room = MAX_PAGE_BYTES
        last = ""
        for job_id, cursor in self._rows.after(params.after):
            status = self._jobs[job_id].status
            room -= len(json.dumps(to_json(status)))
            if len(statuses) == max_jobs or (statuses and room < 0):
                return ListResult(statuses, last, self._search.hidden)
            statuses.append(status)
            last = cursor
        return ListResult(statuses, held_elsewhere=self._search.hidden)

    def status(self, job_id: str) -> JobStatus:
        """One job; raises ProtocolError (NO_SUCH_JOB)."""
        return self._job(job_id).status

    def details(self, job_id: str) -> Later:
        """A job's request, and the plan that is carried out for it."""

        def start(hand_in: Answer) -> None:
            folder = self._store.folder(job_id)

            def read() -> JobDetails:
                return JobDetails(job_id, reading.request_of(folder), reading.plan_of(folder))

            known = result_or_error(lambda: self._job(job_id), "The job")
            if isinstance(known, ProtocolError):
                hand_in(known)
            else:
                self._saving.in_thread("details", read, hand_in)

        return Later(lambda hand_in: self.when_adopted(lambda: start(hand_in)))

    def request(self, job_id: str, then: Callable[[TakeRequest | ProtocolError], None]) -> None:
        """Read a job's request; `then` may be given a Refusal that says that it is damaged."""
        self._saving.in_thread("request", lambda: reading.request_of(self._store.folder(job_id)), then)

    def work_folder(self, job_id: str) -> Path:
        """The folder where a worker keeps the job's finished steps, so that a retry goes on from them."""
        return self._store.work_folder(job_id)

    def has(self, job_id: str) -> bool:
        """Whether this server has the job."""
        return job_id in self._jobs

    def next_queued(self) -> JobStatus | None:
        """The job whose turn it is; None also while it can't begin, as its files are still looked at."""
        while (job := self._turns.first()) is not None and _waits_too_long(job):
            self.set_aside(job.status.job_id, MEDIA_FOLDER_SILENT.format(job.media_folder))
        if job is None or job.media_cleanups or self._saving.is_on_its_way(job.status.job_id):
            return None
        return job.status

    def set_aside(self, job_id: str, sentence: str) -> None:
        """Let the jobs after a queued one go on before it, until `take_back`; `sentence` says why."""
        job = self._job(job_id)
        if job.status.state is JobState.QUEUED:
            job.aside = True
            self.set_sentence(job_id, sentence)

    def take_back(self, job_id: str) -> None:
        """Give a job that was set aside its turn again; nothing if it wasn't."""
        job = self._jobs.get(job_id)
        if job is not None and job.aside:
            job.aside = False
            if job.status.state is JobState.QUEUED:
                self._turns.add(job)
                self.set_sentence(job_id, WAITING)

    # Calls of clients

    def submit(self, job_id: str, request: TakeRequest, plan: Plan) -> Later:
        """Queue a new job, on disk when this is answered: with its status, or a Refusal if the disk won't have it.
        A job that is there already stays as it is."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._submit(job_id, request, plan, hand_in)))

    def retry(self, job_id: str) -> Later:
        """Queue a job that ended once more; done at once where its take is whole on the disk."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._retry(job_id, hand_in)))

    def settle(self, job_ids: Iterable[str]) -> Later:
        """The saved project knows how these jobs ended. Answered with those settled, on the disk; ids unknown or not
        ended are passed over."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._settle(job_ids, hand_in)))

    def clear(self, job_ids: Iterable[str]) -> Later:
        """Forget jobs that ended; their media stays. Answered with those forgotten; ids unknown or not ended are passed
        over."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._clear(job_ids, hand_in)))

    # Events of the worker

    def start(self, job_id: str, plan: Plan) -> JobStatus:
        """A worker gets the job; `plan` is what will be done."""
        job = self._job(job_id)
        waited = PhaseSeconds(queue=max(0.0, time.time() - job.queued_at))
        self._saving.put(job, lambda: self._store.save_plan(job_id, plan))
        return self._move(job, JobState.LOADING, sentence="Loading the model.", seconds=waited, steps=plan.steps)

    def progress(self, report: ProgressParams) -> None:
        """A worker reports its progress; a report on a job that no worker has is ignored."""
        job = self._jobs.get(report.job_id)
        if job is None or not is_working(job.status) or report.state not in WORKING:
            return
        changed = report.state is not job.status.state
        status = dataclasses.replace(
            job.status,
            state=report.state,
            step=report.step,
            steps=report.steps or job.status.steps,
            progress=min(max(report.progress, job.status.progress), ALMOST_DONE),
            eta_seconds=report.eta_seconds,
            sentence=report.sentence[:MAX_SENTENCE] or job.status.sentence,
            preview=report.preview or job.status.preview,
        )
        self._set(job, status)
        self._on_change(status, changed)

    def finish(self, job_id: str, result: RunResult) -> None:
        """The take is whole, on the disk."""
        job = self._job(job_id)
        seconds = dataclasses.replace(result.seconds, queue=job.status.seconds.queue)
        self._finish(job, result.take, seconds, result.notes)

    def end(self, job_id: str, state: JobState, problem: Problem) -> None:
        """The job ended without a take: failed, cancelled or interrupted."""
        job = self._job(job_id)
        if is_working(job.status):
            self._tidy(job)
        self._end(job, state, problem)

    def damaged(self, job_id: str, problem: Problem) -> None:
        """The job's request can't be read any more."""
        self._job(job_id).broken = problem.kind is not ProblemKind.FOLDER  # that may be read by a retry
        self.end(job_id, JobState.FAILED, problem)

    def report_to_next(self, sentence: str) -> None:
        """Show a sentence at the next queued job; those after it wait for that one."""
        job, reported = self._turns.first(), self._jobs.get(self._waiting_for)
        if reported is not None and reported is not job and reported.status.state is JobState.QUEUED:
            self.set_sentence(reported.status.job_id, WAITING)
        self._waiting_for = ""
        if job is not None:
            self._waiting_for = job.status.job_id
            self.set_sentence(job.status.job_id, sentence)

    def set_sentence(self, job_id: str, sentence: str) -> None:
        """Show a sentence at a job; it is not kept on disk."""
        job = self._job(job_id)
        if job.status.sentence != sentence:
            self._set(job, dataclasses.replace(job.status, sentence=sentence[:MAX_SENTENCE]))
            self._on_change(job.status, True)

    # Writing

    def when_written(self, job_id: str, then: Callable[[], None]) -> None:
        """Call `then` once what is known of the job is on the disk, or can't be put there."""
        self._saving.when_written(job_id, then)

    def save_unsaved(self) -> None:
        """Write what could not be written before."""
        self._saving.save_unsaved()

    def close(self, timeout_seconds: float) -> None:
        """The server leaves: put all on the disk that waits for it, as far as the time allows."""
        self._saving.close(timeout_seconds)

    def _submit(self, job_id: str, request: TakeRequest, plan: Plan, hand_in: Answer) -> None:
        if job_id in self._jobs:
            hand_in(self._jobs[job_id].status)
        elif job_id in self._new:
            self._new[job_id].append(hand_in)
        elif self._search.holds_elsewhere(job_id):
            hand_in(_held_elsewhere())
        else:
            made = result_or_error(lambda: self._made(job_id, request, plan), "The new job")
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
            sentence = "The path of the project or the name of its scene is too long; choose shorter ones."
            raise Refusal(Problem(ProblemKind.TOO_LARGE, sentence))
        return Job(status, self._owner.id, self._turns.new_order(), status.created, request.media_folder)

    def _on_created(self, job: Job, error: OSError | None) -> None:
        job_id = job.status.job_id
        answer: JobStatus | Refusal = job.status
        if error is None:
            self._cleared.discard(job_id)
            self._add(job)
            self._on_change(job.status, True)
        else:
            answer = Refusal(media_folder.write_problem(error, "The job was not accepted"))
        for hand_in in self._new.pop(job_id):
            hand_in(answer)

    def _retry(self, job_id: str, hand_in: Answer) -> None:
        job = result_or_error(lambda: self._job(job_id), "The job")
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

            def look() -> Take | None:
                reading.request_of(folder)
                take = take_files.find_take(takes_folder, job_id)
                if take is None:
                    take_files.set_aside(takes_folder, job_id)
                return take

            self._saving.in_thread("retry", look, functools.partial(self._retry_with, job))

    def _retry_with(self, job: Job, take: Take | ProtocolError | None) -> None:
        """`take`: the complete take on the disk, or why the job can't be made again."""
        job_id = job.status.job_id
        answer: ProtocolError | None = None
        if isinstance(take, ProtocolError):
            answer = take
        elif self._jobs.get(job_id) is not job:
            answer = _no_such_job(job_id)
        elif job.status.state.ended:
            if take is None:
                self._requeue(job)
            elif job.status.state is not JobState.DONE:
                self._finish(job, take, job.status.seconds)
        waiting = self._retried.pop(job_id)

        def answer_all() -> None:
            for hand_in in waiting:
                hand_in(job.status if answer is None else answer)

        self._saving.when_written(job_id, answer_all)

    def _requeue(self, job: Job) -> None:
        job.order, job.queued_at = self._turns.new_order(), time.time()
        before = job.status
        fresh = JobStatus(before.job_id, JobState.QUEUED, before.summary, sentence=WAITING, created=before.created)
        self._move(job, JobState.QUEUED, fresh)

    def _settle(self, job_ids: Iterable[str], hand_in: Answer) -> None:
        jobs = [job for job in map(self._jobs.get, dict.fromkeys(job_ids)) if job and job.status.state.ended]
        for job in jobs:
            if not job.status.settled:
                self._set(job, dataclasses.replace(job.status, settled=True))
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

    def _clear(self, job_ids: Iterable[str], hand_in: Answer) -> None:
        known = [job for job in map(self._jobs.get, dict.fromkeys(job_ids)) if job and job.status.state.ended]
        jobs = [job for job in known if not job.elsewhere]
        if known and not jobs:
            hand_in(_held_elsewhere())
            return
        cleared: list[str] = []
        errors: list[OSError] = []

        def answer() -> None:
            if errors and not cleared:
                hand_in(Refusal(media_folder.write_problem(errors[0], "The job could not be cleared")))
            else:
                hand_in(JobIdsParams(cleared))

        count_one = _after_calls(len(jobs), answer)

        def on_removed(job: Job, error: OSError | None) -> None:
            if error is None:
                cleared.append(job.status.job_id)
            else:
                errors.append(error)
                self._cleared.discard(job.status.job_id)
                self._add(job)
            count_one()

        for job in jobs:
            self._remove(job)
            self._saving.remove(job, self._owner.id, functools.partial(on_removed, job))

    # Jobs of servers that died

    def _known(self) -> list[str]:
        return [*(job_id for job_id, job in self._jobs.items() if not job.elsewhere), *self._new]

    def _on_found(self, batch: list[Found]) -> None:
        changed = any(found.elsewhere for found in batch)
        for found in batch:
            job_id = found.job.status.job_id
            known = self._jobs.get(job_id)
            if (known is not None and not known.elsewhere) or job_id in self._new or job_id in self._cleared:
                continue
            if known is not None:
                del self._jobs[job_id]
                self._rows.remove(known.status)
            try:
                if not found.gone:
                    self._adopt_one(found)
            except Exception:  # one bad job must not cost the others
                log.exception("The job %s could not be taken over", job_id)
        self._report_elsewhere(changed)

    def _report_elsewhere(self, changed: bool) -> None:
        """Once the client has its list: how many jobs others have, if that, or what is shown of them, changed."""
        count = self._search.hidden
        if self._adopter.was_through and (changed or count != self._reported_elsewhere):
            self._on_elsewhere(count)
        self._reported_elsewhere = count

    def _adopt_one(self, found: Found) -> None:
        job = found.job
        job.elsewhere = found.elsewhere
        if found.elsewhere:
            job.status = dataclasses.replace(job.status, held_elsewhere=True)
        else:
            job.owner = self._owner.id
        self._add(job)
        if is_working(job.status):  # where its take turns out to be whole, it is done after all
            self._end(job, JobState.INTERRUPTED, BACKEND_ENDED_WITH_STEPS if found.goes_on else BACKEND_ENDED)
        elif self._adopter.was_through:  # the client has its list, and doesn't know of this one
            self._on_change(job.status, True)

    def _on_media_checked(self, group: list[Found]) -> None:
        """Finish those of these jobs whose takes were found."""
        for found in group:
            job = found.job
            state = job.status.state
            missed = state is JobState.QUEUED or (state.ended and state not in (JobState.DONE, JobState.CANCELLED))
            if found.take is not None and missed and self._jobs.get(job.status.job_id) is job:
                self._finish(job, found.take, job.status.seconds)
            self._leave_media(job)

    # State changes

    def _finish(self, job: Job, take: Take, seconds: PhaseSeconds, notes: Iterable[str] = ()) -> None:
        job_id = job.status.job_id
        self._saving.put(job, lambda: self._store.remove_work(job_id))
        self._move(
            job, JobState.DONE, take=take, progress=1.0, problem=None, seconds=seconds, step=job.status.steps,
            eta_seconds=0.0, sentence=" ".join(["Done.", *notes])[:MAX_SENTENCE], preview="",
        )  # fmt: skip

    def _tidy(self, job: Job) -> None:
        """Remove what the try that ends now has left; the media folder may be slow."""
        job_id, takes_folder = job.status.job_id, job.media_folder
        job.media_cleanups, job.media_cleanups_since = job.media_cleanups + 1, time.monotonic()

        def done(_: object) -> None:
            self._leave_media(job)

        self._saving.in_thread("tidying", lambda: take_files.remove_partial(takes_folder, job_id), done)

    def _leave_media(self, job: Job) -> None:
        """One of the threads that were at the job's media folder is done."""
        job.media_cleanups -= 1
        if not job.media_cleanups and self._jobs.get(job.status.job_id) is job:
            self.take_back(job.status.job_id)

    def _end(self, job: Job, state: JobState, problem: Problem) -> None:
        problem = dataclasses.replace(
            problem, sentence=problem.sentence[:MAX_SENTENCE], fixes=problem.fixes[:MAX_FIXES]
        )
        self._move(job, state, problem=problem, sentence=problem.sentence, eta_seconds=None, preview="")

    def _move(self, job: Job, state: JobState, status: JobStatus | None = None, **changes: Any) -> JobStatus:
        """Bring a job into `state`, in memory and on disk, and report it."""
        check_transition(job.status.state, state)
        # Nobody waits for what a worker's job comes to, and the next server finds that out by itself.
        urgent = state in (JobState.QUEUED, JobState.INTERRUPTED) or not is_working(job.status)
        self._set(job, status or dataclasses.replace(job.status, state=state, **changes))
        if state is JobState.QUEUED:
            job.aside = False
            self._turns.add(job)
        self._saving.save(job, urgent=urgent and state is not JobState.LOADING)
        self._on_change(job.status, True)
        return job.status

    def _add(self, job: Job) -> None:
        self._jobs[job.status.job_id] = job
        self._rows.add(job.status)
        self._turns.add(job)

    def _remove(self, job: Job) -> None:
        job_id = job.status.job_id
        del self._jobs[job_id]
        self._rows.remove(job.status)
        self._cleared.add(job_id)

    def _set(self, job: Job, status: JobStatus) -> None:
        if self._jobs.get(status.job_id) is job:
            self._rows.change(job.status, status)
        job.status = status

    def _job(self, job_id: str) -> Job:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise _no_such_job(job_id) from None


def _waits_too_long(job: Job) -> bool:
    """Whether a job has to wait for its media folder, and that for longer than anything takes there."""
    return bool(job.media_cleanups) and time.monotonic() >= job.media_cleanups_since + MEDIA_PATIENCE_SECONDS


def _after_calls(count: int, then: Callable[[], None]) -> Callable[[], None]:
    """A function that calls `then` when it is called the `count`th time; `then` is called now if `count` is 0."""
    left = count

    def one() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            then()

    if count == 0:
        then()
    return one


def _no_such_job(job_id: str) -> ProtocolError:
    return ProtocolError(NO_SUCH_JOB, f"There is no job '{job_id[:40]}' here.")


def _held_elsewhere() -> Refusal:
    return Refusal(Problem(ProblemKind.BUSY, HELD_ELSEWHERE))
