"""Takes that are longer than the transformer's window: overlapping windows whose velocities are blended.

The latents of the whole take are one tensor. At each step the transformer runs on one window after another; where two
overlap, their velocities are blended by linear weights, so all windows take the same step and nothing drifts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..planning.lengths import window_count


@dataclass(frozen=True)
class Window:
    """Latent frames `start` to `end_exclusive` of the take, and the weight of the window for each."""

    start: int
    end_exclusive: int
    weights: tuple[float, ...]


def plan_windows(frames: int, most: int) -> list[Window]:
    """Windows of at most `most` latent frames that cover `frames`, evenly spread; weights add up to 1 everywhere.

    `most` of 0 is no limit. A window's first frame has the smallest weight, because a transformer takes it for the
    film's single first picture.
    """
    count = window_count(frames, most)
    if count == 1:
        return [Window(0, frames, (1.0,) * frames)]
    starts = [(frames - most) * index // (count - 1) for index in range(count)]
    ramps = [_ramps(starts, index, most) for index in range(count)]
    total = [0.0] * frames
    for start, ramp in zip(starts, ramps, strict=True):
        for place, weight in enumerate(ramp):
            total[start + place] += weight
    return [
        Window(start, start + most, tuple(weight / total[start + place] for place, weight in enumerate(ramp)))
        for start, ramp in zip(starts, ramps, strict=True)
    ]


Velocity = Callable[[int, torch.Tensor], torch.Tensor]
"""The transformer's prediction for the n-th window's latents; it has their shape."""


def blended(latents: torch.Tensor, references: int, windows: Sequence[Window], velocity: Velocity) -> torch.Tensor:
    """The velocity of all of `latents` (1, C, references + T, h, w): `velocity(n, section)` of each window, blended.

    The first `references` latent frames are put before every window; for them, all windows have the same weight.
    """
    if len(windows) == 1:
        return velocity(0, latents)
    whole = torch.zeros_like(latents)
    for index, window in enumerate(windows):
        seen = velocity(index, section(latents, references, window)).to(latents.dtype)
        weights = torch.tensor(window.weights, dtype=latents.dtype, device=latents.device).view(1, 1, -1, 1, 1)
        whole[:, :, :references] += seen[:, :, :references] / len(windows)
        place = slice(references + window.start, references + window.end_exclusive)
        whole[:, :, place] += seen[:, :, references:] * weights
    return whole


def section(whole: torch.Tensor, references: int, window: Window) -> torch.Tensor:
    """The latent frames of a tensor (1, C, references + T, h, w) for `window`: the references, then its own."""
    own = whole[:, :, references + window.start : references + window.end_exclusive]
    return torch.cat([whole[:, :, :references], own], dim=2) if references else own


def _ramps(starts: Sequence[int], index: int, length: int) -> list[float]:
    """Weights that rise over the overlap with the window before and fall over the one with the window after."""
    before = starts[index - 1] + length - starts[index] if index else 0
    after = starts[index] + length - starts[index + 1] if index + 1 < len(starts) else 0
    rising = [(place + 1) / (before + 1) if place < before else 1.0 for place in range(length)]
    falling = [(length - place) / (after + 1) if length - place <= after else 1.0 for place in range(length)]
    return [min(pair) for pair in zip(rising, falling, strict=True)]
