"""Each step's clip, time and noise: by the training's seed and the step's number alone, whatever came before it.

So a training that goes on after a kill needs nothing kept of a generator's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEP_SEEDS, EPOCH_SEEDS = 1_000_003, 7_368_787
MAX_DRAWS = 1000


@dataclass(frozen=True)
class Times:
    """The shares of noise that are trained: logit-normal, shifted to the noisy ones, within a part of them."""

    shift: float
    least: float = 0.0
    most: float = 1.0
    """Of a model with two experts, each has its part."""

    def draw(self, generator: torch.Generator) -> float:
        """A share of noise, 0 to 1."""
        for _ in range(MAX_DRAWS):
            plain = float(torch.sigmoid(torch.randn((), generator=generator, dtype=torch.float64)))
            share = self.shift * plain / (1 + (self.shift - 1) * plain)
            if self.least <= share <= self.most:
                return share
        return self.least + (self.most - self.least) * float(torch.rand((), generator=generator))


@dataclass(frozen=True)
class NoisedClip:
    """Latents with noise, and what leads from one to the other."""

    share: float
    noised: Tensor
    velocity: Tensor
    """The noise minus the latents: what the transformer is to say."""

    @classmethod
    def of(cls, latents: Tensor, times: Times, seed: int, step: int) -> NoisedClip:
        """The latents (1, C, T, h, w), float32, as that step has them."""
        generator = torch.Generator("cpu").manual_seed((seed * STEP_SEEDS + step) % (1 << 63))
        share = times.draw(generator)
        noise = torch.randn(latents.shape, generator=generator, dtype=torch.float32).to(latents.device)
        return cls(share, torch.lerp(latents, noise, share), noise - latents)


def clip_of(step: int, clips: int, seed: int) -> int:
    """The number of the clip of that step: each comes once before any comes again."""
    epoch, place = divmod(step, clips)
    generator = torch.Generator("cpu").manual_seed((seed * EPOCH_SEEDS + epoch) % (1 << 63))
    return int(torch.randperm(clips, generator=generator)[place])


def preserves(step: int, share: float) -> bool:
    """Whether that step teaches the model to stay as it was: a share of all, evenly."""
    return int((step + 1) * share) > int(step * share)
