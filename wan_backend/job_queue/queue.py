"""The queue: every job of this server, in memory and on disk.

A change of state goes to the disk at once, by the writer; progress doesn't. A full disk stops no job: its newer state
is kept in memory and written when there is room again. Only a new job is refused then, because it could be lost.
Nothing but a search takes longer the more jobs there are. The jobs themselves are `JobTable`'s, what clients change is
`ClientCalls`'.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ..protocol import ProtocolError
from ..protocol.conversion import to_json
from ..protocol.endpoint import Answer, Later
from ..protocol.errors import result_or_error
from ..protocol.messages import (
    MAX_TITLE_CHARACTERS,
    Hold,
    JobDetails,
    JobState,
    JobStatus,
    ListParams,
    ListResult,
    PhaseSeconds,
    Plan,
    Problem,
    ProblemKind,
    ProgressParams,
    RunResult,
    SearchResult,
    TakeRequest,
    TrainedLora,
)
from ..protocol.sentences import Sentence, as_sentence
from . import reading
from .adoption import AbandonedJobSearch, Adopter, Found
from .client_calls import ClientCalls
from .job import BACKEND_ENDED, BACKEND_ENDED_WITH_STEPS, WORKING, Job, has_turn, is_working
from .job_table import MAX_SENTENCE, WAITING, JobTable, OnChange
from .owners import Owner
from .saving import Saving
from .store import JobStore
from .writer import Post

log = logging.getLogger(__name__)

MEDIA_FOLDER_SILENT = Sentence("{folder} does not answer; this job continues as soon as it does.")
MEDIA_PATIENCE_SECONDS = 60.0
"""Time that a job waits for its media folder before others go before it."""
HELD = {
    Hold.NONE: WAITING,
    Hold.PERSON: Sentence("Held: resume or cancel."),
    Hold.NO_PLACEHOLDER: Sentence("Its placeholder is gone: resume or cancel."),
}
"""The sentences of held jobs."""
ALMOST_DONE = 0.999
"""Progress is 1 only once the take is on the disk."""
MAX_PAGE_JOBS = 1000
MAX_PAGE_BYTES = 1 << 19
"""A page must fit on one line, however long the sentences of its jobs are."""


class JobQueue:
    """A queue of jobs, whose `Turns` say which is the next."""

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
        self._owner = owner
        self._saving = Saving(self._store, post)
        self._table = JobTable(self._store, self._saving, on_change)
        self._search = AbandonedJobSearch(self._store, owner)
        self._adopter = Adopter(self._search, post, self._known, self._on_found, self._on_media_checked)
        self._calls = ClientCalls(self._table, self._store, self._saving, self._search, owner)
        self._on_elsewhere, self._reported_elsewhere = on_elsewhere, 0
        self._waiting_for = ""
        """The queued job whose sentence says more than that it waits."""

    # Reading

    def page(self, params: ListParams) -> ListResult:
        """A page of the jobs; raises ProtocolError if `after` is no cursor."""
        max_jobs = min(max(params.most, 1), MAX_PAGE_JOBS)
        statuses: list[JobStatus] = []
        room = MAX_PAGE_BYTES
        last = ""
        for job_id, cursor in self._table.rows.after(params.after):
            status = self._table.jobs[job_id].status
            room -= len(json.dumps(to_json(status)))
            if len(statuses) == max_jobs or (statuses and room < 0):
                return ListResult(statuses, last, self._search.hidden)
            statuses.append(status)
            last = cursor
        return ListResult(statuses, held_elsewhere=self._search.hidden)

    def status(self, job_id: str) -> JobStatus:
        """One job; raises ProtocolError (NO_SUCH_JOB)."""
        return self._table.job(job_id).status

    def media_folder(self, job_id: str) -> str:
        """The folder in which a job's take is made; raises ProtocolError (NO_SUCH_JOB)."""
        return self._table.job(job_id).media_folder

    def details(self, job_id: str) -> Later:
        """A job's request, and the plan that is carried out for it."""

        def start(hand_in: Answer) -> None:
            folder = self._store.folder(job_id)

            def read() -> JobDetails:
                return JobDetails(job_id, reading.request_of(folder), reading.plan_of(folder))

            known = result_or_error(lambda: self._table.job(job_id), Sentence("The job"))
            if isinstance(known, ProtocolError):
                hand_in(known)
            else:
                self._saving.in_thread("details", read, hand_in)

        return Later(lambda hand_in: self.when_adopted(lambda: start(hand_in)))

    def search(self, text: str) -> Later:
        """The jobs with that text in a prompt of which their title is only the beginning; newest first."""

        def start(hand_in: Answer) -> None:
            statuses = [self._table.jobs[job_id].status for job_id, _ in self._table.rows.after("")]
            cut = [each.job_id for each in statuses if len(each.summary.title) >= MAX_TITLE_CHARACTERS]
            folders = {job_id: self._store.folder(job_id) for job_id in cut}
            self._saving.in_thread("search", lambda: SearchResult(reading.with_text(folders, text)), hand_in)

        return Later(lambda hand_in: self.when_adopted(lambda: start(hand_in)))

    def request(self, job_id: str, then: Callable[[TakeRequest | ProtocolError], None]) -> None:
        """Read a job's request; `then` may be given a Refusal that says that it is damaged."""
        self._saving.in_thread("request", lambda: reading.request_of(self._store.folder(job_id)), then)

    def has(self, job_id: str) -> bool:
        """Whether this server has the job."""
        return job_id in self._table.jobs

    # Calls of clients

    def submit(self, job_id: str, request: TakeRequest, plan: Plan) -> Later:
        """Queue a new job, on disk when this is answered: with its status, or a Refusal if the disk won't have it.
        A job that is there already stays as it is."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._calls.submit(job_id, request, plan, hand_in)))

    def retry(self, job_id: str) -> Later:
        """Queue a job that ended once more; done at once where its take is whole on the disk."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._calls.retry(job_id, hand_in)))

    def settle(self, job_ids: Iterable[str]) -> Later:
        """The saved project knows how these jobs ended. Answered with those settled, on the disk; ids unknown or not
        ended are passed over."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._calls.settle(job_ids, hand_in)))

    def clear(self, job_ids: Iterable[str]) -> Later:
        """Forget jobs that ended; their media stays. Answered with those forgotten; ids unknown or not ended are passed
        over."""
        return Later(lambda hand_in: self.when_adopted(lambda: self._calls.clear(job_ids, hand_in)))

    # Turns

    def next_queued(self, passed: Collection[str] = ()) -> JobStatus | None:
        """The job whose turn it is after those `passed` over, which others see to; None also while it can't begin, as
        its files are still looked at."""
        while (job := self._table.turns.first(passed)) is not None and _waits_too_long(job):
            self.set_aside(job.status.job_id, MEDIA_FOLDER_SILENT.with_values(folder=job.media_folder))
        if job is None or job.media_cleanups or self._saving.is_on_its_way(job.status.job_id):
            return None
        return job.status

    def hold(self, job_id: str, hold: Hold) -> None:
        """Keep a queued job from its turn until `resume`, also through the servers to come."""
        job = self._table.job(job_id)
        if job.status.state is JobState.QUEUED:
            self._table.hold(job, hold, HELD[hold])

    def resume(self, job_id: str) -> None:
        """Give a held job its turn again, which is the one that it had."""
        job = self._table.job(job_id)
        if job.status.state is JobState.QUEUED and job.status.hold is not Hold.NONE:
            self._table.hold(job, Hold.NONE, WAITING)

    def move(self, job_id: str, before: str) -> None:
        """Give a queued job its turn right before another one, if that is queued, too."""
        job, other = self._table.job(job_id), self._table.jobs.get(before)
        both = (job.status, other.status) if other is not None and other is not job else ()
        if both and all(status.state is JobState.QUEUED and not status.held_elsewhere for status in both):
            assert other is not None
            self._table.put_before(job, other)

    def stop(self, job_id: str, hold: Hold, sentence: Sentence) -> None:
        """A worker's job is stopped for a while: it is queued where it was, and resumes from its last step."""
        job = self._table.job(job_id)
        if is_working(job.status):
            self._table.clean_up(job, made_again=True)
            self._table.move(job, JobState.QUEUED, hold=hold, sentence=sentence, eta_seconds=None)

    def set_aside(self, job_id: str, sentence: Sentence) -> None:
        """Let the jobs after a queued one go on before it, until `take_back`; `sentence` says why."""
        job = self._table.job(job_id)
        if job.status.state is JobState.QUEUED:
            job.aside = True
            self.set_sentence(job_id, sentence)

    def makes_way_for(self, job_id: str, waiting: str) -> bool:
        """Whether a job that a worker has is to stop for one that is queued: a training for what comes before it."""
        job, other = self._table.job(job_id), self._table.job(waiting)
        return job.status.summary.training is not None and other.order < job.order

    def take_back(self, job_id: str) -> None:
        """Give a job that was set aside its turn again; nothing if it wasn't."""
        job = self._table.jobs.get(job_id)
        if job is not None:
            self._table.take_back(job)

    def report_to_next(self, sentence: Sentence) -> None:
        """Show a sentence at the next queued job; those after it wait for that one."""
        job, reported = self._table.turns.first(), self._table.jobs.get(self._waiting_for)
        if reported is not None and reported is not job and has_turn(reported):
            self.set_sentence(reported.status.job_id, WAITING)
        self._waiting_for = ""
        if job is not None:
            self._waiting_for = job.status.job_id
            self.set_sentence(job.status.job_id, sentence)

    def set_sentence(self, job_id: str, sentence: Sentence) -> None:
        """Show a sentence at a job; it is not kept on disk."""
        self._table.set_sentence(self._table.job(job_id), sentence)

    # Events of the worker

    def start(self, job_id: str, plan: Plan) -> JobStatus:
        """A worker gets the job; `plan` is what will be done."""
        job = self._table.job(job_id)
        waited = PhaseSeconds(queue=max(0.0, time.time() - job.queued_at))
        self._saving.put(job, lambda: self._store.save_plan(job_id, plan))
        return self._table.move(
            job, JobState.LOADING, sentence=Sentence("Loading the model."), seconds=waited, steps=plan.steps
        )

    def progress(self, report: ProgressParams) -> None:
        """A worker reports its progress; a report on a job that no worker has is ignored."""
        job = self._table.jobs.get(report.job_id)
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
            sentence=as_sentence(report.sentence).within(MAX_SENTENCE) or job.status.sentence,
            preview=report.preview or job.status.preview,
            training=report.training or job.status.training,
        )
        kept_more = status.training is not None and status.training.kept != _kept(job.status)
        self._table.change(job, status)
        if kept_more:  # these files outlive the job, whatever becomes of it and of this server
            self._saving.save(job, urgent=False)
        self._table.on_change(status, changed)

    def finish(self, job_id: str, result: RunResult) -> None:
        """The take, or the LoRA, is whole, on the disk."""
        job = self._table.job(job_id)
        seconds = dataclasses.replace(result.seconds, queue=job.status.seconds.queue)
        self._table.finish(job, result.take, seconds, result.notes, result.training)

    def end(self, job_id: str, state: JobState, problem: Problem) -> None:
        """The job ended without a take: failed, canceled or interrupted."""
        job = self._table.job(job_id)
        if is_working(job.status):
            self._table.clean_up(job, made_again=False)
        self._table.end(job, state, problem)

    def damaged(self, job_id: str, problem: Problem) -> None:
        """The job's request can't be read any more."""
        self._table.job(job_id).broken = problem.kind is not ProblemKind.FOLDER  # that may be read by a retry
        self.end(job_id, JobState.FAILED, problem)

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

    def work_folder(self, job_id: str) -> Path:
        """The folder where a worker keeps the job's finished steps, so that a retry goes on from them."""
        return self._store.work_folder(job_id)

    # Jobs of servers that died

    def adopt(self, then: Callable[[], None] = lambda: None) -> None:
        """Take over every job on disk whose server is dead; say of running ones that they were interrupted."""
        self._adopter.look(then)

    def when_adopted(self, then: Callable[[], None]) -> None:
        """Call `then` once what was on the disk at the start is in the queue."""
        self._adopter.when_through(then)

    def adopt_freed(self) -> None:
        """Take over the jobs of servers that died since, and report them; to be called now and then."""
        self._adopter.look_where_freed()

    def _known(self) -> list[str]:
        return [*(job_id for job_id, job in self._table.jobs.items() if not job.elsewhere), *self._calls.new_ids]

    def _on_found(self, batch: list[Found]) -> None:
        changed = any(found.elsewhere for found in batch)
        for found in batch:
            job_id = found.job.status.job_id
            known = self._table.jobs.get(job_id)
            if (known is not None and not known.elsewhere) or self._calls.is_new_or_cleared(job_id):
                continue
            if known is not None:
                self._table.remove(known)
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
        self._table.add(job)
        if is_working(job.status):  # where its take turns out to be whole, it is done after all
            self._table.end(job, JobState.INTERRUPTED, BACKEND_ENDED_WITH_STEPS if found.goes_on else BACKEND_ENDED)
        elif self._adopter.was_through:  # the client has its list, and doesn't know of this one
            self._table.on_change(job.status, True)

    def _on_media_checked(self, group: list[Found]) -> None:
        """Finish those of these jobs whose takes were found."""
        for found in group:
            job = found.job
            state = job.status.state
            missed = state is JobState.QUEUED or (state.ended and state not in (JobState.DONE, JobState.CANCELED))
            if found.take is not None and missed and self._table.has(job):
                self._table.finish(job, found.take, job.status.seconds)
            self._table.leave_media(job)


def _kept(status: JobStatus) -> list[TrainedLora]:
    return [] if status.training is None else status.training.kept


def _waits_too_long(job: Job) -> bool:
    """Whether a job has to wait for its media folder, and that for longer than anything takes there."""
    return bool(job.media_cleanups) and time.monotonic() >= job.media_cleanups_since + MEDIA_PATIENCE_SECONDS
