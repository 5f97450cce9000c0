"""Takes of an evaluation as pictures for the model card, a row a take. May import torch, PIL and numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from . import tasks
from .painting import Painter

SHOWN_FRAMES = 4
SHOWN_SIZE = (72, 128)
TEXT_ROWS = 10
STILLS, NEIGHBOURS, BEGINNINGS, GUIDED = 3, 2, 2, 4
"""Rows of the other sheet, in the order in which the evaluation paints them."""


class Sheets:
    """A painter that remembers what `paint` has painted."""

    def __init__(self, paint: Painter) -> None:
        self._paint = paint
        self._words: list[Tensor] = []
        self._pictures: list[Tensor] = []

    def __call__(self, prompt: str, seed: int, condition: tasks.Condition | None) -> Tensor:
        """A take CTHW in 0..1."""
        take = self._paint(prompt, seed, condition)
        (self._words if condition is None else self._pictures).append(take[:, _moments(take.shape[1])])
        return take

    def save(self, folder: Path, each: int, filled: int) -> None:
        """`text.png` and `pictures.png`; `filled` gaps were filled and `each` takes painted of every other task."""
        begins = [0, each, each + filled, 2 * each + filled]
        rows = [self._pictures[begin:][:count] for begin, count in zip(begins, _ROWS, strict=True)]
        folder.mkdir(parents=True, exist_ok=True)
        _sheet(self._words[:TEXT_ROWS]).save(folder / "text.png")
        _sheet([take for row in rows for take in row]).save(folder / "pictures.png")


_ROWS = (STILLS, NEIGHBOURS, BEGINNINGS, GUIDED)


def _moments(frames: int) -> list[int]:
    return [round(number * (frames - 1) / (SHOWN_FRAMES - 1)) for number in range(SHOWN_FRAMES)]


def _sheet(takes: Sequence[Tensor]) -> Image.Image:
    rows = []
    for take in takes:
        small = F.interpolate(take.transpose(0, 1), SHOWN_SIZE, mode="area").clamp(0, 1)
        pixels = (small * 255).round().byte().permute(0, 2, 3, 1).numpy()
        rows.append(np.concatenate(list(pixels), axis=1))
    return Image.fromarray(np.concatenate(rows, axis=0))
