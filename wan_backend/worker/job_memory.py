"""The memory plan of a job, and the smaller ones with which it goes on where memory runs out."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch

from .. import __version__
from ..loading import devices
from ..loading.residency import room_for
from ..loading.wan_model import WanModel
from ..memory import fallbacks
from ..memory.history import Attempt, OutOfMemoryHistory
from ..memory.residency_plan import MemoryPlan
from ..memory.spilled import SENTENCE
from ..planning.skipped_work import kept_residuals
from ..protocol.media import MEMORY_FILE
from ..protocol.messages import Plan, RunParams
from ..protocol.sentences import Sentence

log = logging.getLogger(__name__)

EIGHT_BIT_NOTE = Sentence(
    "There was too little memory for the model's weights in 16 bit, so they are in 8 bit: detail may differ a little."
)


def shares_of(plan: Plan) -> int:
    """Between how many cards the plan divides the transformer's weights."""
    return plan.cards_per_forward if plan.shared_weights else 1


class JobMemory:
    """`plan` is the memory plan to follow now; `shrink` replaces it with a smaller one."""

    def __init__(self, model: WanModel, params: RunParams, shares: int = 1) -> None:
        """`shares` is how many cards are to hold the transformer between them; they do where that fits."""
        plan = params.plan
        at_once = plan.frames_at_once
        budgets = params.memory_budget_bytes, plan.loras, params.host_budget_bytes
        room = room_for(model, plan.width, plan.height, at_once, *budgets, sources=plan.seen_sources)
        needs = room.needs.with_step_cache(kept_residuals(plan), room.on_cpu)
        self._room = replace(room, needs=needs, shares=shares)
        self._history = OutOfMemoryHistory(Path(params.state_folder, MEMORY_FILE) if params.state_folder else None)
        self._device = f"{devices.name(model.device)}, torch {torch.__version__}, backend {__version__}"
        free_bytes = self._room.device_bytes
        self._device += f", {plan.seen_sources} sources" if plan.seen_sources > 1 else ""
        device = self._device if shares == 1 else f"{self._device}, one of {shares}"
        self._attempt = Attempt(model.fingerprint(as_held=False), device, plan.width, plan.height, at_once, free_bytes)
        self.plan = self._begun()
        self.notes = [EIGHT_BIT_NOTE] if self.plan.eight_bit else []
        """Sentences about it for the finished take."""
        log.info("memory: %s, %.2f GB free on %s", self.plan, free_bytes / 1e9, model.device)

    def go_on_alone(self) -> None:
        """Have the plan of a card that holds all of the transformer by itself."""
        self._room, self._attempt = replace(self._room, shares=1), replace(self._attempt, device=self._device)
        self.plan = self._begun()
        self.notes += [EIGHT_BIT_NOTE] if self.plan.eight_bit and EIGHT_BIT_NOTE not in self.notes else []
        log.info("memory, alone: %s", self.plan)

    def _begun(self) -> MemoryPlan:
        """The plan that a job begins with here, by what is free and what failed before."""
        plan = self._room.plan()
        for known in self._history.limits_for(self._attempt):
            plan = fallbacks.smaller_of(plan, known, self._room.needs)
        return plan

    @property
    def device_bytes(self) -> int:
        """What was free for the job on the device when it began."""
        return self._room.device_bytes

    @property
    def on_cpu(self) -> bool:
        """True where the device's memory is the machine's."""
        return self._room.on_cpu

    def learn_of_spilling(self) -> None:
        """The driver moved some of it to the machine's memory: the plan stays, and later jobs begin with a smaller."""
        room = self._room
        lower = fallbacks.next_smaller_plan(self.plan, room.needs, "transformer", room.host_bytes, room.on_cpu)
        log.warning("the card's memory was full at %s: later jobs begin with %s", self.plan, lower)
        if lower is not None:
            self._history.record(self._attempt, lower)
        self.notes.append(SENTENCE)

    def shrink(self, failed_component: str, tiny_decoder: bool = False) -> bool:
        """Take the next smaller plan, as memory ran out while `failed_component` worked; False if there is none.

        With `tiny_decoder`, the tiny autoencoder could decode in place of the model's own.
        """
        room = self._room
        lower = fallbacks.next_smaller_plan(
            self.plan, room.needs, failed_component, room.host_bytes, room.on_cpu, tiny_decoder
        )
        if lower is None:
            return False
        log.warning("out of memory at %s: after %s comes %s", failed_component or "the footage", self.plan, lower)
        before, self.plan = self.plan, lower
        self._history.record(self._attempt, lower)
        place = Sentence("The machine") if room.on_cpu else Sentence("The graphics card")
        # Weights in 8 bit can't go on from steps that others made.
        again = lower.eight_bit and not before.eight_bit
        self.notes = [
            (
                Sentence(
                    "{place} ran out of memory; the take started again with less of the model in memory at once, "
                    "and later takes will start that way."
                )
                if again
                else Sentence(
                    "{place} ran out of memory; the take continued from its last step with less of the model in "
                    "memory at once, and later takes will start that way."
                )
            ).with_values(place=place),
            *([EIGHT_BIT_NOTE] if lower.eight_bit else []),
        ]
        return True
