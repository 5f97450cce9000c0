"""A plan in the making: what it is made from, what is settled so far, and how steps go on with it.

A step is a function that takes the draft and returns the next one, or the problem that it found. The first problem is
the plan's; the steps after it go on all the same, so that a refused plan still says its size, length and memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..catalogue.entries import ModelEntry
from ..library.locate import LocatedModel, UnavailableModel
from ..memory.forecast import Machine
from ..protocol.messages import FrameRate, Plan, Problem, ProblemKind, Sampler, Source, TakeRequest
from ..protocol.sentences import Sentence
from .calibrations import Calibrations
from .measured_ways import MeasuredWays

NOT_SEARCHED = Problem(
    ProblemKind.MODEL_MISSING, Sentence("It is not yet known whether this model is on this machine.")
)


@dataclass(frozen=True)
class Inventory:
    """What this machine has to make takes with."""

    find: Callable[[ModelEntry], LocatedModel | UnavailableModel] = lambda _entry: UnavailableModel(NOT_SEARCHED)
    """Where a model of the catalogue is."""
    models_folders: Sequence[str] = ()
    """Where LoRAs and tiny autoencoders are looked for, besides the cache of Hugging Face."""
    machine: Machine | None = None
    """None if it isn't known yet."""
    memory_budget_bytes: int | None = None
    """What may be used of the device; None for all of it."""
    source_problem: Callable[[Source], Problem | None] = lambda _source: None
    """What is known to be wrong with a source's files."""
    calibrations: Calibrations = field(default_factory=Calibrations)
    """What was measured of models for the step cache."""
    ways: MeasuredWays = field(default_factory=MeasuredWays)
    """How quick takes were in each way in which several cards can share one."""
    tries_ways: bool = False
    """True if takes are made in all of these ways, to measure them."""


@dataclass(frozen=True)
class Draft:
    """A request for a model, and the plan for it as far as it is settled."""

    request: TakeRequest
    entry: ModelEntry
    plan: Plan
    loras: Collection[str] = ()
    """Ids of the catalogue's LoRAs that are on this machine and fit the model's files."""
    inventory: Inventory = field(default_factory=Inventory)
    model: LocatedModel | UnavailableModel = field(default_factory=lambda: UnavailableModel(NOT_SEARCHED))
    """The model's own files."""

    def with_plan(self, *notes: Sentence, **values: Any) -> Draft:
        """The draft with those values of its plan, and more notes."""
        return replace(self, plan=replace(self.plan, **values, notes=[*self.plan.notes, *notes]))

    def with_problem(self, problem: Problem | None) -> Draft:
        """The draft with that problem, unless it has one already."""
        return replace(self, plan=replace(self.plan, problem=self.plan.problem or problem))


Step = Callable[[Draft], Draft | Problem]


def run_steps(draft: Draft, steps: Iterable[Step]) -> Draft:
    """The draft after all steps."""
    for step in steps:
        outcome = step(draft)
        draft = draft.with_problem(outcome) if isinstance(outcome, Problem) else outcome
    return draft


def unless_refused(step: Step) -> Step:
    """The step, left out if the draft has a problem already: nothing is looked for on a disk in vain."""
    return lambda draft: draft if draft.plan.problem is not None else step(draft)


def empty_plan(request: TakeRequest, problem: Problem | None = None) -> Plan:
    """A plan in which nothing is settled; with a problem, that of a request whose model is not known."""
    return Plan(request.model, 0, 0, 0, FrameRate(1), 0, 0, 0.0, 0.0, Sampler.UNIPC, problem=problem)
