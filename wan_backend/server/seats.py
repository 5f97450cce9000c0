"""The places of the workers: one for each card that may be used, each with its worker's life and what that has ready.

Which of them is the next job's is decided here, and how much of the machine's memory each may have: they share it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from ..memory.forecast import Machine
from ..protocol.messages import Plan, Problem, ProblemKind, ProgressParams, RunResult, WorkerState, WorkerStatus
from ..protocol.sentences import Sentence
from ..protocol.workers import OTHER_CARDS_VARIABLE
from .cards import VISIBLE, Card
from .graphics_card import GraphicsCardWatch
from .inbox import WorkerExit, WorkerLine, WorkerLost, WorkerUnfit
from .worker_life import WorkerLife

log = logging.getLogger(__name__)

MAX_SEATS = 64
MAX_CARDS_PER_TAKE = 8
"""As many as one machine has that exchange at full speed."""
THREADS = "OMP_NUM_THREADS"
PROCESSOR = "cpu"


class SeatListener(Protocol):
    """Receives what happens to the workers and their jobs, each with the place that it happened at."""

    def worker_changed(self, seat: Seat, status: WorkerStatus) -> None:
        """Follow a worker: one came up, ended, or may not be started any more."""

    def job_progressed(self, report: ProgressParams) -> None:
        """A worker's job went on."""

    def job_finished(self, seat: Seat, job_id: str, result: RunResult) -> None:
        """A worker made the take."""

    def job_failed(self, seat: Seat, job_id: str, problem: Problem) -> None:
        """A worker could not, or died, or hung."""

    def job_lost(self, seat: Seat, job_id: str, how: Sentence) -> None:
        """A worker went with its machine, for which the job isn't to blame; `how` is a clause."""


class Seat:
    """A place for one worker after another, with the card that they are given."""

    def __init__(
        self,
        number: int,
        life: WorkerLife,
        card: Card | None = None,
        watch: GraphicsCardWatch | None = None,
        others: Sequence[str] = (),
    ) -> None:
        """Places are counted from 0; without a card, a worker chooses its device itself. `others` as `Place` has it."""
        self.number, self.life, self.card, self.others = number, life, card, tuple(others)
        self.watch = watch or GraphicsCardWatch(None)
        self.needs_card = False
        """Whether a worker without a graphics card is to make no takes here, though it was given no certain one."""
        self.shares_weights = False
        """Whether its cards are to hold a transformer between them where one doesn't."""
        self.listener: SeatListener
        self.planned = ""
        """The job that is being planned for it; it stays queued meanwhile, and may be canceled."""
        self.running: Plan | None = None
        """What its worker makes, if it has begun at the first step: from its time, that of others is told."""
        self.warm: tuple[object, ...] = ()
        """What its worker has got ready, or has been asked to."""
        self._model = (0, "")
        life.listener = self

    @property
    def status(self) -> WorkerStatus:
        """The state of the worker, with the place."""
        card = "" if self.card is None else self.card.id
        return dataclasses.replace(self.life.status, number=self.number, card=card, other_cards=list(self.others))

    @property
    def is_broken(self) -> bool:
        """Whether no worker is started here any more by itself."""
        return self.life.status.state is WorkerState.BROKEN

    @property
    def is_free(self) -> bool:
        """Whether it could have a job, at the latest once a worker is up."""
        return not (self.life.busy_with or self.planned or self.is_broken)

    @property
    def model(self) -> str:
        """The model that the worker has in memory, or is getting there; empty where there is none."""
        number, model = self._model
        return model if number == self.life.number and self.life.status.state is not WorkerState.NONE else ""

    def holds(self, model: str) -> None:
        """The worker that is there now was given this model."""
        self._model = self.life.number, model

    def distance(self, model: str) -> int:
        """How far it is from a take of that model; 0 where that is warm.

        A model that is warm is not thrown out of memory where a worker that has none could be started instead.
        """
        if self.model == model and self.life.can_take_a_job:
            return 0
        state = self.life.status.state
        if state is WorkerState.READY and not self.life.can_take_a_job:
            return 5  # it has been silent for a while
        if state is WorkerState.READY:
            return 4 if self.model else 1
        return 2 if state is WorkerState.STARTING else 3

    @property
    def device_bytes(self) -> int:
        """The most that a job could have of the device's memory; 0 if that isn't known."""
        machine = self.watch.machine
        return 0 if machine is None else machine.emptied.usable_bytes

    # What the worker's life tells

    def worker_changed(self, status: WorkerStatus) -> None:
        """Follow the worker: one came up, ended, or may not be started any more."""
        self.watch.worker_changed(status)
        self.listener.worker_changed(self, self.status)

    def job_progressed(self, report: ProgressParams) -> None:
        """The worker's job went on."""
        self.listener.job_progressed(report)

    def job_finished(self, job_id: str, result: RunResult) -> None:
        """The worker made the take."""
        self.listener.job_finished(self, job_id, result)

    def job_failed(self, job_id: str, problem: Problem) -> None:
        """The worker could not, or died, or hung."""
        if self.life.node and problem.kind is not ProblemKind.CANCELED:
            problem = dataclasses.replace(
                problem, sentence=Sentence("On {name}: {words}", name=self.life.node, words=problem.sentence)
            )
        self.listener.job_failed(self, job_id, problem)

    def job_lost(self, job_id: str, how: Sentence) -> None:
        """The worker went with its machine, for which the job isn't to blame; `how` is a clause."""
        self.listener.job_lost(self, job_id, how)


