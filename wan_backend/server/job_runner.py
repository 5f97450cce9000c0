"""Gives the queue's jobs to the workers, and brings their results back.

A job is planned anew when its turn comes, because disks and models change while it waits. Whatever goes wrong then
fails this one job, with a sentence, and the queue goes on. A job whose worker dies goes on with another one, once.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path

from ..job_queue.job import BACKEND_ENDED, is_working
from ..job_queue.job_table import WAITING
from ..job_queue.queue import HELD, JobQueue
from ..planning.measured_times import MeasuredTimes
from ..planning.measured_ways import MeasuredWays
from ..protocol import ProtocolError, Refusal
from ..protocol.endpoint import Later
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
    WorkersResult,
    WorkerState,
    WorkerStatus,
)
from ..protocol.sentences import Sentence
from ..storage.disk_errors import write_problem
from . import looks
from .looks import Looks
from .planning_queue import PlanningQueue, Prepared
from .seats import NO_CARD, NO_CARD_THERE, Seat, Seats

log = logging.getLogger(__name__)

STATE_OF_PROBLEM = {ProblemKind.CANCELED: JobState.CANCELED, ProblemKind.INTERRUPTED: JobState.INTERRUPTED}
"""The state of a job that ended with a problem of that kind; with any other it failed."""


PAUSED = Sentence("The queue is paused.")
NO_PROMPT = Sentence("A prompt that is not written yet.")
"""Stands for the prompt of a warm-up that has none: what is loaded doesn't depend on it."""
CRASHES = (ProblemKind.WORKER_DIED, ProblemKind.INTERRUPTED)
"""A worker's end in the middle of a job, by itself or because it hung."""
TOO_SMALL = (ProblemKind.OUT_OF_MEMORY, ProblemKind.TOO_LARGE)
"""What a card with more memory may do."""
MAX_CRASHES = 2
"""A job at which so many workers ended isn't given to another: it may be what ends them."""
ELSEWHERE = Sentence("Its worker ended; another one goes on with it.")
MAX_LOSSES = 8
"""A job that was on so many machines when they went away isn't given to another by itself."""
LOST = Sentence("Its worker {how}; another one goes on with it.")
LOST_TOO_OFTEN = Sentence(
    "{count} machines went away while they made this take, the last worker {how}; see whether they have enough memory, "
    "then press Retry: the take resumes from its last step."
)
TOO_LARGE = Sentence("It waits for a card with more memory.")
MAX_PASSED = 32
"""So many jobs that may not go to any worker that is free are passed over for others behind them."""
LEAVE_SECONDS = 1.0
MADE_WAY = Sentence("A take goes first; the training goes on after it.")
NO_TRAINING = Sentence("A training can't be looked at, or got ready; submit it.")


