"""Which transformer makes which steps: one makes all of them, or two experts share them.

Wan 2.2 A14B has a high-noise expert for the first steps, which settle what is where, and a low-noise expert for the
rest, which draw the detail. They are never needed at once: if the memory plan says so, the first is unloaded before
the second is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from ..loading.residency import PlacedModel
from ..protocol.messages import Plan


@dataclass(frozen=True)
class DenoisingExpert:
    """A transformer, and which steps it makes."""

    use: Callable[[], AbstractContextManager[Any]]
    """A context in which the transformer is on the device where it is to run."""
    guidance_scale: float
    """If it is at most 1, the transformer runs once a step, not twice."""
    down_to: float = 0.0
    """It makes the steps at this time or above that no expert before it makes."""
    component: str = "transformer"


@dataclass(frozen=True)
class Turn:
    """Consecutive steps that one expert makes."""

    expert: DenoisingExpert
    steps: range


def experts_of(placement: PlacedModel, plan: Plan, trained_timesteps: int) -> list[DenoisingExpert]:
    """The model's transformer, or its high-noise and then its low-noise expert."""
    boundary = placement.model.boundary
    if boundary is None:
        return [DenoisingExpert(partial(placement.use, "transformer"), plan.guidance_scale)]
    low = plan.guidance_scale if plan.low_noise_guidance_scale is None else plan.low_noise_guidance_scale
    return [
        DenoisingExpert(partial(placement.use, "transformer"), plan.guidance_scale, boundary * trained_timesteps),
        DenoisingExpert(partial(placement.use, "transformer_2"), low, component="transformer_2"),
    ]


def turns(experts: Sequence[DenoisingExpert], timesteps: Sequence[float], first_step: int = 0) -> Iterator[Turn]:
    """The turns for the steps from `first_step` on, in order; `timesteps` are the times of all steps, falling."""

    def maker(step: int) -> int:
        return next((n for n, expert in enumerate(experts) if timesteps[step] >= expert.down_to), len(experts) - 1)

    for index, group in groupby(range(first_step, len(timesteps)), key=maker):
        steps = list(group)
        yield Turn(experts[index], range(steps[0], steps[-1] + 1))
