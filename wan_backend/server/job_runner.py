"""Gives the queue's jobs to the worker, and brings its results back.

A job is planned anew when its turn comes, because disks and models change while it waits. Whatever goes wrong then
fails this one job, with a sentence, and the queue goes on.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path

from ..job_queue.job import BACKEND_ENDED, is_working
from ..job_queue.job_table import WAITING
from ..job_queue.queue import HELD, JobQueue
from ..planning.measured_times import MeasuredTimes
from ..protocol import ProtocolError, Refusal
from ..protocol.endpoint import Answer, Later
from ..protocol.looks import LookParams
from ..protocol.media import STEPS_FILE
from ..protocol.messages import (
    CANCELED,
    Component,
    ComponentFile,
    Hold,
    JobState,
    Plan,
    Problem,
    ProblemKind,
    ProgressParams,
    RunParams,
    RunResult,
    TakeRequest,
    WarmParams,
    WarmUpParams,
    WorkerState,
    WorkerStatus,
)
from ..protocol.sentences import Sentence
from ..storage.disk_errors import write_problem
from . import looks
from .looks import Looks
from .planning_queue import PlanningQueue, Prepared
from .worker_life import WorkerLife

log = logging.getLogger(__name__)

STATE_OF_PROBLEM = {ProblemKind.CANCELED: JobState.CANCELED, ProblemKind.INTERRUPTED: JobState.INTERRUPTED}
"""The state of a job that ended with a problem of that kind; with any other it failed."""


PAUSED = Sentence("The queue is paused.")
NO_PROMPT = Sentence("A prompt that is not written yet.")
"""Stands for the prompt of a warm-up that has none: what is loaded doesn't depend on it."""


