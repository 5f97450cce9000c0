"""Plans, and what is known of the models, made on a thread of its own: a disk that is slow, or hangs, holds only that.

Whoever asks is answered on the main thread, through the inbox, in the order of asking; nothing here has a deadline.
Plans wait for the first look through the models folders.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..job_queue import outcome
from ..models.files.survey import Survey
from ..protocol.errors import ProtocolError, Refusal
from ..protocol.messages import ModelsResult, Plan, Problem, ProblemKind, TakeRequest
from .inbox import Call, Inbox
from .planner import Planner

log = logging.getLogger(__name__)

TOLD_SECONDS = 1.0
"""How far the first look is, is told at most this often."""
MOST_WAITING_PLANS = 4
"""Of more, which a panel asks for while nobody answers, the oldest is given up."""
GIVEN_UP = Problem(ProblemKind.BUSY, "Newer plans were asked for before this one was made.")


@dataclass(frozen=True)
class Prepared:
    """All that a job which begins now needs."""

    plan: Plan
    folder: Path
    """Of the model."""
    parts: Mapping[str, Path]
    """Where each part of it is; empty where all are in `folder`."""
    tiny_decoder: str
    """The file of the tiny autoencoder; empty where there is none."""


@dataclass(eq=False)
class _Task:
    make: Callable[[], Any]
    then: Callable[[Any], None]
    after_look: bool = True
    given_up: bool = False


class PlanningDesk:
    """Takes requests from the main thread, and hands in there."""

    def __init__(self, planner: Planner, inbox: Inbox, on_models: Callable[[ModelsResult], None]) -> None:
        """`on_models` is told, on the main thread, when what is known of the models changed."""
        self._planner, self._inbox, self._on_models = planner, inbox, on_models
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._waiting_plans: list[_Task] = []
        self._lock = threading.Lock()
        self._told_at = 0.0
        self._known = replace(planner.unlooked(), looking=_looking(0))
        planner.library.on_file, planner.library.on_looked = self._on_file, self._ask_for_rows

    @property
    def known(self) -> ModelsResult:
        """What is known of the models, at once. For the main thread."""
        return self._known

    @property
    def models_folders(self) -> list[str]:
        """Where models are looked for, beside the cache of Hugging Face."""
        return self._planner.models_folders

    @property
    def memory_budget_bytes(self) -> int | None:
        """What may be used of the device; None: all of it."""
        return self._planner.memory_budget_bytes

    def begin(self) -> None:
        """Start the thread, and the first look."""
        threading.Thread(target=self._work, name="planning", daemon=True).start()
        self._ask_for_rows()
        self.look()

    def look(self) -> None:
        """Have the models folders looked through anew; `on_models` is told where something changed."""
        self._planner.library.look_soon()

    def plan(self, request: TakeRequest, then: Callable[[Plan | ProtocolError], None], is_job: bool = False) -> None:
        """What would be done for `request`; `is_job`: it is to be done, so it isn't given up for later ones."""
        task = _Task(lambda: self._planner.plan(request), then)
        stale = None
        if not is_job:
            with self._lock:
                self._waiting_plans.append(task)
                if len(self._waiting_plans) > MOST_WAITING_PLANS:
                    stale = self._waiting_plans.pop(0)
                    stale.given_up = True
        self._tasks.put(task)
        if stale is not None:
            stale.then(Refusal(GIVEN_UP))

    def start(self, request: TakeRequest, then: Callable[[Prepared | ProtocolError], None]) -> None:
        """All that the job needs; a Refusal with the problem where it can't be done."""
        self._tasks.put(_Task(lambda: self._prepare(request), then))

    def rows(self, then: Callable[[ModelsResult | ProtocolError], None]) -> None:
        """The catalogue, and what of it is here now, as far as the folders were looked through."""
        self._tasks.put(_Task(self._rows, then, after_look=False))

    def looked_anew(self, seconds: float) -> tuple[ModelsResult, Survey | None]:
        """What is here now, where the disks say so within `seconds`; else what is known. Waits; for other threads."""
        until, library = time.monotonic() + seconds, self._planner.library
        library.wait(library.look_soon(), seconds)
        answers: queue.SimpleQueue[ModelsResult | ProtocolError] = queue.SimpleQueue()
        self.rows(answers.put)
        try:
            answer = answers.get(timeout=max(0.1, until - time.monotonic()))
        except queue.Empty:
            answer = self._known
        return answer if isinstance(answer, ModelsResult) else self._known, library.known()

    def _prepare(self, request: TakeRequest) -> Prepared:
        plan = self._planner.plan(request)
        if plan.problem is not None:
            raise Refusal(plan.problem)
        try:
            found = self._planner.found(plan.model)
        except LookupError as gone:
            raise Refusal(Problem(ProblemKind.MODEL_MISSING, str(gone))) from None
        return Prepared(plan, found.folder, found.parts, self._planner.tiny_decoder(plan.model))

    def _rows(self) -> ModelsResult:
        looking = "" if self._planner.ready else self._known.looking
        return ModelsResult(self._planner.rows(), self._planner.extra_rows(), looking)

    def _ask_for_rows(self) -> None:
        self.rows(self._publish)

    def _publish(self, answer: ModelsResult | ProtocolError) -> None:
        if isinstance(answer, ProtocolError):
            log.error("What is here of the models is not known: %s", answer.message)
            answer = replace(self._known, looking="" if self._planner.ready else self._known.looking)
        if answer != self._known:
            self._known = answer
            self._on_models(answer)

    def _on_file(self, files: int) -> None:
        """On the thread that looks."""
        now = time.monotonic()
        if not self._planner.ready and now >= self._told_at + TOLD_SECONDS:
            self._told_at = now
            self._inbox.put(Call(functools.partial(self._tell_looking, files)))

    def _tell_looking(self, files: int) -> None:
        if self._known.looking:
            self._publish(replace(self._known, looking=_looking(files)))

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task.after_look:
                self._planner.library.wait()
            with self._lock:
                if task.given_up:
                    continue
                if task in self._waiting_plans:
                    self._waiting_plans.remove(task)
            self._inbox.put(Call(functools.partial(task.then, outcome.of(task.make, "The plan"))))


def _looking(files: int) -> str:
    so_far = f"{files:,} files so far" if files != 1 else "one file so far"
    return f"Looking through the models folders: {so_far}."
