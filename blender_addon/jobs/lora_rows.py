"""The panel's list of LoRAs and what a request says of them. Changes nothing but the list."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import bpy

from ...wan_backend.protocol.messages import (
    MAX_STRENGTH,
    MIN_STRENGTH,
    Expert,
    LoraUse,
    TrainedLora,
    TrainingStatus,
)
from ..timeline import untrusted

ENDING = ".safetensors"
MAX_DEPTH = 4
"""How many folders deep LoRAs are looked for."""
MAX_FILES = 2000


def uses(rows: Iterable[Any]) -> list[LoraUse]:
    """The rows that are switched on, with absolute paths and strengths within the protocol's limits."""
    return [_use(row) for row in rows if row.use]


def _use(row: Any) -> LoraUse:
    strength = min(max(row.strength, MIN_STRENGTH), MAX_STRENGTH) if math.isfinite(row.strength) else 1.0
    return LoraUse(absolute(row.path), round(strength, 4), untrusted.choice(Expert, row.expert, Expert.AUTO))


def absolute(path: str) -> str:
    """The path without `//` and `..`; an empty one stays empty, for the backend to refuse."""
    return os.path.abspath(bpy.path.abspath(path)) if path else ""


def add(settings: Any, path: str) -> Any:
    """Add a row for that file at the end; if it has one already, switch that on. Returns the row."""
    wanted = absolute(path)
    for number, row in enumerate(settings.loras):
        if absolute(row.path) == wanted:
            row.use, settings.active_lora = True, number
            return row
    row = settings.loras.add()
    row.path, row.name = path, name_of(path)
    settings.active_lora = len(settings.loras) - 1
    return row


def use_trained(settings: Any, training: TrainingStatus, lora: TrainedLora, name: str) -> Any:
    """Have takes use this LoRA of a training, in place of its others; returns the row."""
    others = {absolute(each.path) for each in training.kept} - {absolute(lora.path)}
    strength = 1.0
    for number in reversed(range(len(settings.loras))):
        if absolute(settings.loras[number].path) in others:
            strength = settings.loras[number].strength
            settings.loras.remove(number)
    known = len(settings.loras)
    row = add(settings, lora.path)
    if len(settings.loras) > known:
        row.strength = strength
    row.trigger = training.trigger
    row.name = name if lora == training.newest else f"{name}, {lora.step}"
    return row


def chosen(settings: Any) -> Any:
    """The chosen row; None if the list is empty."""
    return settings.loras[settings.active_lora] if 0 <= settings.active_lora < len(settings.loras) else None


def has_trigger(prompt: str, trigger: str) -> bool:
    """Whether the prompt has the trigger as a word."""
    return re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", prompt, re.IGNORECASE) is not None


def fill(settings: Any, made_with: Iterable[LoraUse]) -> None:
    """Replace the list by the LoRAs that a take was made with."""
    settings.loras.clear()
    for use in made_with:
        row = settings.loras.add()
        row.path, row.name = use.path, name_of(use.path)
        row.strength, row.expert = use.strength, use.expert.name
    settings.active_lora = 0


def leave_out(settings: Any, path: str) -> None:
    """Switch off the rows of that file."""
    for row in settings.loras:
        if absolute(row.path) == path:
            row.use = False


def set_expert(settings: Any, path: str, expert: Expert) -> None:
    """Have the rows of that file work on that expert."""
    for row in settings.loras:
        if absolute(row.path) == path:
            row.expert = expert.name


def name_of(path: str) -> str:
    """What a person calls the file: its name without the ending."""
    name = os.path.basename(path.rstrip("/\\"))
    return name.removesuffix(ENDING) or name


def files_in(folder: str) -> Iterator[Path]:
    """The LoRA files of a folder and of those in it, in order; as many as a list can show."""
    top = absolute(folder)
    count = 0
    for place, folders, names in os.walk(top) if top else ():
        folders[:] = sorted(folders) if place.removeprefix(top).count(os.sep) < MAX_DEPTH else []
        for name in sorted(names):
            if name.lower().endswith(ENDING) and count < MAX_FILES:
                count += 1
                yield Path(place, name)