class JobRunner:
    """Gives jobs to the worker, and updates the queue by its reports."""

    def __init__(
        self,
        queue: JobQueue,
        life: WorkerLife,
        planning: PlanningQueue,
        device: str,
        memory_budget_bytes: int | None,
        state_folder: Path,
        on_worker: Callable[[WorkerStatus], None],
        copies_folder: str = "",
        idle_seconds: float = 0.0,
        may_load: Callable[[], bool] = lambda: True,
        times: MeasuredTimes | None = None,
        looks_folder: Path | None = None,
    ) -> None:
        """`copies_folder`: where a worker may keep its bf16 cache.

        A worker that had nothing to do for `idle_seconds` is ended; 0: never. Nothing is loaded in advance before
        `may_load()`. `looks_folder` is for the looks of this server alone.
        """
        self._queue, self._life, self._planning = queue, life, planning
        self._device, self._memory_budget_bytes = device, memory_budget_bytes
        self._state_folder, self._copies_folder, self._on_worker = state_folder, copies_folder, on_worker
        self._planned = ""
        """The job that is being planned; it stays queued meanwhile, and may be canceled."""
        self._to_warm_up: WarmParams | None = None
        """What the idle worker is to get ready."""
        self._warm: tuple[object, ...] = ()
        """What it has got ready, or has been asked to."""
        self._idle_seconds, self._may_load = idle_seconds, may_load
        self._paused = False
        self._stopping: dict[str, tuple[Hold, Sentence]] = {}
        """The worker's job, while it is stopped for a while, with what then keeps it waiting and its sentence."""
        self._times = times or MeasuredTimes()
        of_looks = looks_folder or state_folder / looks.FOLDER
        self._looks = Looks(life, planning, self._times, functools.partial(self._params, ""), of_looks)
        self._running: Plan | None = None
        """What the worker makes, if it has begun at the first step: from its time, that of others is told."""
        life.listener = self

    def advance(self) -> None:
        """Give the worker the next job, or have a worker if one waits; with no job, look after an idle worker."""
        if self._life.busy_with or self._planned:
            return
        if self._paused:
            self._look_after_idle_worker()
            return
        job = self._queue.next_queued()
        if job is None:
            self._look_after_idle_worker()
            return
        self._looks.make_way()
        if self._life.status.state is WorkerState.BROKEN:
            self._queue.report_to_next(self._life.status.sentence)
        elif self._life.can_take_a_job:
            self._plan(job.job_id)
        else:
            self._life.want()

    def warm_up(self, params: WarmParams) -> None:
        """Have the worker get ready for a request once it has nothing else to do; only the newest one counts."""
        self._to_warm_up = params

    def look(self, params: LookParams) -> Later:
        """A small draft of what is looked at, made while there is no job; the one before it ends."""

        def start(hand_in: Answer) -> None:
            self._looks.ask(params, hand_in)
            if self._life.busy_with or self._planned or self._queue.next_queued() is not None:
                self._looks.make_way()

        return Later(start)

    def _why_no_look(self) -> ProtocolError | None:
        if self._paused:
            return Refusal.of(ProblemKind.BUSY, PAUSED)
        if self._life.status.state is WorkerState.BROKEN:
            return Refusal.of(ProblemKind.WORKER_DIED, self._life.status.sentence)
        return None if self._life.may_warm_up else looks.DIED

    def _look_after_idle_worker(self) -> None:
        if self._looks.waits:
            refusal = self._why_no_look()
            if refusal is not None:
                self._looks.refuse(refusal)
            elif self._life.can_warm_up and self._may_load():
                self._looks.begin()
            else:
                self._life.want()
            return
        if self._looks.is_on:
            self._to_warm_up = None  # what a look has loaded stays
        if self._to_warm_up is not None and not self._paused:
            if self._life.can_warm_up and self._may_load():
                self._plan_warm_up(self._to_warm_up)
                self._to_warm_up = None
            else:
                self._life.want()  # one that may not be started isn't
        elif 0 < self._idle_seconds <= self._life.idle_seconds:
            log.info("The worker had nothing to do for %.0f s; it is ended", self._life.idle_seconds)
            self._life.release()

    def _plan_warm_up(self, wanted: WarmParams) -> None:
        request = wanted.request
        if not request.prompt.strip():
            request = dataclasses.replace(request, prompt=NO_PROMPT)

        def begin(made: Prepared | ProtocolError) -> None:
            if isinstance(made, ProtocolError):
                log.info("Nothing is warmed up: %s", made.message)
                return
            loaded = (self._life.number, str(made.folder), made.component_files, made.plan.loras)
            if not self._life.can_warm_up or self._queue.next_queued() is not None or self._planned:
                return
            if loaded == self._warm and not wanted.read_prompt:
                return
            self._warm = loaded
            self._life.warm_up(WarmUpParams(self._params("", request, made), wanted.read_prompt))

        self._planning.start(request, begin)

    def with_time(self, made: Plan | ProtocolError) -> Plan | ProtocolError:
        """A plan for a client, with how long the take will probably take.

        The plans of jobs don't have it: a take is resumed only if its plan is the same.
        """
        if isinstance(made, ProtocolError):
            return made
        return dataclasses.replace(made, expected_seconds=self._times.expected_seconds(made))

    def cancel(self, job_id: str) -> None:
        """End a job; one that the worker has ends within the worker's time for it. Raises ProtocolError."""
        status = self._queue.status(job_id)
        if status.state is JobState.QUEUED:
            self._queue.end(job_id, JobState.CANCELED, CANCELED)
        elif is_working(status):
            self._stopping.pop(job_id, None)
            self._queue.set_sentence(job_id, Sentence("Canceling."))
            self._life.cancel(job_id)

    def hold(self, job_id: str, hold: Hold) -> None:
        """Let a job wait until `resume`; one that the worker has stops, and the next begins. Raises ProtocolError."""
        if is_working(self._queue.status(job_id)):
            self._stop(job_id, hold, HELD[hold])
        else:
            self._queue.hold(job_id, hold)

    def resume(self, job_id: str) -> None:
        """Give a held job its turn again. Raises ProtocolError."""
        if job_id in self._stopping:
            self._stopping[job_id] = Hold.NONE, WAITING
        else:
            self._queue.resume(job_id)

    def pause(self, paused: bool) -> None:
        """Begin no job, or begin them again; the worker's job stops, and is the first to resume."""
        self._paused = paused
        if paused:
            self._looks.refuse(Refusal.of(ProblemKind.BUSY, PAUSED))
        working = self._life.busy_with
        if not paused:
            self._queue.report_to_next(WAITING)
        elif working and working not in self._stopping and self._queue.has(working):
            self._stop(working, Hold.NONE, PAUSED)

    def _stop(self, job_id: str, hold: Hold, sentence: Sentence) -> None:
        """Have the worker stop its job, whose steps are kept; `job_failed` follows."""
        self._stopping[job_id] = hold, sentence
        self._queue.set_sentence(job_id, Sentence("Stopping."))
        self._life.cancel(job_id)

    def retry(self, job_id: str) -> Later:
        """Queue a job again, and forgive the workers that died."""
        self.forgive()
        return self._queue.retry(job_id)

    def forgive(self) -> None:
        """Let workers be started again."""
        if self._life.status.state is WorkerState.BROKEN:
            self._queue.report_to_next(WAITING)
        self._life.reset()

    def leave(self, goes_on: bool = False) -> None:
        """The server ends; queued jobs stay for the next one.

        So does the job that runs where it `goes_on`, as the client left as usual; else it is interrupted.
        """
        job_id = self._life.busy_with
        self._life.stop(1.0)
        self._looks.leave()
        if job_id and goes_on:
            self._queue.stop(job_id, *self._stopping.get(job_id, (Hold.NONE, WAITING)))
        elif job_id:
            self._queue.end(job_id, JobState.INTERRUPTED, BACKEND_ENDED)

    def worker_changed(self, status: WorkerStatus) -> None:
        """Follow the worker: one came up, ended, or may not be started any more."""
        self._on_worker(status)

    def job_progressed(self, report: ProgressParams) -> None:
        """The worker's job went on."""
        self._queue.progress(report)

    def job_finished(self, job_id: str, result: RunResult) -> None:
        """The worker made the take."""
        self._stopping.pop(job_id, None)
        self._queue.finish(job_id, result)
        if self._running is not None:
            self._times.learn(self._running, result.seconds)
        self._running = None

    def job_failed(self, job_id: str, problem: Problem) -> None:
        """The worker could not, or died, or hung."""
        stopping = self._stopping.pop(job_id, None)
        if stopping is not None and problem.kind is ProblemKind.CANCELED:
            self._queue.stop(job_id, *stopping)
            return
        self._queue.end(job_id, STATE_OF_PROBLEM.get(problem.kind, JobState.FAILED), problem)

    def _plan(self, job_id: str) -> None:
        self._planned = job_id
        self._guarded(job_id, lambda: self._queue.request(job_id, lambda request: self._on_request(job_id, request)))

    def _on_request(self, job_id: str, request: TakeRequest | ProtocolError) -> None:
        if not self._still_waits(job_id):
            self._planned = ""
        elif isinstance(request, ProtocolError):
            self._planned = ""
            if isinstance(request, Refusal):
                self._queue.damaged(job_id, request.problem)
            else:
                self._queue.end(job_id, JobState.FAILED, _problem_of(request))
        else:
            made = functools.partial(self._on_prepared, job_id, request)
            aside = functools.partial(self._on_set_aside, job_id)
            self._guarded(job_id, lambda: self._planning.start(request, made, aside))

    def _on_set_aside(self, job_id: str, sentence: Sentence) -> None:
        """A disk that the job needs doesn't answer; the next goes on."""
        if self._planned == job_id:
            self._planned = ""
        if self._still_waits(job_id):
            self._queue.set_aside(job_id, sentence)

    def _on_prepared(self, job_id: str, request: TakeRequest, made: Prepared | ProtocolError) -> None:
        if self._planned != job_id:  # it was set aside, and is planned anew in its turn
            self._queue.take_back(job_id)
            return
        self._planned = ""
        if not self._still_waits(job_id):
            return
        if isinstance(made, ProtocolError):
            self._queue.end(job_id, JobState.FAILED, _problem_of(made))
        elif self._life.can_take_a_job:  # else it is planned again, once there is a worker
            self._guarded(job_id, lambda: self._start(job_id, request, made))

    def _start(self, job_id: str, request: TakeRequest, made: Prepared) -> None:
        self._queue.start(job_id, made.plan)
        self._looks.hand_over(request, self._queue.work_folder(job_id))
        begun = (self._queue.work_folder(job_id) / STEPS_FILE).exists()
        self._running = None if begun else made.plan
        self._warm, self._to_warm_up = (), None
        self._life.run(self._params(job_id, request, made))

    def _params(self, job_id: str, request: TakeRequest, made: Prepared, work_folder: Path | None = None) -> RunParams:
        """The job for the worker. What is none, as it is only to be got ready or looked at, has no id."""
        if job_id:
            work_folder = self._queue.work_folder(job_id)
        return RunParams(
            job_id,
            request,
            made.plan,
            str(made.folder),
            self._device,
            self._memory_budget_bytes,
            tiny_decoder=made.tiny_decoder,
            model_parts=[ComponentFile(Component(name), str(path)) for name, path in made.component_files.items()],
            copies_folder=self._copies_folder,
            work_folder=str(work_folder) if work_folder else "",
            state_folder=str(self._state_folder),
        )

    def _still_waits(self, job_id: str) -> bool:
        """False if it was canceled or held, or all jobs were paused, while it was planned."""
        if self._paused or not self._queue.has(job_id):
            return False
        status = self._queue.status(job_id)
        return status.state is JobState.QUEUED and status.hold is Hold.NONE

    def _guarded(self, job_id: str, do: Callable[[], None]) -> None:
        """Call `do`; if it raises an error that nobody foresaw, the job fails."""
        try:
            do()
        except Exception as error:
            log.exception("The job %s could not be started", job_id)
            self._planned = ""
            if self._queue.has(job_id) and not self._queue.status(job_id).state.ended:
                self._queue.end(job_id, JobState.FAILED, _problem_of_start(error))


def _problem_of_start(error: Exception) -> Problem:
    if isinstance(error, OSError):  # of the job's own folder: the sources' and the model's are looked at before
        return write_problem(error, Sentence("The job could not be started"))
    sentence = Sentence(
        "The job could not be started ({words}); retry it, or read the backend's log.",
        words=f"{type(error).__name__}: {error}"[:200],
    )
    return Problem(ProblemKind.INTERNAL, sentence)


def _problem_of(error: ProtocolError) -> Problem:
    return error.problem if isinstance(error, Refusal) else Problem(ProblemKind.INTERNAL, error.message)