class JobRunner:
    """Gives jobs to the workers, and updates the queue by their reports."""

    def __init__(
        self,
        queue: JobQueue,
        seats: Seats,
        planning: PlanningQueue,
        device: str,
        memory_budget_bytes: int | None,
        state_folder: Path,
        on_worker: Callable[[WorkerStatus], None],
        copies_folder: str = "",
        idle_seconds: float = 0.0,
        times: MeasuredTimes | None = None,
        cards_chosen: bool = False,
        looks_folder: Path | None = None,
        ways: MeasuredWays | None = None,
    ) -> None:
        """`copies_folder`: where a worker may keep its bf16 cache.

        A worker that had nothing to do for `idle_seconds` is ended; 0: never. With `cards_chosen`, no job is made on
        the processor where a card isn't found. `looks_folder` is for the looks of this server alone.
        """
        self._queue, self._seats, self._planning = queue, seats, planning
        self._device, self._memory_budget_bytes = device, memory_budget_bytes
        self._state_folder, self._copies_folder, self._on_worker = state_folder, copies_folder, on_worker
        self._to_warm_up: WarmParams | None = None
        """What an idle worker is to get ready."""
        self._idle_seconds, self._cards_chosen = idle_seconds, cards_chosen
        self._paused = False
        self._stopping: dict[str, tuple[Hold, Sentence]] = {}
        """The workers' jobs that are being stopped for a while, with what then keeps each waiting and its sentence."""
        self._barred: dict[str, set[int]] = {}
        """The places that a job doesn't go to any more, as its worker ended there, or it is too large for them."""
        self._crashes: collections.Counter[str] = collections.Counter()
        self._losses: collections.Counter[str] = collections.Counter()
        self._without_card: set[int] = set()
        """The places whose workers didn't find their card."""
        self._times, self._ways = times or MeasuredTimes(), ways or MeasuredWays()
        seats.listen(self)
        of_looks = looks_folder or state_folder / looks.FOLDER
        self._looks = Looks(planning, self._times, functools.partial(self._params, ""), of_looks)

    def advance(self) -> None:
        """Give the free workers the next jobs, or have workers for those that wait; look after idle ones."""
        free = [seat for seat in self._seats if seat.is_free]
        if not self._paused:
            self._give_jobs(free)
        self._look_after_idle_workers(free)

    def _give_jobs(self, free: list[Seat]) -> None:
        """Give jobs to those of the `free` places that are the best for them, which are taken out of the list."""
        broken = [seat for seat in self._seats if seat.is_broken]
        if broken and len(broken) == len(self._seats):
            self._queue.report_to_next(broken[0].life.status.sentence)
            return
        passed = {seat.planned for seat in self._seats if seat.planned}
        most = len(passed) + len(free) + MAX_PASSED
        while free and len(passed) < most and (job := self._queue.next_queued(passed)) is not None:
            passed.add(job.job_id)
            # What makes a take larger needs no model, so it doesn't throw out one where another place is free.
            model = "" if job.summary.finishes else job.summary.model
            seat = self._seats.choose(model, free, self._barred_for(job.job_id))
            if seat is None:
                continue
            free.remove(seat)
            self._looks.make_way(seat)
            if not seat.life.can_take_a_job:
                seat.life.want()
            elif seat.life.turn_is_over:
                self._end_turn(seat)
            else:
                self._plan(seat, job.job_id)
        if not free:
            self._make_way(passed)
        self._report_waiting()

    def _make_way(self, passed: set[str]) -> None:
        """Where every worker has something to do, have a training stop for the job that waits and comes before it."""
        waiting = self._queue.next_queued(passed)
        if waiting is None or any(sentence == MADE_WAY for _, sentence in self._stopping.values()):
            return
        barred = self._barred_for(waiting.job_id)
        training = [seat for seat in self._seats if self._makes_way_for(seat.life.busy_with, waiting.job_id)]
        seat = self._seats.choose(waiting.summary.model, training, barred)
        if seat is not None:
            self._stop(seat.life.busy_with, Hold.NONE, MADE_WAY)

    def _makes_way_for(self, working: str, waiting: str) -> bool:
        known = bool(working) and working not in self._stopping and self._queue.has(working)
        return known and self._queue.makes_way_for(working, waiting)

    def _end_turn(self, seat: Seat) -> None:
        """Give its place on a cluster back. Whatever is asked for anew comes behind other servers' wishes, so what this
        one has asked for already is as well."""
        log.info("A worker's turn on the cluster is over; places are asked for anew, behind those who wait")
        for each in self._seats:
            if each is seat or each.life.waits_for:
                each.life.withdraw()

    def _report_waiting(self) -> None:
        """Say at the next job what all workers that could have it wait for, if they do."""
        idle = [seat.life for seat in self._seats if seat.is_free]
        if idle and not any(life.can_take_a_job for life in idle) and any(life.waits_for for life in idle):
            self._queue.report_to_next(next(life.waits_for for life in idle if life.waits_for))

    def _barred_for(self, job_id: str) -> set[int]:
        """The places that a job doesn't go to; where no others are left, those in which its worker ended are given
        another chance."""
        barred = self._barred.get(job_id, set())
        left = any(seat.number not in barred for seat in self._seats if not seat.is_broken)
        return barred if left else set()

    def begin(self) -> None:
        """Have a worker ready by the time the first job comes, and tell of them all."""
        self._seats.want_one()

    def warm_up(self, params: WarmParams) -> None:
        """Have the worker that would get such a job get ready for it once it has nothing else to do; only the newest
        one counts."""
        if params.request.training is None:
            self._to_warm_up = params

    def look(self, params: LookParams) -> Later:
        """A small draft of what is looked at, made while there is no job; the one before it ends."""
        if params.request is not None and params.request.training is not None:
            raise Refusal.of(ProblemKind.BAD_SETTING, NO_TRAINING)
        return Later(lambda hand_in: self._looks.ask(params, hand_in))

    def _why_no_look(self, free: list[Seat]) -> ProtocolError | None:
        if self._paused:
            return Refusal.of(ProblemKind.BUSY, PAUSED)
        broken = [seat for seat in self._seats if seat.is_broken]
        if broken and len(broken) == len(self._seats):
            return Refusal.of(ProblemKind.WORKER_DIED, broken[0].life.status.sentence)
        if self._seats and not free:
            return looks.MAKES_WAY
        return None if not free or any(seat.life.may_warm_up for seat in free) else looks.DIED

    def _begin_look(self, free: list[Seat]) -> None:
        """Have the look that waits made by one of the `free` workers, or say why it can't be."""
        refusal = self._why_no_look(free)
        if refusal is not None:
            self._looks.refuse(refusal)
            return
        seat = self._seats.choose(self._looks.model, [seat for seat in free if seat.life.may_warm_up])
        if seat is None:  # which cards there are isn't known yet
            return
        free.remove(seat)
        if seat.life.can_warm_up and not seat.watch.is_asking:
            self._looks.begin(seat, self._seats.machine_of(seat))
        else:
            seat.life.want()

    def _look_after_idle_workers(self, free: list[Seat]) -> None:
        if self._looks.waits:
            self._begin_look(free)
        elif self._looks.is_on:
            self._to_warm_up = None  # what a look has loaded stays
        if self._to_warm_up is not None and not self._paused:
            seat = self._seats.choose(self._to_warm_up.request.model, free)
            if seat is not None:
                free.remove(seat)
                if seat.life.can_warm_up and not seat.watch.is_asking:
                    self._plan_warm_up(seat, self._to_warm_up)
                    self._to_warm_up = None
                elif seat.life.is_far:
                    self._to_warm_up = None  # a place on a cluster is for jobs
                else:
                    seat.life.want()  # one that may not be started isn't
        for seat in free:
            if seat.life.waits_for:
                seat.life.withdraw()  # nothing is left for it to do, and others wait for places as well
            elif 0 < self._idle_seconds <= seat.life.idle_seconds:
                log.info("A worker had nothing to do for %.0f s; it is ended", seat.life.idle_seconds)
                seat.life.release()

    def _plan_warm_up(self, seat: Seat, wanted: WarmParams) -> None:
        request = wanted.request
        if not request.shown_prompt.strip():
            request = dataclasses.replace(request, prompt=NO_PROMPT)

        def begin(made: Prepared | ProtocolError) -> None:
            if isinstance(made, ProtocolError):
                log.info("Nothing is warmed up: %s", made.message)
                return
            loaded = (seat.life.number, str(made.folder), made.component_files, made.plan.loras)
            comes = self._queue.next_queued({each.planned for each in self._seats if each.planned})
            if not seat.life.can_warm_up or not seat.is_free or comes is not None:
                return
            if loaded == seat.warm and not wanted.read_prompt:
                return
            seat.warm = loaded
            seat.holds(request.model)
            seat.life.warm_up(WarmUpParams(self._params("", seat, request, made), wanted.read_prompt))

        self._planning.start(request, begin, machine=self._seats.machine_of(seat))

    def with_time(self, made: Plan | ProtocolError) -> Plan | ProtocolError:
        """A plan for a client, with how long the take will probably take.

        The plans of jobs don't have it: a take is resumed only if its plan is the same.
        """
        if isinstance(made, ProtocolError):
            return made
        return dataclasses.replace(made, expected_seconds=self._times.expected_seconds(made))

    def cancel(self, job_id: str) -> None:
        """End a job; one that a worker has ends within the worker's time for it. Raises ProtocolError."""
        status = self._queue.status(job_id)
        if status.state is JobState.QUEUED:
            self._end(job_id, JobState.CANCELED, CANCELED)
        elif is_working(status):
            self._stopping.pop(job_id, None)
            self._queue.set_sentence(job_id, Sentence("Canceling."))
            self._cancel(job_id)

    def hold(self, job_id: str, hold: Hold) -> None:
        """Let a job wait until `resume`; one that a worker has stops, and the next begins. Raises ProtocolError."""
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
        """Begin no job, or begin them again; the workers' jobs stop, and are the first to resume."""
        self._paused = paused
        if paused:
            self._looks.refuse(Refusal.of(ProblemKind.BUSY, PAUSED))
        if not paused:
            self._queue.report_to_next(WAITING)
            return
        for seat in self._seats:
            working = seat.life.busy_with
            if working and working not in self._stopping and self._queue.has(working):
                self._stop(working, Hold.NONE, PAUSED)

    def _stop(self, job_id: str, hold: Hold, sentence: Sentence) -> None:
        """Have a worker stop its job, whose steps are kept; `job_failed` follows."""
        self._stopping[job_id] = hold, sentence
        self._queue.set_sentence(job_id, Sentence("Stopping."))
        self._cancel(job_id)

    def _cancel(self, job_id: str) -> None:
        seat = self._seats.with_job(job_id)
        if seat is not None:
            seat.life.cancel(job_id)

    def retry(self, job_id: str) -> Later:
        """Queue a job again, and forgive the workers that died."""
        self.forgive()
        return self._queue.retry(job_id)

    def forgive(self) -> None:
        """Let workers be started again."""
        if any(seat.is_broken for seat in self._seats):
            self._queue.report_to_next(WAITING)
        for seat in self._seats:
            seat.life.reset()

    def release(self) -> WorkersResult:
        """End the workers that have no job, and forgive those that died."""
        self.forgive()
        self._seats.free_cards()
        return WorkersResult([seat.status for seat in self._seats])

    def leave(self, goes_on: bool = False) -> None:
        """The server ends; queued jobs stay for the next one.

        So do the jobs that run where they go on (`goes_on`), as the client left as usual; else they are interrupted.
        """
        working = [seat.life.busy_with for seat in self._seats if seat.life.busy_with]
        self._seats.end(LEAVE_SECONDS)
        self._looks.leave()
        for job_id in working:
            if goes_on:
                self._queue.stop(job_id, *self._stopping.get(job_id, (Hold.NONE, WAITING)))
            else:
                self._queue.end(job_id, JobState.INTERRUPTED, BACKEND_ENDED)

    # What the workers tell

    def worker_changed(self, seat: Seat, status: WorkerStatus) -> None:
        """Follow a worker: one came up, ended, or may not be started any more."""
        self._on_worker(status)
        if status.state is WorkerState.READY and status.device:
            self._seats.note_memory(status.host_bytes)
            if seat.card is not None and not status.device.startswith("cuda"):
                self._on_card_missing(seat)
            elif seat.needs_card and not status.device.startswith("cuda"):
                seat.life.give_up(NO_CARD_THERE.with_values(node=seat.life.node))

    def _on_card_missing(self, seat: Seat) -> None:
        """A worker doesn't find its card. It must not make takes on the processor beside others that have cards."""
        if len(self._seats) == 1 and not self._cards_chosen:
            return  # it does what it can
        log.error("There is no card %s", seat.status.card)
        self._without_card.add(seat.number)
        seat.life.give_up(NO_CARD.with_values(card=seat.status.card))
        if not self._cards_chosen and len(self._without_card) == len(self._seats):
            # The driver knows cards, and the backend's torch knows none: it is the one for processors.
            seat.card, seat.others = None, ()
            seat.life.reset()
            self._seats.open([seat])

    def job_progressed(self, report: ProgressParams) -> None:
        """A worker's job went on."""
        self._queue.progress(report)

    def job_finished(self, seat: Seat, job_id: str, result: RunResult) -> None:
        """A worker made the take."""
        self._stopping.pop(job_id, None)
        self._forget(job_id)
        self._queue.finish(job_id, result)
        if seat.running is not None:
            self._learn(seat, seat.running, result)
        seat.running = None

    def _learn(self, seat: Seat, made: Plan, result: RunResult) -> None:
        """Remember what a take took that was made from its first step on.

        Where several cards were to share it, that is what it would have taken with all of them from the beginning.
        """
        steady, card = result.steady, seat.watch.card
        if made.cards == 1:
            self._times.learn(made, result.seconds)
        elif steady is not None:
            self._times.learn(made, dataclasses.replace(result.seconds, denoise=steady.denoise_seconds))
        could_share = (len(self._seats) > 1 or seat.others) and not seat.life.is_far
        if steady is not None and card and could_share:
            self._ways.learn(made, card, steady)

    def job_failed(self, seat: Seat, job_id: str, problem: Problem) -> None:
        """A worker could not, or died, or hung."""
        stopping = self._stopping.pop(job_id, None)
        if stopping is not None and problem.kind is ProblemKind.CANCELED:
            self._queue.stop(job_id, *stopping)
        elif self._goes_elsewhere(seat, job_id, problem):
            self._queue.stop(job_id, *(stopping or (Hold.NONE, ELSEWHERE)))
        else:
            self._end(job_id, STATE_OF_PROBLEM.get(problem.kind, JobState.FAILED), problem)

    def job_lost(self, seat: Seat, job_id: str, how: Sentence) -> None:
        """A worker went with its machine: the job is queued at its turn, as often as that may be thought no fault of
        its own."""
        hold, _ = self._stopping.pop(job_id, (Hold.NONE, WAITING))
        self._losses[job_id] += 1
        if self._losses[job_id] < MAX_LOSSES:
            self._queue.stop(job_id, hold, LOST.with_values(how=how))
        else:
            sentence = LOST_TOO_OFTEN.with_values(count=MAX_LOSSES, how=how)
            self._end(job_id, JobState.INTERRUPTED, Problem(ProblemKind.INTERRUPTED, sentence))

    def _goes_elsewhere(self, seat: Seat, job_id: str, problem: Problem) -> bool:
        """Whether another place may do better with a job that failed at this one; then it doesn't come back here."""
        crash = problem.kind in CRASHES
        if crash:
            self._crashes[job_id] += 1
        elif problem.kind not in TOO_SMALL:
            return False
        barred = {seat.number, *self._barred.get(job_id, ())}
        others = [each for each in self._seats if each.number not in barred and not each.is_broken]
        if not crash:
            others = [each for each in others if each.device_bytes > seat.device_bytes]
        if not others or self._crashes[job_id] >= MAX_CRASHES:
            return False
        log.warning("The job %s doesn't go to place %d again: %s", job_id, seat.number, problem.sentence)
        self._barred[job_id] = barred
        return True

    def _end(self, job_id: str, state: JobState, problem: Problem) -> None:
        self._forget(job_id)
        self._queue.end(job_id, state, problem)

    def _forget(self, job_id: str) -> None:
        """The job has ended; if it is queued again, it may go anywhere."""
        self._barred.pop(job_id, None)
        self._crashes.pop(job_id, None)
        self._losses.pop(job_id, None)

    # What is planned

    def _plan(self, seat: Seat, job_id: str) -> None:
        seat.planned = job_id
        got = functools.partial(self._on_request, seat, job_id)
        self._guarded(seat, job_id, lambda: self._queue.request(job_id, got))

    def _on_request(self, seat: Seat, job_id: str, request: TakeRequest | ProtocolError) -> None:
        if not self._still_waits(job_id):
            seat.planned = ""
        elif isinstance(request, ProtocolError):
            seat.planned = ""
            if isinstance(request, Refusal):
                self._forget(job_id)
                self._queue.damaged(job_id, request.problem)
            else:
                self._end(job_id, JobState.FAILED, _problem_of(request))
        else:
            made = functools.partial(self._on_prepared, seat, job_id, request)
            aside = functools.partial(self._on_set_aside, seat, job_id)
            machine = self._seats.machine_of(seat)
            self._guarded(seat, job_id, lambda: self._planning.start(request, made, aside, machine))

    def _on_set_aside(self, seat: Seat, job_id: str, sentence: Sentence) -> None:
        """A disk that the job needs doesn't answer; the next goes on."""
        if seat.planned == job_id:
            seat.planned = ""
        if self._still_waits(job_id):
            self._queue.set_aside(job_id, sentence)

    def _on_prepared(self, seat: Seat, job_id: str, request: TakeRequest, made: Prepared | ProtocolError) -> None:
        if seat.planned != job_id:  # it was set aside, and is planned anew in its turn
            self._queue.take_back(job_id)
            return
        seat.planned = ""
        if not self._still_waits(job_id):
            return
        if isinstance(made, ProtocolError):
            problem = _problem_of(made)
            if self._goes_elsewhere(seat, job_id, problem):
                self._queue.set_sentence(job_id, TOO_LARGE)
            else:
                self._end(job_id, JobState.FAILED, problem)
        elif seat.life.can_take_a_job:  # else it is planned again, once there is a worker
            self._guarded(seat, job_id, lambda: self._start(seat, job_id, request, made))

    def _start(self, seat: Seat, job_id: str, request: TakeRequest, made: Prepared) -> None:
        self._queue.start(job_id, made.plan)
        self._looks.hand_over(request, self._queue.work_folder(job_id))
        begun = (self._queue.work_folder(job_id) / STEPS_FILE).exists()
        seat.running = None if begun else made.plan
        seat.warm, self._to_warm_up = (), None
        seat.holds(request.works_with)
        seat.life.run(self._params(job_id, seat, request, made))

    def _params(
        self, job_id: str, seat: Seat, request: TakeRequest, made: Prepared, work_folder: Path | None = None
    ) -> RunParams:
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
            self._seats.host_budget_of(seat),
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

    def _guarded(self, seat: Seat, job_id: str, do: Callable[[], None]) -> None:
        """Call `do`; if it raises an error that nobody foresaw, the job fails."""
        try:
            do()
        except Exception as error:
            log.exception("The job %s could not be started", job_id)
            seat.planned = ""
            if self._queue.has(job_id) and not self._queue.status(job_id).state.ended:
                self._end(job_id, JobState.FAILED, _problem_of_start(error))


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
