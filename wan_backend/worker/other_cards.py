"""A worker's other cards: the processes that compute there what the worker shares with them, job by job.

With guidance, a step's two forward passes can be computed at once: half of the cards make the negative prompt's. And
one forward pass can be computed by several cards, each with a share of its tokens. The plan says how many have which
part (`Plan.cards`, `Plan.cards_per_forward`); here they are two teams, one that the worker is in itself, and one that
it isn't.

Nothing waits for those processes to begin: they load beside the worker, and take part from the forward pass at which
they are ready. What one was asked for and doesn't make, because it died, hangs or ran out of memory, is computed by the
worker itself in the same step; from then on the job goes on without that team. So no step is lost.

The worker talks with them through pipes, since all that moves there in a step is the latents and one prediction, a
hundredth of a forward pass at the most. What moves within a forward pass goes from card to card (`card_group`).
"""

from __future__ import annotations

import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from ..loading.residency import weights_mark
from ..loading.wan_model import WanModel
from ..memory.residency_plan import MemoryPlan
from ..pipelines.elsewhere import Answer
from ..pipelines.step_cache import Forward
from ..pipelines.stopping import ShouldStop, check, never
from ..planning.calibrations import Branch
from ..protocol.conversion import to_json
from ..protocol.errors import Refusal
from ..protocol.messages import LoraUse, Plan, RunParams
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..protocol.workers import OTHER_CARDS_VARIABLE
from .card_group import finish
from .other_process import Process
from .patience import Patience
from .payload_frames import packed
from .team import Team

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "wan_backend.worker.other_card_process")
VISIBLE = "CUDA_VISIBLE_DEVICES"
PROCESSOR = "cpu"
"""In place of a card: all processes compute on the processor."""
PATIENCE_SECONDS = 15.0
PATIENCE_SHARE = 0.5
"""How much longer than the worker's own half the other one may take: so many seconds, or such a share of the half if
that is more. After that it hangs, or is of no use."""
LOOK_SECONDS = 0.05
MAX_DEATHS = 3
"""Once so many processes of a card in a row ended without an answer, no other is started there."""

LOST = Sentence("One of the cards failed during the take, so the take went on with fewer.")
NO_USE = Sentence("One card made the take, as the others couldn't take part ({reason}).")
NO_PROCESS = Sentence("a process has ended; the backend's log says why")
LONGEST_LOADING_SECONDS = 60.0
"""Those that have the other shares of the weights may load so much longer than the worker did, or twice as long."""
NEVER_READY = Sentence("The other cards weren't ready before the take's steps were done, so one card made it.")


class SharesLost(Exception):
    """The cards that have the other shares of the transformer's weights aren't there, or not any more."""


@dataclass
class _Place:
    """One of the other cards."""

    environment: Mapping[str, str]
    process: Process | None = None
    deaths: int = 0


