"""Puts a file of the preferences' LoRA folder on the panel's list, chosen by typing a part of its name.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import bpy

from .. import preferences
from ..jobs import loras
from ..properties import settings_of
from ..stopwatch import timed
from .refusing import Refusing, timeline_refusal

_kept_items: list[tuple[str, str, str]] = []
"""Blender keeps no reference to the strings of an enum's callback: without this they would be freed under it."""


def _items(operator: Any, context: Any) -> list[tuple[str, str, str]]:
    return _kept_items


def _look() -> None:
    """Read the folder, once each time that the list opens."""
    folder = loras.absolute(preferences.get().loras_folder)
    found = [(str(file), str(file.relative_to(folder).with_suffix("")), str(file)) for file in loras.files_in(folder)]
    _kept_items[:] = found


class WAN_VSE_OT_pick_lora(Refusing, bpy.types.Operator):
    """Add a LoRA of the folder that the preferences name, found by typing a part of its name"""

    bl_idname = "wan_vse.pick_lora"
    bl_label = "Wan: Add LoRA from Folder"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    bl_property = "file"

    file: bpy.props.EnumProperty(
        name="LoRA", description="A file of the LoRA folder", items=_items, options={"SKIP_SAVE"}
    )
    path: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """For scripts: the file, without looking for it."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        if not sentence and not os.path.isdir(loras.absolute(preferences.get().loras_folder)):
            sentence = "Name your LoRA folder in the preferences first; a ComfyUI models/loras will do"
        return sentence

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Show the files, to be searched by name."""
        _look()
        if not _kept_items:
            self.report({"WARNING"}, f"There is no {loras.ENDING} file in {preferences.get().loras_folder}.")
            return {"CANCELLED"}
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    @timed("operator pick_lora")
    def execute(self, context: bpy.types.Context) -> set[str]:
        path = self.path or self.file
        if not path:
            self.report({"WARNING"}, "No file was chosen.")
            return {"CANCELLED"}
        loras.add(settings_of(context), path)
        if context.area is not None:
            context.area.tag_redraw()
        return {"FINISHED"}
