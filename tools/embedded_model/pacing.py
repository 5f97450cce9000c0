"""What the training runs share: a clock that paces the learning rate, averaging, saving.

May import torch and safetensors. Runs are paced by minutes, not steps: a lease ends on time.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


class Pace:
    """Progress 0..1 through `minutes`; `done` minutes of `total` lie behind from earlier runs."""

    def __init__(self, minutes: float, *, done: float = 0.0, total: float | None = None) -> None:
        self.start = time.monotonic()
        self.minutes = minutes
        self.done = done
        self.total = total or (done + minutes)

    @property
    def elapsed(self) -> float:
        return (time.monotonic() - self.start) / 60

    @property
    def over(self) -> bool:
        return self.elapsed >= self.minutes

    @property
    def progress(self) -> float:
        return min(1.0, (self.done + self.elapsed) / self.total)

    def rate(self, peak: float, *, floor: float = 0.02) -> float:
        """Cosine from `peak` to `floor * peak`, with eight seconds of warm-up in each run."""
        warm = min(1.0, self.elapsed * 60 / 8 + 0.02)
        return warm * peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * self.progress)))


class Average:
    """The exponential average of a model's float32 weights: what is saved and shipped."""

    def __init__(self, model: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.live = list(model.parameters())
        self.kept = [p.detach().clone() for p in self.live]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.kept, [p.detach() for p in self.live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the live weights with the average; a second call undoes it."""
        for live, kept in zip(self.live, self.kept, strict=True):
            held = live.detach().clone()
            live.copy_(kept)
            kept.copy_(held)


def say(text: str) -> None:
    """A line of the log."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def save_split(folder: Path, name: str, state: dict[str, Tensor], parts: int) -> None:
    """Save tensors as float32 over `parts` files of about equal size."""
    folder.mkdir(parents=True, exist_ok=True)
    limit = sum(t.numel() for t in state.values()) / parts
    groups: list[dict[str, Tensor]] = [{} for _ in range(parts)]
    filled = 0
    for key, tensor in state.items():
        groups[min(parts - 1, int(filled / limit))][key] = (
            tensor.detach().cpu().to(torch.float32, copy=True).contiguous()
        )
        filled += tensor.numel()
    for i, group in enumerate(groups):
        save_file(group, folder / f"{name}-{i}.safetensors")


def load_split(files: Iterable[Path]) -> dict[str, Tensor]:
    """What `save_split` saved."""
    state: dict[str, Tensor] = {}
    for file in files:
        state.update(load_file(file))
    return state
