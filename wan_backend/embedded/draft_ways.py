"""The ways that the Draft LoRA learns: where the guided model stands at the draft's times, from noise to clip.

May import torch. A way is made as a standard take is: with its sampler, steps and guidance.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import standin, tasks
from . import train_transformer as base
from .latent_pool import LatentPool
from .pacing import Pace, say

STEPS, GUIDANCE_SCALE = 8, 1.5
"""Of a standard take, as the catalogue has them."""
DRAFT_STEPS = 4
"""Of a draft with its LoRA, without guidance."""


def draft_sigmas() -> list[float]:
    """The five ends of the four steps, from noise to clip, shifted as the scheduler has them."""
    return [base.shifted(1 - step / DRAFT_STEPS) for step in range(DRAFT_STEPS + 1)]


@torch.no_grad()
def walked(painter: base.Painter, noise: Tensor, control: Tensor, ids: Tensor, null_ids: Tensor) -> Tensor:
    """The way from that noise N16THW, at each of the draft's ends: N x 5 x 16THW in bfloat16."""
    scheduler: Any = standin.make_scheduler()
    scheduler.set_timesteps(STEPS, device=noise.device)
    x, stands = noise.float(), [noise]
    for step, timestep in enumerate(scheduler.timesteps):
        sigma = (timestep / 1000).expand(len(x)).to(x)
        said = painter.velocity(x, sigma, control, ids).float()
        unsaid = painter.velocity(x, sigma, control, null_ids.expand_as(ids)).float()
        x = scheduler.step(unsaid + GUIDANCE_SCALE * (said - unsaid), timestep, x, return_dict=False)[0]
        if (step + 1) % (STEPS // DRAFT_STEPS) == 0:
            stands.append(x)
    return torch.stack([each.to(torch.bfloat16) for each in stands], dim=1)


class Ways:
    """Ways of clips of a pool, with what they were asked for, held on the device."""

    def __init__(self, painter: base.Painter, pool: LatentPool, null_ids: Tensor, seconds: float, chunk: int) -> None:
        """As many as are made in so long, `chunk` at a time."""
        pace, made = Pace(seconds / 60), []
        while True:
            x, _, inactive, reactive, mask, _, ids = pool.take(chunk, null_ids, 0.0)
            control = tasks.control(inactive.float(), reactive.float(), mask)
            with torch.autocast(null_ids.device.type, torch.bfloat16):
                way = walked(painter, torch.randn_like(x), control, ids, null_ids)
            made.append((way, inactive, reactive, mask, ids))
            if pace.over:
                break
        self.held = [torch.cat(parts) for parts in zip(*made, strict=True)]
        say(f"{len(self.held[0])} ways")

    def take(self, count: int) -> list[Tensor]:
        """way, inactive, reactive, mask, ids of a random batch."""
        rows = torch.randint(len(self.held[0]), (count,), device=self.held[0].device)
        return [each[rows] for each in self.held]


def loss_of(painter: base.Painter, *batch: Tensor) -> tuple[Tensor, Tensor]:
    """How far the draft's own four steps come from where the guided model stands: to learn from, and at the end alone.

    Each step begins where the one before ended, so that the draft learns to make up for its own errors.
    """
    way, inactive, reactive, mask, ids = batch
    control = tasks.control(inactive.float(), reactive.float(), mask)
    ends = draft_sigmas()
    x = way[:, 0].float()
    loss = missed = torch.zeros((), device=x.device)
    for step in range(DRAFT_STEPS):
        length = ends[step] - ends[step + 1]
        velocity = painter.velocity(x, x.new_full((len(x),), ends[step]), control, ids).float()
        arrived = x - length * velocity
        missed = (arrived - way[:, step + 1].float()).square().mean()
        loss = loss + missed / length
        x = arrived.detach()
    return loss, missed
