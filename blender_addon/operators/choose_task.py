"""Shows another task than the one that the selection implies.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..properties import settings_of
from ..properties.task import TASK_ITEMS
from .refusing import Refusing, timeline_refusal


class WAN_VSE_OT_choose_task(Refusing, bpy.types.Operator):
    """Show this task until the selection changes"""

    bl_idname = "wan_vse.choose_task"
    bl_label = "Wan: Choose Task"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    task: bpy.props.EnumProperty(items=TASK_ITEMS, options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """The tooltip of the button: the task's name, and what it does."""
        return next(f"{item[1]}: {item[2]}" for item in TASK_ITEMS if item[0] == properties.task)

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings_of(context).task = self.task
        return {"FINISHED"}
