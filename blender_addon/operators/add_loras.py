"""Puts LoRA files on the panel's list, chosen in the file browser.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import os
from typing import ClassVar

import bpy

from .. import preferences
from ..jobs import loras
from ..properties import settings_of
from ..stopwatch import timed
from .refusing import Refusing, timeline_refusal


class WAN_VSE_OT_add_loras(Refusing, bpy.types.Operator):
    """Choose LoRA files: small additions to a model that give it a look, a character or a motion"""

    bl_idname = "wan_vse.add_loras"
    bl_label = "Wan: Add LoRAs"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: bpy.props.CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: bpy.props.StringProperty(default=f"*{loras.ENDING}", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Begin in the folder of the preferences, where there is one."""
        folder = loras.absolute(preferences.get().loras_folder)
        if folder and os.path.isdir(folder):
            self.directory = os.path.join(folder, "")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @timed("operator add_loras")
    def execute(self, context: bpy.types.Context) -> set[str]:
        names = [file.name for file in self.files if file.name]
        if not names:
            self.report({"WARNING"}, "No file was chosen.")
            return {"CANCELLED"}
        for name in names:
            loras.add(settings_of(context), os.path.join(self.directory, name))
        return {"FINISHED"}
