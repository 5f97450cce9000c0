"""Makes plans and lists models on threads of their own: a disk that is slow or hangs delays only that.

Answers come on the main thread, through the inbox, in the order of the requests. Plans wait for the first search of the
models folders. A task that hangs on a disk for longer than anything takes keeps its thread, and another thread goes on
with the others; tasks that need the same folder are set aside until it answers, and nobody looks there meanwhile.
"""

from __future__ import annotations

import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..library.survey import Survey
from ..memory.forecast import Machine
from ..planning.unusable_files import UnusableFiles
from ..protocol.errors import ProtocolError, Refusal, result_or_error
from ..protocol.messages import (
    Component,
    ModelsResult,
    NameTransformerParams,
    Nothing,
    Plan,
    Problem,
    ProblemKind,
    TakeRequest,
)
from ..protocol.sentences import NO_SENTENCE, Sentence, as_sentence
from ..storage import disk_errors, unresponsive_folders
from .inbox import Call, Inbox
from .planner import Planner

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""Shortest time between two reports of the first search."""
MAX_WAITING_PLANS = 4
"""A panel may ask for more before one is made; then the oldest is given up."""
HANGS_SECONDS = 60.0
"""A plan that takes this long hangs, and so does a search that finishes no file in this time."""
SILENT_SECONDS = 5.0
"""A folder that a probe waits for this long doesn't answer."""
MAX_THREADS = 4
"""The largest number of threads, even if all of them hang."""
PLANNED_THEN = Sentence("{reason}; planning continues as soon as it does.")
TRY_AGAIN = Sentence("{reason}; check that its drive or share is connected, then try again.")
GIVEN_UP = Problem(ProblemKind.BUSY, Sentence("Newer plans were asked for before this one was made."))


@dataclass(frozen=True)
class Prepared:
    """Plan and files of a job that begins now."""

    plan: Plan
    folder: Path
    """The folder of the model."""
    component_files: Mapping[str, Path]
    """The file or folder of each component; empty if all are in `folder`."""
    tiny_decoder: str
    """The file of the tiny autoencoder; empty if there is none."""


@dataclass(eq=False)
class _Task:
    make: Callable[[], Any]
    then: Callable[[Any], None]
    places: tuple[str, ...] = ()
    """The folders that it needs, beside those of the models."""
    set_aside: Callable[[Sentence], None] | None = None
    """Called with the reason if it has to wait; without this it is refused then."""
    after_look: bool = True
    over: bool = False
    """It was answered, or given up."""
    tried_again: bool = False
    needs_look: bool = False
    """Its model may be where nobody could look."""

    @property
    def silent(self) -> str:
        """The first of its places that doesn't answer; else empty."""
        return next(filter(None, map(unresponsive_folders.containing, self.places)), "")


@dataclass(eq=False)
class _Turn:
    """A task that a thread is working on."""

    task: _Task
    began: float
    unseen: str
    """An unresponsive folder that may hold models and that it could not search."""
    hangs: bool = False


@dataclass(eq=False)
class _Investigation:
    """Something hangs, and a probe looks for the folder that doesn't answer."""

    probe: unresponsive_folders.Probe
    task: _Task | None
    """None: a look through the models folders."""
    place: str = ""
    """The folder that doesn't answer."""


