"""A plan on the machine that is there: how the model would sit in its memory, and what would fit where it doesn't.

From the catalogue's numbers, before anything is loaded; the worker plans again with the model's own files. No torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..protocol.messages import Fix, Plan, Problem, TakeRequest
from . import outlook, sizes
from .catalogue import ModelEntry
from .media_place import size_in_words
from .outlook import Machine

SHORTEST_FRAMES = 17
"""A take of fewer of the model's frames isn't offered: nothing happens in it."""


def settle(plan: Plan, request: TakeRequest, entry: ModelEntry, machine: Machine, others: Sequence[ModelEntry]) -> Plan:
    """The plan with its memory on that machine; where it is too large, with what would fit, as buttons.

    `others` are the models that are here.
    """
    at_once = plan.window_frames or plan.model_frames
    memory = outlook.plan_at(entry, machine, plan.width, plan.height, at_once)
    if memory.peak_bytes <= machine.usable_bytes:
        words = outlook.places(entry, memory, machine)
        return dataclasses.replace(plan, memory_bytes=memory.peak_bytes, memory=f"{words[:1].upper()}{words[1:]}.")
    fixes = [
        *_smaller(plan, request, entry, machine, at_once),
        *_shorter(plan, entry, machine, at_once),
        *_another(request, entry, machine, others),
    ]
    needed, there = size_in_words(memory.peak_bytes), size_in_words(machine.usable_bytes)
    place = "the card has" if machine.is_card else "there are"
    sentence = f"{entry.label} needs about {needed} of memory for this, and {place} {there}; "
    sentence += "choose what fits." if fixes else "nothing here fits, so close other programs or use another machine."
    problem = plan.problem or Problem("too_large", sentence, fixes)
    return dataclasses.replace(plan, memory_bytes=memory.peak_bytes, problem=problem)


def _fits(entry: ModelEntry, machine: Machine, width: int, height: int, frames: int) -> bool:
    return outlook.plan_at(entry, machine, width, height, frames).peak_bytes <= machine.usable_bytes


def _smaller(plan: Plan, request: TakeRequest, entry: ModelEntry, machine: Machine, at_once: int) -> list[Fix]:
    """The largest of the model's sizes that fits, if one does."""
    pixels = plan.width * plan.height
    for size in sorted(entry.sizes, key=lambda size: size.width * size.height, reverse=True):
        if size.width * size.height >= pixels:
            continue
        snapped = sizes.snap(entry, request.width, request.height, size.name)
        if _fits(entry, machine, snapped.width, snapped.height, at_once):
            return [Fix(f"Use {size.name}", "resolution", size.name)]
    return []


def _shorter(plan: Plan, entry: ModelEntry, machine: Machine, at_once: int) -> list[Fix]:
    """The longest length that fits, if one does."""
    for frames in range(at_once - 4, SHORTEST_FRAMES - 1, -4):
        if _fits(entry, machine, plan.width, plan.height, frames):
            length = max(1, plan.take_frames * frames // plan.model_frames)
            return [Fix(f"Use {length} frames", "length_frames", str(length))]
    return []


def _another(request: TakeRequest, entry: ModelEntry, machine: Machine, others: Sequence[ModelEntry]) -> list[Fix]:
    """Models that are here, do the task and fit at their own size and length."""
    fitting = []
    for other in others:
        size = other.size(other.default_size)
        if other.id == entry.id or request.task not in other.tasks or size is None:
            continue
        if _fits(other, machine, size.width, size.height, other.max_frames):
            fitting.append(Fix(f"Use {other.label}", "model", other.id))
    return fitting
