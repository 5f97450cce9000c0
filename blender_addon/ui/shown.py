"""What the panel is about to show: worked out once for a draw, since all of it comes from the selection."""

from __future__ import annotations

from dataclasses import dataclass

import bpy

from ...wan_backend.protocol.messages import Task
from ..jobs import orders, request
from ..operators import asking
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
    made: tuple[orders.Order, ...] = ()
    refused: str = ""
    """Why there are none."""


def look(scene: bpy.types.Scene, settings: WanSettings) -> Shown:
    """What the panel shows now."""
    picked = selection.read(scene)
    implied = selection.implied(scene, picked)
    task = chosen_or(settings, picked, implied)
    try:
        made = asking.wanted(scene, _with_any_prompt(scene, settings), task)
    except request.Refused as refused:
        return Shown(picked, implied, task, refused=refused.sentence)
    return Shown(picked, implied, task, tuple(made))


def _with_any_prompt(scene: bpy.types.Scene, settings: WanSettings) -> WanSettings | WithSettings:
    """The settings; where their prompt can't be used, with another, so that a plan can be shown all the same."""
    try:
        request.prompt_of(scene, settings)
    except request.Refused:
        return WithSettings(settings, prompt_source="FIELD", prompt=ANY_PROMPT)
    return settings