class PlanningQueue:
    """Takes requests from the main thread, and answers on it."""

    def __init__(self, planner: Planner, inbox: Inbox, on_models: Callable[[ModelsResult], None]) -> None:
        """`on_models` is told, on the main thread, when what is known of the models changed."""
        self._planner, self._inbox, self._on_models = planner, inbox, on_models
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._waiting_plans: list[_Task] = []
        self._lock = threading.Lock()
        """Guards the turns, the threads and the plans that wait."""
        self._turns: list[_Turn] = []
        self._threads = 0
        self._doubts: list[_Investigation] = []
        self._aside: dict[_Task, str] = {}
        """Tasks that wait for a folder to answer."""
        self._unseen = ""
        """A place that may hold models, and is silent, or was not looked through since."""
        self._seen_after = 0
        """The number of searches after which `_unseen` may be cleared."""
        self._doubted_at = 0.0
        self._sent_at = 0.0
        self._known = replace(planner.rows_before_search(), looking=_looking(0))
        planner.library.on_file, planner.library.on_refreshed = self._on_file, self._on_looked

    @property
    def known(self) -> ModelsResult:
        """The models, so far as they are known now. For the main thread."""
        return self._known

    @property
    def models_folders(self) -> list[str]:
        """Folders that are searched for models, beside the cache of Hugging Face."""
        return self._planner.models_folders

    @property
    def memory_budget_bytes(self) -> int | None:
        """Memory of the device that may be used; None: all of it."""
        return self._planner.memory_budget_bytes

    @property
    def unusable_files(self) -> UnusableFiles:
        """What was found to be wrong with the files of sources; plans say so."""
        return self._planner.unusable_files

    def begin(self) -> None:
        """Start the thread, and the first look."""
        self._start_thread()
        self._ask_for_rows()
        self.look()

    def look(self) -> None:
        """Have the models folders looked through anew; `on_models` is told if something changed."""
        self._planner.library.request_refresh()

    def name_transformer(self, params: NameTransformerParams) -> Nothing:
        """Remember what a transformer is, and wait until the folders were looked through with that in mind.

        It waits for the disk, so other threads call it. Raises Refusal.
        """
        library = self._planner.library
        try:
            library.answers.record(Path(params.file), params.part)
        except OSError as error:
            raise Refusal(disk_errors.write_problem(error, Sentence("The answer was not kept"))) from error
        library.wait(library.request_refresh(), HANGS_SECONDS)
        return Nothing()

    def plan(self, request: TakeRequest, then: Callable[[Plan | ProtocolError], None], is_job: bool = False) -> None:
        """Plan `request`; `is_job`: it is to be done, so it isn't given up for later ones, and waits
        for places that don't answer."""
        task = _Task(lambda: self._planner.plan(request), then, _folders_of(request), _wait if is_job else None)
        stale = None
        if not is_job:
            with self._lock:
                self._waiting_plans.append(task)
                if len(self._waiting_plans) > MAX_WAITING_PLANS:
                    stale = self._waiting_plans.pop(0)
                    stale.over = True
        self._tasks.put(task)
        if stale is not None:
            stale.then(Refusal(GIVEN_UP))

    def start(
        self,
        request: TakeRequest,
        then: Callable[[Prepared | ProtocolError], None],
        set_aside: Callable[[Sentence], None] = lambda _: None,
        machine: Machine | None = None,
    ) -> None:
        """Prepare a job: plan it and find its files; a Refusal with the problem if it can't be done.

        `set_aside` is called, perhaps several times, with the reason why others go before it: a folder doesn't answer.
        `machine` is what the job's worker has, if that is known.
        """
        self._tasks.put(_Task(lambda: self._prepare(request, machine), then, _folders_of(request), set_aside))

    def rows(self, then: Callable[[ModelsResult | ProtocolError], None]) -> None:
        """The catalogue, and what of it is here now, as far as the folders were looked through."""
        self._tasks.put(_Task(self._rows, then, after_look=False))

    def search_again(self, seconds: float) -> tuple[ModelsResult, Survey | None]:
        """Search again for at most `seconds`: the models, or those known before. It waits, so other threads call it."""
        until, library = time.monotonic() + seconds, self._planner.library
        library.wait(library.request_refresh(), seconds)
        answers: queue.SimpleQueue[ModelsResult | ProtocolError] = queue.SimpleQueue()
        self.rows(answers.put)
        try:
            answer = answers.get(timeout=max(0.1, until - time.monotonic()))
        except queue.Empty:
            answer = self._known
        return answer if isinstance(answer, ModelsResult) else self._known, library.known()

    def _prepare(self, request: TakeRequest, machine: Machine | None) -> Prepared:
        plan = self._planner.plan(request, machine)
        if plan.problem is not None:
            raise Refusal(plan.problem)
        if request.finish is not None:
            upscaler = self._planner.upscaler(request.finish.upscaler)
            return Prepared(plan, upscaler.parent, {Component.UPSCALER: upscaler}, "")
        try:
            found = self._planner.locate(plan.model)
        except LookupError as gone:
            raise Refusal(Problem(ProblemKind.MODEL_MISSING, as_sentence(str(gone)))) from None
        return Prepared(plan, found.folder, found.components, self._planner.tiny_decoder(plan.model))

    def _rows(self) -> ModelsResult:
        looking = NO_SENTENCE if self._planner.is_ready else self._known.looking
        return ModelsResult(self._planner.rows(), self._planner.extra_rows(), looking)

    def _ask_for_rows(self) -> None:
        self.rows(self._publish)

    def _publish(self, answer: ModelsResult | ProtocolError) -> None:
        if isinstance(answer, ProtocolError):
            log.error("What is here of the models is not known: %s", answer.message)
            answer = replace(self._known, looking=NO_SENTENCE if self._planner.is_ready else self._known.looking)
        if answer != self._known:
            self._known = answer
            self._on_models(answer)

    def _on_looked(self) -> None:
        """Called on the thread that looked."""
        self._ask_for_rows()
        self._inbox.put(Call(self._take_back))

    def _on_file(self, files: int) -> None:
        """On the thread that looks."""
        now = time.monotonic()
        if not self._planner.is_ready and now >= self._sent_at + REPORT_SECONDS:
            self._sent_at = now
            self._inbox.put(Call(functools.partial(self._report_search, files)))

    def _report_search(self, files: int) -> None:
        if self._known.looking:
            self._publish(replace(self._known, looking=_looking(files)))

    # What plans

    def _start_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name="planning", daemon=True).start()

    def _work(self) -> None:
        more = True
        while more:
            task = self._tasks.get()
            if task.after_look:
                self._planner.library.wait()
            silent = task.silent
            with self._lock:
                turn = _Turn(task, time.monotonic(), self._unseen)
                if task in self._waiting_plans:
                    self._waiting_plans.remove(task)
                if task.over:
                    continue
                if not silent:
                    self._turns.append(turn)
            if silent:
                self._inbox.put(Call(functools.partial(self._set_aside, task, silent)))
                continue
            came = result_or_error(task.make, Sentence("The plan"))
            more = self._should_go_on(turn)
            self._inbox.put(Call(functools.partial(self._came, turn, came)))

    def _should_go_on(self, turn: _Turn) -> bool:
        """Whether the thread whose turn is over takes the next; not if it hung and another does so in its place."""
        with self._lock:
            self._turns.remove(turn)
            turn.unseen = turn.unseen or self._unseen
            others = self._threads - 1 - sum(each.hangs for each in self._turns)
            if turn.hangs and others > 0:
                self._threads -= 1
                return False
            return True

    def _came(self, turn: _Turn, came: Any) -> None:
        """On the main thread: a task was done, perhaps the second time."""
        task = turn.task
        if task.over:
            return
        if turn.unseen and task.set_aside is not None and _lacks_the_model(came):
            task.needs_look = True
            self._set_aside(task, turn.unseen)
            return
        task.over = True
        task.then(came)

    # What hangs

    def tick(self) -> None:
        """See whether something hangs, or goes on again; to be called every few seconds, on the main thread."""
        now = time.monotonic()
        with self._lock:
            hanging = [turn for turn in self._turns if not turn.hangs and now >= turn.began + HANGS_SECONDS]
            for turn in hanging:
                turn.hangs = True
        for turn in hanging:
            self._doubt(turn.task)
        if self._planner.library.stalled_seconds() >= HANGS_SECONDS and now >= self._doubted_at + HANGS_SECONDS:
            self._doubted_at = now
            self._doubt(None)
        for doubt in list(self._doubts):
            self._look_into(doubt)

    def _doubt(self, task: _Task | None) -> None:
        log.warning("%s hangs", "A plan" if task is not None else "The look through the models folders")
        places = task.places if task is not None else ()
        self._doubts.append(_Investigation(unresponsive_folders.Probe(places, self._planner.searched_folders()), task))

    def _look_into(self, doubt: _Investigation) -> None:
        over, place = doubt.probe.over, doubt.probe.silent(SILENT_SECONDS)
        if over:
            self._doubts.remove(doubt)
        if place != doubt.place:
            doubt.place = place
            self._silence_changed()
        if doubt.task is not None and (place or over):
            task, doubt.task = doubt.task, None
            with self._lock:
                if sum(each.hangs for each in self._turns) == self._threads < MAX_THREADS:
                    self._start_thread()
            if task.silent or not place or task.tried_again:
                self._set_aside(task, task.silent)
            else:  # it hung at a models folder, and can do without that
                task.tried_again = True
                self._tasks.put(task)

    def _silence_changed(self) -> None:
        """Other places are silent than were before."""
        places = [doubt.place for doubt in self._doubts if doubt.place]
        log.warning("What does not answer now: %s", ", ".join(places) or "nothing")
        library = self._planner.library
        with self._lock:  # a turn that can't see a place knows that
            unresponsive_folders.set_unresponsive(places)
            self._unseen = next(
                filter(None, map(unresponsive_folders.touching, self._planner.searched_folders())),
                self._unseen,
            )
        hangs = library.stalled_seconds() >= SILENT_SECONDS
        self._seen_after = library.abandon_refresh() if hangs else library.request_refresh()
        self._take_back()

    def _take_back(self) -> None:
        """Plan what waited for a place that answers now."""
        looked = self._planner.library.refreshes >= self._seen_after
        if looked and not any(map(unresponsive_folders.touching, self._planner.searched_folders())):
            self._unseen = ""
        for task, place in list(self._aside.items()):
            if not unresponsive_folders.containing(place) and (looked or not task.needs_look):
                del self._aside[task]
                self._tasks.put(task)

    def _set_aside(self, task: _Task, place: str) -> None:
        """Have it wait until `place` answers; if that is empty, until the thread that hangs with it comes back."""
        if task.over:
            return
        reason = unresponsive_folders.describe(place) if place else Sentence("A disk that it needs does not answer")
        if task.set_aside is None:
            task.over = True
            task.then(Refusal(Problem(ProblemKind.FOLDER, TRY_AGAIN.with_values(reason=reason))))
            return
        if place:
            self._aside[task] = place
        task.set_aside(PLANNED_THEN.with_values(reason=reason))
        self._take_back()  # it may have come back while this was on its way


def _wait(_: str) -> None:
    """Do nothing: a client that submits a job waits for the answer anyway."""


def _folders_of(request: TakeRequest) -> tuple[str, ...]:
    sources = (source.folder for source in request.sources if not source.rendered)
    return tuple(dict.fromkeys([request.media_folder, *sources, *(os.path.dirname(use.path) for use in request.loras)]))


def _lacks_the_model(came: Any) -> bool:
    problem = came.problem if isinstance(came, Plan | Refusal) else None
    return problem is not None and problem.kind is ProblemKind.MODEL_MISSING


def _looking(files: int) -> Sentence:
    if files == 1:
        return Sentence("Searching the models folders: one file so far.")
    return Sentence("Searching the models folders: {count} files so far.", count=f"{files:,}")
