"""Clips and their conditions, coded to latents ahead of training and held on the device.

May import torch. One pool is one size of clip; its entries are drawn until its time is over.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from . import prompts, tasks, text, world
from .autoencoder import WholeClip
from .pacing import Pace
from .scenes import sample_scenes

PROMPTS_EACH = 3


@dataclass
class Scale:
    """Mean and standard deviation of the latents, 16 numbers each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def measured(cls, latents: Tensor) -> Scale:
        """From latents N16THW."""
        return cls(latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4)))

    def normalise(self, latents: Tensor) -> Tensor:
        """Latents as the transformer sees them."""
        shape = (1, -1, 1, 1, 1)
        return (latents - self.mean.view(shape)) / self.std.view(shape)


class Coder:
    """Draws scenes, all in `look` where one is given, and codes them with a trained autoencoder."""

    def __init__(self, vae: Any, tokenizer: Any, device: str, seed: int, look: str | None = None) -> None:
        self.whole = WholeClip(vae)
        self.tokenizer = tokenizer
        self.device = device
        self.rng = random.Random(seed)
        self.look = look

    @torch.no_grad()
    def latents(self, clips: Tensor) -> Tensor:
        """The means, not normalised, of clips in -1..1."""
        with torch.autocast(self.device, torch.bfloat16):
            return self.whole.encode(clips)[0]

    def batch(self, size: tuple[int, int, int], count: int) -> dict[str, Tensor]:
        """`count` clips: x, inactive, reactive (latents), mask (latent frames) and ids (prompts)."""
        frames, height, width = size
        scenes = sample_scenes(self.rng.randrange(10**6), count, frames=frames)
        if self.look is not None:
            scenes = [replace(scene, look=self.look) for scene in scenes]
        drawn = world.draw(scenes, frames=frames, height=height, width=width, device=self.device)
        names = self.rng.choices(list(tasks.WEIGHTS), list(tasks.WEIGHTS.values()), k=count)
        condition = tasks.prepare(names, scenes, drawn, self.rng)
        ids = []
        for name, scene in zip(names, scenes, strict=True):
            said = [0.92, 0.92, 0.92] if name not in tasks.CONTROLS else [0.95, 0.5, 0.0]
            texts = [prompts.describe(scene, self.rng, said=chance) for chance in said]
            ids.append(text.tokenize(self.tokenizer, texts))
        x = self.latents(drawn.frames * 2 - 1)
        return {
            "x": x,
            "inactive": self.latents(condition.inactive),
            "reactive": self.latents(condition.reactive),
            "mask": tasks.latent_mask(condition.mask, x.shape[2]),
            "ids": torch.stack(ids).to(self.device),
        }


class LatentPool:
    """The coded clips of one size."""

    def __init__(self, coder: Coder, size: tuple[int, int, int], seconds: float, chunk: int) -> None:
        parts: list[dict[str, Tensor]] = []
        pace = Pace(seconds / 60)
        while not parts or not pace.over:
            parts.append(coder.batch(size, chunk))
        self.held = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}

    def __len__(self) -> int:
        return self.held["x"].shape[0]

    def scale_by(self, scale: Scale) -> None:
        """Normalise all latents."""
        for key in ("x", "inactive", "reactive"):
            self.held[key] = scale.normalise(self.held[key]).to(torch.bfloat16)

    def take(self, count: int, null_ids: Tensor, null_chance: float) -> tuple[Tensor, ...]:
        """x, inactive, reactive, mask, ids of a random batch; some prompts are the empty one."""
        device = self.held["x"].device
        rows = torch.randint(len(self), (count,), device=device)
        which = torch.randint(PROMPTS_EACH, (count,), device=device)
        ids = self.held["ids"][rows, which]
        dropped = torch.rand(count, 1, device=device) < null_chance
        ids = torch.where(dropped, null_ids, ids)
        return (*(self.held[key][rows] for key in ("x", "inactive", "reactive", "mask")), ids)
