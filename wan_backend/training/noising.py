"""Each step's clip, time and noise: by the training's seed and the step's number alone, whatever came before it.

So a training that goes on after a kill needs nothing kept of a generator's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEP_SEEDS, EPOCH_SEEDS = 1_000_003, 7_368_787
MAX_DRAWS = 1000
NOISY_FROM = 0.9
"""Shares of noise from which on little is to be seen of a clip: there a model settles what a picture is like."""
EMPTY_EVERY = 10
"""In one of so many steps that keep the model as it was, the caption is empty: guidance leads away from that one."""


@dataclass(frozen=True)
class Times:
    """The shares of noise that are trained: logit-normal, shifted to the noisy ones, within a part of them; some of
    them evenly from the noisiest."""

    shift: float
    least: float = 0.0
    most: float = 1.0
    """Of a model with two experts, each has its part."""
    noisy_share: float = 0.0
    """How many of them are drawn evenly from NOISY_FROM on; none where the part ends before that."""

    def draw(self, generator: torch.Generator) -> float:
        """A share of noise, 0 to 1."""
        if self.noisy_share and self.most > NOISY_FROM and _evenly(0.0, 1.0, generator) < self.noisy_share:
            return _evenly(max(self.least, NOISY_FROM), self.most, generator)
        for _ in range(MAX_DRAWS):
            plain = float(torch.sigmoid(torch.randn((), generator=generator, dtype=torch.float64)))
            share = self.shift * plain / (1 + (self.shift - 1) * plain)
            if self.least <= share <= self.most:
                return share
        return _evenly(self.least, self.most, generator)


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


def is_empty(step: int) -> bool:
    """Whether the caption by which that step keeps the model as it was is the empty one."""
    return step % EMPTY_EVERY == EMPTY_EVERY - 1


def _evenly(least: float, most: float, generator: torch.Generator) -> float:
    return least + (most - least) * float(torch.rand((), generator=generator))
