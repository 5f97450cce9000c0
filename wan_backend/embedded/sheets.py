"""Takes of an evaluation as pictures for the model card, a row a take under its prompt.

Beside a take that was made from pictures stands what it was given, grey where nothing was. May import torch, PIL and
numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from . import tasks
from .painting import Painter

SHOWN_FRAMES = 4
SHOWN_SIZE = (72, 128)
LABEL_HEIGHT = 14
TEXT_ROWS = 10
STILLS, NEIGHBOURS, BEGINNINGS, GUIDED = 3, 2, 2, 4
"""Rows of the other sheet, in the order in which the evaluation paints them."""


@dataclass(frozen=True)
class _Shown:
    """A take's prompt, and what was given and made, CTHW in 0..1 at a few moments."""

    prompt: str
    frames: Tensor


class Sheets:
    """A painter that remembers what `paint` has painted."""

    def __init__(self, paint: Painter) -> None:
        self._paint = paint
        self._words: list[_Shown] = []
        self._pictures: list[_Shown] = []

    def __call__(self, prompt: str, seed: int, condition: tasks.Condition | None) -> Tensor:
        """A take CTHW in 0..1."""
        take = self._paint(prompt, seed, condition)
        shown = take[:, _moments(take.shape[1])]
        if condition is None:
            self._words.append(_Shown(prompt, shown))
        else:
            given = (condition.inactive + condition.reactive)[0, :, _moments(take.shape[1])] / 2 + 0.5
            self._pictures.append(_Shown(prompt, torch.cat([given, shown], dim=1)))
        return take

    def save(self, folder: Path, each: int, filled: int) -> None:
        """`text.png` and `pictures.png`; `filled` gaps were filled and `each` takes painted of every other task."""
        begins = [0, each, each + filled, 2 * each + filled]
        rows = [self._pictures[begin:][:count] for begin, count in zip(begins, _ROWS, strict=True)]
        folder.mkdir(parents=True, exist_ok=True)
        _sheet(self._words[:TEXT_ROWS]).save(folder / "text.png")
        _sheet([shown for row in rows for shown in row]).save(folder / "pictures.png")


_ROWS = (STILLS, NEIGHBOURS, BEGINNINGS, GUIDED)


def _moments(frames: int) -> list[int]:
    return [round(number * (frames - 1) / (SHOWN_FRAMES - 1)) for number in range(SHOWN_FRAMES)]


def _sheet(rows: Sequence[_Shown]) -> Image.Image:
    height, width = SHOWN_SIZE
    sheet = Image.new("RGB", (rows[0].frames.shape[1] * width, len(rows) * (LABEL_HEIGHT + height)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = number * (LABEL_HEIGHT + height)
        draw.text((3, top + 1), row.prompt, fill="black")
        small = F.interpolate(row.frames.transpose(0, 1), SHOWN_SIZE, mode="area").clamp(0, 1)
        pixels = (small * 255).round().byte().permute(0, 2, 3, 1).numpy()
        sheet.paste(Image.fromarray(np.concatenate(list(pixels), axis=1)), (0, top + LABEL_HEIGHT))
    return sheet
