"""The menus of prompts, favorites first, and of presets. They open on a click, so their files are read then."""

from __future__ import annotations

from typing import Any

import bpy

from ..operators import presets
from ..properties import settings_of
from . import wording

MENU_CHARACTERS = 70


class WAN_VSE_MT_prompts(bpy.types.Menu):
    """The favorites, and the prompts that were used last, in any file."""

    bl_idname = "WAN_VSE_MT_prompts"
    bl_label = "Prompts"

    def draw(self, context: bpy.types.Context) -> None:
        """Each with a star beside it, which a click sets or takes off."""
        layout, files = self.layout, presets.files()
        favorites = files.favorites()
        earlier = [each for each in files.prompts() if each not in favorites]
        settings = settings_of(context)
        written = "" if settings is None else str(getattr(settings, presets.shown_field(settings))).strip()
        if written and written not in favorites:
            button = layout.operator("wan_vse.star_prompt", text="Keep This Prompt as Favorite", icon="SOLO_ON")
            button.prompt = written
            layout.separator()
        for prompt in favorites:
            _draw_prompt(layout, prompt, is_favorite=True)
        if favorites and earlier:
            layout.separator()
        for prompt in earlier:
            _draw_prompt(layout, prompt, is_favorite=False)
        if not (favorites or earlier):
            layout.label(text="No prompt was used yet.")
        _draw_problem(layout, files.problem)


def _draw_prompt(layout: bpy.types.UILayout, prompt: str, is_favorite: bool) -> None:
    row = layout.row(align=True)
    star: Any = "SOLO_ON" if is_favorite else "SOLO_OFF"
    button = row.operator("wan_vse.star_prompt", text="", icon=star, emboss=False)
    button.prompt, button.star = prompt, not is_favorite
    text = wording.one_line(prompt, MENU_CHARACTERS)
    row.operator("wan_vse.use_prompt", text=text, translate=False).prompt = prompt


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
