"""Which takes a task would make of what is selected. Changes nothing."""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import Task
from . import aim_beside, aim_over
from .aim import Aim, NoAim, Wishes, check, check_length, check_place
from .selection import Selection

__all__ = ["Aim", "NoAim", "Wishes", "aims"]


def aims(scene: bpy.types.Scene, selection: Selection, task: Task, wishes: Wishes) -> list[Aim]:
    """One aim for each take, at least one. Raises NoAim with what to do. Text: one for each text strip."""
    check(selection)
    made = _made(scene, selection, task, wishes)
    for one in made:
        check_length(one)
        check_place(one)
    return made


def _made(scene: bpy.types.Scene, selection: Selection, task: Task, wishes: Wishes) -> list[Aim]:
    if task is Task.IMAGE_TO_VIDEO:
        return aim_over.picture(scene, selection, wishes)
    if task is Task.RESTYLE:
        return aim_over.restyle(scene, selection)
    if task is Task.PREVIS:
        return aim_over.previs(scene, selection)
    if task is Task.FILL_GAP:
        return aim_beside.gap(scene, selection, wishes)
    if task is Task.EXTEND:
        return aim_beside.extend(scene, selection, wishes)
    return aim_over.texts(scene, selection)
