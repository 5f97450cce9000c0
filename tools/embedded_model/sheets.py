"""Takes of an evaluation as pictures for the model card, a row a take under its prompt.

Left of a take that was made from pictures stands what was given for it. May import torch, PIL and
numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
GAP = 8  # between what was given and the take, in pixels
TEXT_ROWS = 10
PICTURE_ROWS = (("image", 3), ("fill gap", 2), ("extend", 2), ("restyle", 2), ("depth", 2))
"""How many takes of each task are shown."""


@dataclass(frozen=True)
class _Shown:
    """A take and what was given for it, CTHW in 0..1 at a few moments, under a label."""

    label: str
    take: Tensor
    given: Tensor | None = None


class Sheets:
    """A painter that remembers what `paint` has painted."""

    def __init__(self, paint: Painter) -> None:
        self._paint = paint
        self._words: list[_Shown] = []
        self._pictures: list[_Shown] = []

    def __call__(self, prompt: str, seed: int, condition: tasks.Condition | None) -> Tensor:
        """A take CTHW in 0..1."""
        take = self._paint(prompt, seed, condition)
        moments = _moments(take.shape[1])
        if condition is None:
            self._words.append(_Shown(prompt, take[:, moments]))
        else:
            self._pictures.append(_Shown(prompt, take[:, moments], _given(condition)[:, moments]))
        return take

    def save(self, folder: Path, each: int, filled: int) -> None:
        """`text.png` and `pictures.png`; `filled` gaps were filled and `each` takes painted of every other task."""
        # In the order in which the evaluation paints them: restyle and depth in turn.
        painted = {
            "image": self._pictures[:each],
            "fill gap": self._pictures[each:][:filled],
            "extend": self._pictures[each + filled :][:each],
            "restyle": self._pictures[2 * each + filled :: 2],
            "depth": self._pictures[2 * each + filled + 1 :: 2],
        }
        rows: list[_Shown] = []
        for task, most in PICTURE_ROWS:
            rows += [replace(shown, label=f"{task}: {shown.label}") for shown in painted[task][:most]]
        folder.mkdir(parents=True, exist_ok=True)
        _sheet(self._words[:TEXT_ROWS]).save(folder / "text.png")
        _sheet(rows).save(folder / "pictures.png")


def _moments(frames: int) -> list[int]:
    return [round(number * (frames - 1) / (SHOWN_FRAMES - 1)) for number in range(SHOWN_FRAMES)]


def _given(condition: tasks.Condition) -> Tensor:
    """What was given, CTHW in 0..1; white where that was nothing."""
    given = (condition.inactive + condition.reactive)[0] / 2 + 0.5
    nothing = (condition.mask[0] == 1) & (condition.reactive[0].abs().amax((0, 2, 3)) == 0)
    return torch.where(nothing.view(1, -1, 1, 1), 1.0, given)


def _row(frames: Tensor) -> Image.Image:
    """Frames CTHW in 0..1 side by side."""
    small = F.interpolate(frames.transpose(0, 1), SHOWN_SIZE, mode="area").clamp(0, 1)
    pixels = (small * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return Image.fromarray(np.concatenate(list(pixels), axis=1))


def _sheet(rows: Sequence[_Shown]) -> Image.Image:
    height, width = SHOWN_SIZE[0] + LABEL_HEIGHT, SHOWN_FRAMES * SHOWN_SIZE[1]
    both = any(row.given is not None for row in rows)
    sheet = Image.new("RGB", (2 * width + GAP if both else width, LABEL_HEIGHT + len(rows) * height), "white")
    draw, left = ImageDraw.Draw(sheet), width + GAP if both else 0
    draw.text((left + 3, 1), "the take: four of its frames, from the first to the last", fill="gray")
    if both:
        draw.text((3, 1), "what was given for these frames (white: nothing)", fill="gray")
    for number, row in enumerate(rows):
        top = LABEL_HEIGHT + number * height
        draw.text((left + 3, top + 1), row.label, fill="black")
        sheet.paste(_row(row.take), (left, top + LABEL_HEIGHT))
        if row.given is not None:
            sheet.paste(_row(row.given), (0, top + LABEL_HEIGHT))
    return sheet
