"""The menus of earlier prompts and of presets. They open on a click, so their files are read then."""

from __future__ import annotations

import bpy

from ..operators import presets
from . import wording

MENU_CHARACTERS = 70


class WAN_VSE_MT_prompts(bpy.types.Menu):
    """The prompts that were used last, in any file."""

    bl_idname = "WAN_VSE_MT_prompts"
    bl_label = "Earlier Prompts"

    def draw(self, context: bpy.types.Context) -> None:
        layout, files = self.layout, presets.files()
        prompts = files.prompts()
        if not prompts:
            layout.label(text="No prompt was used yet.")
        for prompt in prompts:
            text = wording.one_line(prompt, MENU_CHARACTERS)
            layout.operator("wan_vse.use_prompt", text=text, translate=False).prompt = prompt
        _draw_problem(layout, files.problem)


class WAN_VSE_MT_presets(bpy.types.Menu):
    """Presets of model, size, quality, LoRAs and style words."""

    bl_idname = "WAN_VSE_MT_presets"
    bl_label = "Presets"

    def draw(self, context: bpy.types.Context) -> None:
        layout, files = self.layout, presets.files()
        known = files.presets()
        for preset in known:
            layout.operator("wan_vse.use_preset", text=preset.name, translate=False).name = preset.name
        if known:
            layout.separator()
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("wan_vse.add_preset", text="Add Preset...", icon="ADD")
        if known:
            layout.menu(WAN_VSE_MT_remove_preset.bl_idname, icon="REMOVE")
        _draw_problem(layout, files.problem)


class WAN_VSE_MT_remove_preset(bpy.types.Menu):
    """The presets, to remove one."""

    bl_idname = "WAN_VSE_MT_remove_preset"
    bl_label = "Remove Preset"

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.operator_context = "INVOKE_DEFAULT"
        for preset in presets.files().presets():
            self.layout.operator("wan_vse.remove_preset", text=preset.name, translate=False).name = preset.name


def _draw_problem(layout: bpy.types.UILayout, sentence: str) -> None:
    if sentence:
        layout.separator()
        layout.label(text=sentence, icon="ERROR")


CLASSES = (WAN_VSE_MT_prompts, WAN_VSE_MT_presets, WAN_VSE_MT_remove_preset)
