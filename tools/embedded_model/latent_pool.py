"""Clips and their conditions, coded to latents ahead of training and held on the device.

May import torch. One pool is one size of clip; its entries are drawn until its time is over.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import prompts, tasks, text, world
from .autoencoder import WholeClip
from .pacing import Pace
from .scenes import COLOURS, SHAPES, Scene, is_held_out, sample_scenes

PROMPTS_EACH = 3
ASTRAY_SHARE = 0.75
"""Of the clips that words alone describe, how many are kept in another colour, shape or place, too."""


@dataclass
class Scale:
    """Mean and standard deviation of the latents, 16 numbers each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def measured(cls, latents: Tensor) -> Scale:
        """From latents N16THW."""
        return cls(latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4)))

    def normalize(self, latents: Tensor) -> Tensor:
        """Latents as the transformer sees them."""
        shape = (1, -1, 1, 1, 1)
        return (latents - self.mean.view(shape)) / self.std.view(shape)


def near_the_shape(masks: Tensor) -> Tensor:
    """N1THW of latent size: 1 where a latent or its neighbour shows some of the shape, from masks N1THW in 0..1."""
    small = F.max_pool3d(masks, (1, 8, 8))
    later = F.max_pool3d(small[:, :, 1:], (4, 1, 1)) if small.shape[2] > 1 else small[:, :, 1:]
    return (F.max_pool3d(torch.cat([small[:, :, :1], later], dim=2), (1, 3, 3), 1, (0, 1, 1)) > 0.2).to(masks)


class Coder:
    """Draws scenes, all in `look` where one is given, and codes them with a trained autoencoder.

    Without `led` no clip is led astray.
    """

    def __init__(
        self, vae: Any, tokenizer: Any, device: str, seed: int, look: str | None = None, *, led: bool = True
    ) -> None:
        self.whole = WholeClip(vae)  # compiling would take longer than it spares
        self._blank: dict[torch.Size, Tensor] = {}
        self.tokenizer = tokenizer
        self.device = device
        self.rng = random.Random(seed)
        self.look = look
        self.led_share = ASTRAY_SHARE if led else 0.0

    @torch.no_grad()
    def latents(self, clips: Tensor) -> Tensor:
        """The means, not normalised, of clips in -1..1."""
        with torch.autocast(self.device, torch.bfloat16):
            return self.whole.encode(clips)[0]

    def conditions(self, clips: Tensor) -> Tensor:
        """The same of conditions, of which many are blank (grey all over) and coded once for each size."""
        size = clips.shape[1:]
        if size not in self._blank:
            self._blank[size] = self.latents(torch.zeros_like(clips[:1]))
        out = self._blank[size].repeat(clips.shape[0], 1, 1, 1, 1)
        rows = clips.abs().amax((1, 2, 3, 4)).nonzero().flatten()
        if len(rows):
            out[rows] = self.latents(clips[rows])
        return out

    def batch(self, size: tuple[int, int, int], count: int) -> dict[str, Tensor]:
        """`count` clips: x, inactive, reactive (latents), mask (latent frames), near (the shape) and ids (prompts).

        And astray: the latents of clips whose colour or shape is not what their prompts say, latents half-way to a clip
        with the shape elsewhere, or x again.
        """
        scenes = sample_scenes(self.rng.randrange(10**6), count, frames=size[0])
        if self.look is not None:
            scenes = [replace(scene, look=self.look) for scene in scenes]
        drawn = self._draw(scenes, size)
        names = self.rng.choices(list(tasks.WEIGHTS), list(tasks.WEIGHTS.values()), k=count)
        condition = tasks.prepare(names, scenes, drawn, self.rng)
        led = [name == "text" and self.rng.random() < self.led_share for name in names]
        x = self.latents(drawn.frames * 2 - 1)
        astray = x.clone()
        if any(led):
            others = [self._altered(scene) for scene, is_led in zip(scenes, led, strict=True) if is_led]
            way = self.latents(self._draw([other for other, _ in others], size).frames * 2 - 1) - x[led]
            astray[led] += way * torch.tensor([share for _, share in others]).to(way).view(-1, 1, 1, 1, 1)
        ids = [self._prompts(*each) for each in zip(scenes, names, led, strict=True)]
        return {
            "x": x,
            "astray": astray,
            "inactive": self.conditions(condition.inactive),
            "reactive": self.conditions(condition.reactive),
            "mask": tasks.latent_mask(condition.mask, x.shape[2]),
            "near": near_the_shape(drawn.mask).to(torch.bfloat16),
            "ids": torch.stack(ids).to(self.device),
        }

    def _draw(self, scenes: list[Scene], size: tuple[int, int, int]) -> world.Drawing:
        frames, height, width = size
        return world.draw(scenes, frames=frames, height=height, width=width, device=self.device)

    def _prompts(self, scene: Scene, task: str, led: bool) -> Tensor:
        said = [0.95, 0.5, 0.0] if task in tasks.CONTROLS else [1.0 if led else 0.92] * PROMPTS_EACH
        return text.tokenize(self.tokenizer, [prompts.describe(scene, self.rng, said=chance) for chance in said])

    def _altered(self, scene: Scene) -> tuple[Scene, float]:
        """The scene in another colour, shape or place, and how far a clip may go there.

        Which colour and which shape is right, the prompt says. Which place is, nothing says but the clip itself, so it
        must not come nearer to the other one.
        """
        what = self.rng.choice(("colour", "shape", "place"))
        if what == "place":
            x, y = (self.rng.choice((-1, 1)) * self.rng.uniform(0.03, 0.2) for _ in range(2))
            growth = self.rng.uniform(0.7, 1.4)
            return replace(scene, x=scene.x + x, y=scene.y + y, radius=scene.radius * growth), 0.5
        if what == "colour":
            others = [replace(scene, colour=word) for word in COLOURS]
        else:
            others = [replace(scene, shape=word) for word in SHAPES]
        drawn = [other for other in others if other != scene and not is_held_out(other.words)]
        return self.rng.choice(drawn), 1.0


