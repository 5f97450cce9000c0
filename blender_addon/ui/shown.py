"""What the panel is about to show: worked out once for a draw, since all of it comes from the selection."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ...wan_backend.protocol.messages import Task
from ..jobs import orders, request
from ..operators import make_takes
from ..properties import WanSettings, WithSettings
from ..properties.task import chosen_or
from ..timeline import selection

ANY_PROMPT = "any"
"""Stands for the prompt while there is none: what would be made does not depend on it."""


@dataclass(frozen=True)
class Shown:
    """The selection, the task, and the takes that a click would ask for."""

    picked: selection.Selection
    implied: Task
    task: Task
    made: tuple[orders.TakeOrder, ...] = ()
    refused: str = ""
    """Why there are none."""
    lacking: str = ""
    """What is wrong with the prompt; the takes are then those of any other."""


def look(scene: bpy.types.Scene, settings: WanSettings) -> Shown:
    """What the panel shows now."""
    picked = selection.read(scene)
    implied = selection.implied(scene, picked)
    task = chosen_or(settings, picked, implied)
    try:
        return Shown(picked, implied, task, tuple(make_takes.wanted(scene, settings, task)))
    except request.Refused as refused:
        why = refused.sentence
    try:
        with_any = WithSettings(settings, prompt_source="FIELD", prompt=ANY_PROMPT)
        made = make_takes.wanted(scene, with_any, task)
    except request.Refused as refused:
        return Shown(picked, implied, task, refused=refused.sentence)
    return Shown(picked, implied, task, tuple(made), lacking=why)