class Seats:
    """All places. There are none until `open`: which cards there are may take a moment to find out."""

    def __init__(self, seats: Iterable[Seat] = ()) -> None:
        self._seats = tuple(seats)
        self._listener: SeatListener | None = None
        self._wanted = False
        self._host_bytes = 0
        """The most of the machine's memory that was free when a worker came up."""

    def __iter__(self) -> Iterator[Seat]:
        return iter(self._seats)

    def __len__(self) -> int:
        return len(self._seats)

    def listen(self, listener: SeatListener) -> None:
        """Tell `listener` what happens, at these places and those that are opened later."""
        self._listener = listener
        for seat in self._seats:
            seat.listener = listener

    def open(self, seats: Iterable[Seat]) -> None:
        """These are the places."""
        self._seats = tuple(seats)
        assert self._listener is not None
        self.listen(self._listener)
        if self._wanted:
            self.want_one()

    def want_one(self) -> None:
        """Have a worker by the time that the first job comes, as soon as there are places."""
        self._wanted = True
        for seat in self._seats if len(self._seats) > 1 else ():
            seat.listener.worker_changed(seat, seat.status)
        if self._seats and not self._seats[0].life.is_far:  # there it would keep others from a place
            self._seats[0].life.want()

    def choose(self, model: str, free: Iterable[Seat], barred: Collection[int] = ()) -> Seat | None:
        """The place for a take of that model: where it is warm, else one that has none."""
        allowed = (seat for seat in free if seat.number not in barred)
        return min(allowed, key=lambda seat: (seat.distance(model), seat.number), default=None)

    def with_job(self, job_id: str) -> Seat | None:
        """The place whose worker has that job."""
        return next((seat for seat in self._seats if job_id and seat.life.busy_with == job_id), None)

    # Memory

    def note_memory(self, host_bytes: int) -> None:
        """A worker came up, and so much of the machine's memory was free."""
        self._host_bytes = max(self._host_bytes, host_bytes)

    def host_budget_of(self, seat: Seat) -> int | None:
        """The machine's memory that its worker, or a process of its other cards, may have beside all others there.

        None for all that is free.
        """
        host_bytes, processes = self._host_bytes, sum(1 + len(each.others) for each in self._seats)
        if seat.life.is_far:
            host_bytes, processes = seat.status.host_bytes, seat.life.shared
        return host_bytes // processes if processes > 1 and host_bytes else None

    def machine_of(self, seat: Seat) -> Machine | None:
        """The machine to plan for, as a worker has it there; None until that is known. From any thread."""
        machine, budget = seat.watch.machine, self.host_budget_of(seat)
        if machine is not None and seat.others:
            machine = dataclasses.replace(
                machine, cards=1 + len(seat.others), shares_weights=seat.shares_weights, card=seat.watch.card
            )
        if machine is None or budget is None:
            return machine
        shared = dataclasses.replace(machine, host_bytes=min(machine.host_bytes, budget))
        if machine.is_card:
            return shared
        most = min(machine.emptied.usable_bytes, budget)
        return dataclasses.replace(shared, usable_bytes=min(machine.usable_bytes, budget), most_bytes=most)

    @property
    def machine(self) -> Machine | None:
        """The machine with the largest card, for plans that are nobody's yet. From any thread."""
        known = [machine for seat in self._seats if (machine := self.machine_of(seat)) is not None]
        return max(known, key=lambda machine: machine.emptied.usable_bytes, default=None)

    # The main loop

    def on_line(self, event: WorkerLine) -> None:
        """A worker sent a line."""
        for seat in self._seats:
            seat.life.on_line(event)

    def on_lost(self, event: WorkerLost) -> None:
        """A worker went with its machine."""
        for seat in self._seats:
            seat.life.on_lost(event)

    def on_unfit(self, event: WorkerUnfit) -> None:
        """A worker could not be started, and no other could be in its place."""
        for seat in self._seats:
            seat.life.on_unfit(event)

    def on_exit(self, event: WorkerExit) -> None:
        """A worker ended."""
        for seat in self._seats:
            seat.life.on_exit(event)

    def tick(self) -> None:
        """See whether a worker hangs, or its time is up."""
        for seat in self._seats:
            seat.life.tick()

    def seconds_to_deadline(self) -> float | None:
        """When `tick` has something to do."""
        due = (seat.life.seconds_to_deadline() for seat in self._seats)
        return min((each for each in due if each is not None), default=None)

    def end(self, timeout_seconds: float) -> None:
        """End all workers at once, and wait for that together: the server leaves."""
        for seat in self._seats:
            seat.life.kill()
        for seat in self._seats:
            timeout_seconds -= seat.life.wait_for_end(timeout_seconds)

    def free_cards(self) -> None:
        """End the workers that have no job, and forgive those that died."""
        for seat in self._seats:
            seat.life.release()