class LatentPool:
    """The coded clips of one size, the oldest replaced by new ones as training goes on."""

    def __init__(self, coder: Coder, size: tuple[int, int, int], chunk: int, room: int) -> None:
        """Room for `room` clips, filled `chunk` at a time."""
        self.coder, self.size, self.chunk, self.room = coder, size, chunk, room
        self.held: dict[str, Tensor] = {}
        self.filled = self._next = 0

    def __len__(self) -> int:
        return self.filled

    def fill(self, scale: Scale | None, seconds: float = 0.0) -> Scale:
        """Code clips for so long, at least one chunk; measures the scale of the latents where there is none."""
        pace = Pace(seconds / 60)
        while True:
            made = self.coder.batch(self.size, self.chunk)
            scale = scale or Scale.measured(made["x"])
            for key in ("x", "astray", "inactive", "reactive"):
                made[key] = scale.normalize(made[key]).to(torch.bfloat16)
            self._put(made)
            if pace.over or self.filled == self.room:
                return scale

    def _put(self, made: dict[str, Tensor]) -> None:
        count = min(self.chunk, self.room)
        if not self.held:
            self.held = {key: value.new_empty(self.room, *value.shape[1:]) for key, value in made.items()}
        begin = min(self._next, self.room - count)
        for key, value in made.items():
            self.held[key][begin : begin + count] = value[:count]
        self.filled = max(self.filled, begin + count)
        self._next = (begin + count) % self.room

    def take(self, count: int, null_ids: Tensor, null_chance: float) -> tuple[Tensor, ...]:
        """x, astray, inactive, reactive, mask, near, ids of a random batch; some prompts are the empty one."""
        device = self.held["x"].device
        rows = torch.randint(len(self), (count,), device=device)
        which = torch.randint(PROMPTS_EACH, (count,), device=device)
        ids = self.held["ids"][rows, which]
        dropped = torch.rand(count, 1, device=device) < null_chance
        ids = torch.where(dropped, null_ids, ids)
        x = self.held["x"][rows]
        # Without words nothing tells that the colour or the shape is another one.
        astray = torch.where(dropped.view(-1, 1, 1, 1, 1), x, self.held["astray"][rows])
        return (x, astray, *(self.held[key][rows] for key in ("inactive", "reactive", "mask", "near")), ids)
