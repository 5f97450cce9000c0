"""Which transformer makes which steps: one all of them, or two experts one after the other. May import torch, models.

Wan 2.2 A14B has an expert for the noisy steps, which settle what is where, and one for the rest, which draws it. Both
are never needed at once: the first leaves before the second comes, where the memory plan wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from ..loading.residency import Placement
from ..protocol.messages import Plan


@dataclass(frozen=True)
class Expert:
    """A transformer, and the steps that it makes."""

    use: Callable[[], AbstractContextManager[Any]]
    """The transformer, where it is to run, for as long as the context lasts."""
    guidance_scale: float
    """At most 1: the transformer runs once a step, not twice."""
    down_to: float = 0.0
    """It makes the steps whose time is this or later, of those that no expert before it makes."""


@dataclass(frozen=True)
class Turn:
    """Steps, one after another, that one expert makes."""

    expert: Expert
    steps: range


def experts_of(placement: Placement, plan: Plan, trained_timesteps: int) -> list[Expert]:
    """The model's transformer, or its two experts in the order in which they work."""
    boundary = placement.model.boundary
    if boundary is None:
        return [Expert(partial(placement.use, "transformer"), plan.guidance_scale)]
    low = plan.guidance_scale if plan.low_noise_guidance_scale is None else plan.low_noise_guidance_scale
    return [
        Expert(partial(placement.use, "transformer"), plan.guidance_scale, boundary * trained_timesteps),
        Expert(partial(placement.use, "transformer_2"), low),
    ]


def turns(experts: Sequence[Expert], timesteps: Sequence[float], first_step: int = 0) -> Iterator[Turn]:
    """Who makes the steps from `first_step` on, in order; `timesteps` are the times of all steps, falling."""

    def maker(step: int) -> int:
        return next((n for n, expert in enumerate(experts) if timesteps[step] >= expert.down_to), len(experts) - 1)

    for index, group in groupby(range(first_step, len(timesteps)), key=maker):
        steps = list(group)
        yield Turn(experts[index], range(steps[0], steps[-1] + 1))
