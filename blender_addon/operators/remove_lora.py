"""Takes a LoRA off the panel's list; its file stays.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..properties import settings_of
from ..stopwatch import timed
from .refusing import Refusing, timeline_refusal


class WAN_VSE_OT_remove_lora(Refusing, bpy.types.Operator):
    """Take the chosen LoRA off the list. The file is left alone"""

    bl_idname = "wan_vse.remove_lora"
    bl_label = "Wan: Remove LoRA"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        if not sentence and not len(settings_of(context).loras):
            sentence = "The list is empty"
        return sentence

    @timed("operator remove_lora")
    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        number = min(max(0, settings.active_lora), len(settings.loras) - 1)
        settings.loras.remove(number)
        settings.active_lora = max(0, min(number, len(settings.loras) - 1))
        return {"FINISHED"}