@dataclass
class OtherCards:
    """What a worker has its other cards do; `pipelines.elsewhere.Elsewhere` for `denoise`."""

    environments: Sequence[Mapping[str, str]]
    command: Sequence[str] = COMMAND
    patience_seconds: float = PATIENCE_SECONDS
    forwards_made: int = 0
    """How many of this job's forward passes they made, or had a share of."""
    forwards_missed: int = 0
    """How many they were to make, or to have a share of, and did not: they weren't ready, or were lost."""
    waited_seconds: float = 0.0
    """How long the worker waited in this job for those that weren't ready."""
    _places: list[_Place] = field(default_factory=list)
    _together: Team | None = None
    """The team that the worker is in."""
    _apart: Team | None = None
    """The team that computes the negative prompt's half."""
    _number: int = 0
    _turn: str = ""
    _turned_at: float = 0.0
    _shares: int = 1
    """Between how many cards the transformer's weights are divided in this job."""
    _weights_of: Callable[[str], str] = str
    """The mark of the worker's weights of a component in this job."""
    _device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _is_busy: bool = False
    _should_stop: ShouldStop = never
    _steps_left: Callable[[], int] = lambda: 0

    def __post_init__(self) -> None:
        self._places = [_Place(environment) for environment in self.environments]

    @classmethod
    def of_environment(cls, around: Mapping[str, str] = os.environ) -> OtherCards | None:
        """The other cards that the server gave this worker; None if it has one card."""
        cards = [card for card in around.get(OTHER_CARDS_VARIABLE, "").split(",") if card]
        if not cards:
            return None
        own = {name: value for name, value in around.items() if name != OTHER_CARDS_VARIABLE}
        return cls([own if card == PROCESSOR else {**own, VISIBLE: card} for card in cards])

    @property
    def processes(self) -> list[Process]:
        """Those that live."""
        return [place.process for place in self._places if place.process is not None]

    def start(self) -> None:
        """Have a process on each card, unless too many have ended there."""
        for place in self._places:
            self._start(place)

    def prepare(
        self,
        params: RunParams,
        model: WanModel,
        memory: MemoryPlan,
        should_stop: ShouldStop = never,
        steps_left: Callable[[], int] = lambda: 0,
        begin_at_once: bool = True,
    ) -> None:
        """Have them get ready for the job as the worker does, with its model under that plan.

        If the plan divides the transformer's weights, those who compute a forward pass together have the shares; then
        the worker waits for its own team. `steps_left()` are those that the worker has yet to make. Without
        `begin_at_once`, the fastest kernels are chosen before the first forward pass, however long that takes.
        """
        self.start()
        self.forwards_made, self.forwards_missed, self.waited_seconds = 0, 0, 0.0
        self._turn, self._device = "", model.device
        self._should_stop, self._steps_left, self._shares = should_stop, steps_left, memory.shares
        known = weakref.ref(model)  # which another one follows before these hear of it
        self._weights_of = lambda component: _mark(known(), component, params.plan.loras, memory.shares)
        self._make_teams(params.plan)
        job = {
            "job": to_json(params),
            "device": model.device.type,
            "eight_bit": memory.eight_bit,
            "product": "" if model.matrix_product is None else model.matrix_product.kernel.name,
            "begin_at_once": begin_at_once,
        }
        number = self._next()
        for team in self._teams:
            team.begin_job(number, memory.shares)
            team.prepare(number, **job)
        self._is_busy = bool(self._teams)

    def warm_up(self, params: RunParams, model: WanModel, memory: MemoryPlan) -> None:
        """Have them load what such a job will need first."""
        self.prepare(params, model, memory)
        number = self._next()
        for team in self._teams:
            team.tell(number, "warm", component="transformer")
        self._is_busy = False

    def turn(self, component: str) -> None:
        """The transformer of that name makes the next steps."""
        if component != self._turn and self._is_busy:
            self._turn, self._turned_at, number = component, time.monotonic(), self._next()
            for team in self._teams:
                team.turn(number, component, self._device, partial(self._weights_of, component))

    @property
    def are_lost(self) -> bool:
        """Whether some of them take no part in this job any more, or none ever did."""
        return not self._teams or any(team.is_lost for team in self._teams)

    def are_like(self, card: str) -> bool:
        """Whether all that take part in this job compute on such a card (`devices.name`)."""
        return all(process.card == card for team in self._teams for process in team.processes)

    def wait_until_ready(self, timeout_seconds: float) -> bool:
        """Wait until all take part; False if they don't in time."""
        deadline = time.monotonic() + timeout_seconds
        while not all(team.is_ready for team in self._teams):
            if time.monotonic() >= deadline or self.are_lost:
                return False
            time.sleep(LOOK_SECONDS)
        return bool(self._teams)

    def ask(self, window: int, inputs: dict[str, Tensor]) -> Answer | None:
        """Have the prediction for the transformer's `inputs` computed elsewhere; None if nobody is ready."""
        team = self._apart
        if not self._is_busy or team is None:
            return None
        if not team.is_ready:
            self._miss(team)
            return None
        number = self._next()
        team.ask(number, f"{Branch.NEGATIVE.value} {window}", inputs, self._steps_left())
        return partial(self._answer, team, number, inputs["hidden_states"].device, time.monotonic())

    def with_others(self, forward: Forward) -> Forward:
        """`forward`, of which others have shares of the tokens whenever they are ready.

        Where they have shares of the weights, it waits for them, and raises SharesLost once it can't go on with them.
        """
        if self._together is None and self._shares == 1:
            return forward

        def shared(branch: Branch, *, window: int, step: int, **inputs: Any) -> Tensor:
            made = self._computed_together(
                f"{branch.value} {window}", inputs, partial(forward, branch, window=window, step=step, **inputs)
            )
            return forward(branch, window=window, step=step, **inputs) if made is None else made

        return shared

    def rest(self) -> None:
        """The job's steps are over, or it failed: nobody waits for anything any more."""
        if self._is_busy:
            self._is_busy = False
            number = self._next()
            for team in self._teams:
                team.rest(number)

    def drop(self) -> None:
        """Have them let go of their models: other programs need the memory."""
        self._tell("drop")

    @property
    def was_lost(self) -> bool:
        """Whether some of them failed in this job after they had been asked for something."""
        return any(team.was_lost for team in self._teams)

    @property
    def note(self) -> Sentence:
        """What a person should know of their part in this job; empty if all is well."""
        if self.was_lost:
            return LOST
        if self.forwards_made:
            return NO_SENTENCE
        processes = self.processes
        if len(processes) < len(self._places) or any(process.is_gone for process in processes):
            return NO_USE.with_values(reason=NO_PROCESS)
        failed = next((process.failed for process in processes if process.failed), "")
        return NO_USE.with_values(reason=failed) if failed else NEVER_READY

    def close(self, timeout_seconds: float = 2.0) -> None:
        """End the processes."""
        for team in self._teams:
            team.close()
        for place in self._places:
            if place.process is not None:
                place.process.close(timeout_seconds)
                place.process = None

    @property
    def _teams(self) -> list[Team]:
        return [team for team in (self._together, self._apart) if team is not None]

    def _make_teams(self, plan: Plan) -> None:
        """Have the teams that the plan asks for; those that are there already stay, with their groups."""
        processes = [place.process for place in self._places[: plan.cards - 1] if place.process is not None]
        is_whole = len(processes) == plan.cards - 1
        with_worker = plan.cards_per_forward - 1
        wanted = processes if is_whole else []
        self._together = _as_wanted(self._together, wanted[:with_worker], True)
        self._apart = _as_wanted(self._apart, wanted[with_worker:], False)

    def _start(self, place: _Place) -> None:
        if place.process is not None and place.process.is_gone:
            place.process, place.deaths = None, place.deaths + 1
        if place.process is not None or place.deaths >= MAX_DEATHS:
            return
        try:
            place.process = Process(self.command, place.environment)
        except OSError as error:
            place.deaths += 1
            log.warning("the process of another card can't be started: %s", error)
            return
        log.info("the process of another card is %d", place.process.pid)

    def _computed_together(
        self, what_for: str, inputs: dict[str, Any], forward: Callable[..., Tensor]
    ) -> Tensor | None:
        """What the worker's team makes of a forward pass; None if it isn't ready, or is lost."""
        team = self._together
        if self._shares > 1 and (team is None or not self._waited_for(team)):
            raise SharesLost
        if team is None or not self._is_busy:
            return None
        if not team.is_ready:
            self._miss(team)
            return None
        team.ask(self._next(), what_for, inputs, self._steps_left())
        made = team.compute(inputs, lambda group: forward(exchange=group), lambda: self.patience_seconds)
        if made is not None:
            self._count_forward()
            return made
        self.forwards_missed += 1
        if self._shares > 1:
            raise SharesLost
        return None

    def _waited_for(self, team: Team) -> bool:
        """Wait until the team is ready, as long as it may still be; whether it is. Raises Stopped."""
        began, before = time.monotonic(), self.waited_seconds
        patience = Patience(max(LONGEST_LOADING_SECONDS, began - self._turned_at))
        while not team.is_ready:
            check(self._should_stop)
            if team.is_lost or patience.is_over:
                team.was_lost = team.was_lost or team.asked > 0
                return False
            time.sleep(LOOK_SECONDS)
            self.waited_seconds = before + time.monotonic() - began
        return True

    def _answer(self, team: Team, number: int, device: torch.device, asked_at: float) -> Tensor | None:
        """The prediction on `device`; None, and the team is lost, if there is none in time."""
        finish(device)  # the worker's own half: the other one was begun at the same time
        patience = Patience(max(self.patience_seconds, PATIENCE_SHARE * (time.monotonic() - asked_at)))
        while (payload := team.processes[0].wait_for(number, LOOK_SECONDS)) is None:
            check(self._should_stop)
            if team.is_lost or patience.is_over:
                log.warning("the cards of the negative prompt %s", "failed" if team.is_lost else "hang")
                team.lose()
                self.forwards_missed += 1
                return None
        self._count_forward()
        return safetensors.load(payload)["prediction"].to(device)

    def _miss(self, team: Team) -> None:
        """A team isn't ready for what it would be asked for."""
        team.was_lost = team.was_lost or (team.is_lost and team.asked > 0)
        self.forwards_missed += 1

    def _count_forward(self) -> None:
        self.forwards_made += 1
        for place in self._places:
            place.deaths = 0

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _tell(self, do: str, **values: Any) -> None:
        frame = packed({"do": do, "number": self._next(), **values})
        for process in self.processes:
            process.tell(frame)


def _mark(model: WanModel | None, component: str, loras: Sequence[LoraUse], shares: int) -> str:
    """The mark of the worker's weights; none where a LoRA that it has on is gone from the disk: then others can't."""
    if model is None:
        return ""
    try:
        return weights_mark(model, component, loras, shares)
    except Refusal:
        return ""


def _as_wanted(before: Team | None, processes: list[Process], with_worker: bool) -> Team | None:
    """A team of these processes; the one before if it is of the same."""
    if before is not None and before.processes == processes:
        return before
    if before is not None:
        before.close()
    return Team(processes, with_worker) if processes else None