@dataclasses.dataclass(frozen=True)
class Place:
    """What a worker is given."""

    card: Card | None = None
    """None: it chooses its device itself."""
    others: tuple[str, ...] = ()
    """Its other cards, each as OTHER_CARDS_VARIABLE has it."""


def environments(places: Sequence[Place], around: dict[str, str]) -> list[dict[str, str]]:
    """What the workers of these places find in their environment, which is `around` but for the cards.

    Workers that compute on the processor share its cores, also with those that share their takes.
    """
    made = []
    processes = sum(1 + len(place.others) for place in places)
    for place in places:
        mine = {name: value for name, value in around.items() if name != OTHER_CARDS_VARIABLE}
        if place.card is not None:
            mine[VISIBLE] = place.card.id
        elif processes > 1:
            mine.setdefault(THREADS, str(max(1, (os.cpu_count() or 1) // processes)))
        if place.others:
            mine[OTHER_CARDS_VARIABLE] = ",".join(place.others)
        made.append(mine)
    return made


def take_places(workers: int, cards: Sequence[Card], cards_per_take: int = 1, device: str = "auto") -> list[Place]:
    """A place for each card, or for so many that follow one another as a take may have.

    `workers` is the number of places that was asked for, 0 where it wasn't. No card has two workers. Without cards,
    there are as many workers as were asked for, else one; several processes share a take on the processor only where
    `device` is that.
    """
    if cards:
        groups = [cards[first : first + cards_per_take] for first in range(0, len(cards), cards_per_take)]
        places = [Place(first, tuple(card.id for card in others)) for first, *others in groups]
        return places[: workers or None]
    others = (PROCESSOR,) * (cards_per_take - 1) if device == PROCESSOR else ()
    return [Place(None, others)] * min(max(1, workers), MAX_SEATS)


NO_CARD_THERE = Sentence(
    "The worker on node {node} of the cluster finds no graphics card; see to its driver and the build of its torch, "
    "then retry a job. With `--device cpu`, takes are made on processors."
)
NO_CARD = Sentence(
    "The backend's torch finds no graphics card under {card}; choose the cards that may be used anew in the "
    "preferences, or set up the backend again."
)
"""Said of a place whose card isn't there: its jobs would be made on the processor, which takes hours."""
