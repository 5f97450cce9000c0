"""What a task's `prepare` works from, and what it leaves for the next job of the same model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ..loading.residency import PlacedModel
from ..protocol.messages import Plan, TakeRequest
from . import vace_control
from .conditions import Canvas
from .prompt_encoding import PromptCache
from .stopping import ShouldStop, never


@dataclass
class PreparationCache:
    """What preparing a job leaves for the next one of the same model, which need not compute it again."""

    prompts: PromptCache = field(default_factory=PromptCache)
    blank_control: tuple[tuple[int, int, int], torch.Tensor] | None = None
    """(frames, width, height), and the control (1, 96, T, h, w) that leaves everything to the model, on the CPU."""

    def blank(self, plan: Plan) -> torch.Tensor | None:
        """The blank control for `plan`, (1, 96, T, h, w) on the CPU; None if another size's is kept, or none."""
        if self.blank_control is None or self.blank_control[0] != _size(plan):
            return None
        return self.blank_control[1]

    def make_blank(self, vae: Any, plan: Plan, should_stop: ShouldStop = never) -> torch.Tensor:
        """The blank control for `plan`, (1, 96, T, h, w) on the CPU; computed unless it is kept. Raises Stopped."""
        known = self.blank(plan)
        if known is not None:
            return known
        made = vace_control.blank(vae, *_size(plan), should_stop).to("cpu")
        self.blank_control = (_size(plan), made)
        return made


@dataclass(frozen=True)
class Preparation:
    """A job as its `prepare` sees it."""

    placement: PlacedModel
    request: TakeRequest
    plan: Plan
    canvas: Canvas = field(default_factory=Canvas)
    cache: PreparationCache = field(default_factory=PreparationCache)
    should_stop: ShouldStop = never
    """Asked before each block of a model and between them; `prepare` raises Stopped once it is true."""


def _size(plan: Plan) -> tuple[int, int, int]:
    return plan.model_frames, plan.width, plan.height
