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
        """A long menu is broken into columns, entry by entry, so that no star can stand beside a prompt."""
        layout, files = self.layout, presets.files()
        favorites, earlier = files.favorites(), _not_starred(files)
        settings = settings_of(context)
        written = "" if settings is None else str(getattr(settings, presets.shown_field(settings))).strip()
        for prompt in favorites:
            _draw_prompt(layout, "use_prompt", prompt, "SOLO_ON")
        if favorites and earlier:
            layout.separator()
        for prompt in earlier:
            _draw_prompt(layout, "use_prompt", prompt)
        if not (favorites or earlier):
            layout.label(text="No prompt was used yet.")
        layout.separator()
        if written and written not in favorites:
            button = layout.operator("wan_vse.star_prompt", text="Star This Prompt", icon="SOLO_ON")
            button.prompt, button.star = written, True
        if earlier:
            layout.menu(WAN_VSE_MT_star_prompt.bl_idname, icon="SOLO_OFF")
        if favorites:
            layout.menu(WAN_VSE_MT_unstar_prompt.bl_idname, icon="REMOVE")
        _draw_problem(layout, files.problem)


class WAN_VSE_MT_star_prompt(bpy.types.Menu):
    """The earlier prompts, to keep one for good."""

    bl_idname = "WAN_VSE_MT_star_prompt"
    bl_label = "Star an Earlier Prompt"

    def draw(self, context: bpy.types.Context) -> None:
        for prompt in _not_starred(presets.files()):
            _draw_prompt(self.layout, "star_prompt", prompt).star = True


class WAN_VSE_MT_unstar_prompt(bpy.types.Menu):
    """The favorites, to take the star off one."""

    bl_idname = "WAN_VSE_MT_unstar_prompt"
    bl_label = "Remove Star"

    def draw(self, context: bpy.types.Context) -> None:
        for prompt in presets.files().favorites():
            _draw_prompt(self.layout, "star_prompt", prompt).star = False


def _not_starred(files: Any) -> list[str]:
    return [each for each in files.prompts() if each not in files.favorites()]


def _draw_prompt(layout: bpy.types.UILayout, operator: str, prompt: str, icon: Any = "NONE") -> Any:
    """The beginning of a prompt, as a button; returns the operator's properties."""
    text = wording.one_line(prompt, MENU_CHARACTERS)
    button: Any = layout.operator(f"wan_vse.{operator}", text=text, icon=icon, translate=False)
    button.prompt = prompt
    return button


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


CLASSES = (
    WAN_VSE_MT_prompts,
    WAN_VSE_MT_star_prompt,
    WAN_VSE_MT_unstar_prompt,
    WAN_VSE_MT_presets,
    WAN_VSE_MT_remove_preset,
)
