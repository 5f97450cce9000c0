"""What the Draft LoRA learns: standard takes, and the noise that they were made of.

May import torch. They are made as the backend makes them: with the sampler, steps and guidance of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from wan_backend.bench import tiny_checkpoint

from . import tasks
from . import train_transformer as base
from .latent_pool import LatentPool
from .pacing import Pace, say

STEPS, GUIDANCE_SCALE = 8, 1.5
"""Of a standard take, as the catalogue has them."""
DRAFT_STEPS = 4
"""Of a draft with its LoRA, without guidance."""
EPSILON = 1e-4
"""As near as this, as a mean square of normalised latents, a take counts as met."""


@cache
def sampled(steps: int) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """The times 0..1 of so many steps, and of each what stands after it: shares of the noise and of each velocity.

    The sampler is linear in what it is given, so it is asked with the unit vectors for noise and velocities: a CUDA
    graph can't hold diffusers' own step, which looks at numbers on the host.
    """
    scheduler: Any = tiny_checkpoint.make_scheduler()
    scheduler.set_timesteps(steps)
    units = torch.eye(steps + 1, dtype=torch.float64).unsqueeze(1)
    x, shares = units[0], []
    for step, timestep in enumerate(scheduler.timesteps):
        x = scheduler.step(units[step + 1], timestep, x, return_dict=False)[0]
        shares.append(tuple(x[0].tolist()))
    return tuple(float(timestep) / 1000 for timestep in scheduler.timesteps), tuple(shares)


def led_to(noise: Tensor, velocities: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Where the velocities so far lead from the noise."""
    x = shares[0] * noise
    for share, velocity in zip(shares[1 : len(velocities) + 1], velocities, strict=True):
        x = x + share * velocity
    return x


def _taken(noise: Tensor, steps: int, velocity_of: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The clip that so many steps make of the noise, by what is said of the noisy clip and its time N."""
    x, velocities = noise.float(), []
    for time, shares in zip(*sampled(steps), strict=True):
        velocities.append(velocity_of(x, x.new_full((len(x),), time)))
        x = led_to(noise.float(), velocities, shares)
    return x


@torch.no_grad()
def standard(painter: base.Painter, noise: Tensor, control: Tensor, ids: Tensor, null_ids: Tensor) -> Tensor:
    """The clip N16THW, clean, that a standard take makes of that noise."""

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        said = painter.velocity(x, sigma, control, ids).float()
        unsaid = painter.velocity(x, sigma, control, null_ids.expand_as(ids)).float()
        return unsaid + GUIDANCE_SCALE * (said - unsaid)

    return _taken(noise, STEPS, guided)


def draft(painter: base.Painter, noise: Tensor, control: Tensor, ids: Tensor) -> Tensor:
    """The clip that a draft makes of the same."""
    return _taken(noise, DRAFT_STEPS, lambda x, sigma: painter.velocity(x, sigma, control, ids).float())


class Takes:
    """Standard takes of what a pool asks for, held on the device."""

    def __init__(self, painter: base.Painter, pool: LatentPool, null_ids: Tensor, seconds: float, chunk: int) -> None:
        """As many as are made in so long, `chunk` at a time."""
        pace, made = Pace(seconds / 60), []
        device = null_ids.device
        while True:
            x, _, inactive, reactive, mask, _, ids = pool.take(chunk, null_ids, 0.0)
            control, noise = tasks.control(inactive.float(), reactive.float(), mask), torch.randn_like(x)
            with torch.autocast(device.type, torch.bfloat16):
                clip = standard(painter, noise, control, ids, null_ids).to(x)
            made.append((noise, clip, inactive, reactive, mask, ids))
            if pace.over:
                break
        self.held = [torch.cat(parts) for parts in zip(*made, strict=True)]
        say(f"{len(self.held[0])} takes")

    def take(self, count: int) -> list[Tensor]:
        """noise, clip, inactive, reactive, mask, ids of a random batch."""
        rows = torch.randint(len(self.held[0]), (count,), device=self.held[0].device)
        return [each[rows] for each in self.held]


def loss_of(painter: base.Painter, *batch: Tensor) -> tuple[Tensor, Tensor]:
    """How far drafts are from the standard takes of the same noise: to learn from, and as a mean square.

    The gradient goes back through all four steps. In the logarithm, as in dB, takes that went elsewhere altogether
    don't count for more than all the others.
    """
    noise, clip, inactive, reactive, mask, ids = batch
    control = tasks.control(inactive.float(), reactive.float(), mask)
    missed = (draft(painter, noise, control, ids) - clip.float()).square().flatten(1).mean(1)
    return (missed + EPSILON).log().mean(), missed.mean()
