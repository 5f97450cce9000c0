"""What a model for edits sees beside the take: footage and pictures, as clean latents in the same sequence.

Bernini-R (Liu et al. 2026, arXiv 2605.22344) is a text to video transformer, weight for weight of the same shapes. It
edits because it was trained with the sources' tokens before those of the take: embedded by the same layer, at the
take's own time, attending and attended to like all others. Each source lies on a grid of its own that begins at the
origin, and is told from the others by one turn of all of its rotary positions: of source n, channel pair k of D / 2
turns by n / 10000^(2k / D) more. The take is source 0, which turns by nothing, so without sources the transformer is
the text to video model that it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines (1, S, 1, D) of each token's rotary positions; each number stands twice."""

THETA = 10000.0
MOST_SOURCES = 5
"""The highest number of a source in training; more of them would have numbers that the model has never seen."""


def rotary_with(sources: Sequence[Tensor], latents: Tensor, rope: Callable[[Tensor], Rotary]) -> Rotary:
    """The rotary positions of the tokens of `sources` and, after them, of `latents`; all are (1, C, T, H, W).

    Raises ValueError for more sources than a model knows.
    """
    if len(sources) > MOST_SOURCES:
        raise ValueError(f"{len(sources)} sources, of which the model knows {MOST_SOURCES}")
    if not sources:
        return rope(latents)
    tables = [_turned(rope(source), number) for number, source in enumerate(sources, 1)]
    cosines, sines = zip(*tables, rope(latents), strict=True)
    return torch.cat(cosines, dim=1), torch.cat(sines, dim=1)


def _turned(rotary: Rotary, number: int) -> Rotary:
    """Positions turned by those of source `number`, which is the same turn for each of its tokens."""
    cos, sin = rotary
    channels = cos.shape[-1]
    pairs = torch.arange(0, channels, 2, dtype=torch.float64)
    turn = (number * torch.exp(pairs * (-math.log(THETA) / channels))).repeat_interleave(2)
    by_cos, by_sin = turn.cos().to(cos), turn.sin().to(cos)
    return cos * by_cos - sin * by_sin, sin * by_cos + cos * by_sin
