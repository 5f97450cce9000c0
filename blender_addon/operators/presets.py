"""Operators for presets, favorite and earlier prompts, which are the same in all files."""

from __future__ import annotations

import contextlib
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.app.translations import pgettext_tip as tip_

from ..jobs import folders, lora_rows, presets
from ..jobs.request import PROMPT_FIELDS
from ..properties import WanSettings, settings_of, task_of
from ..properties.prompts import take_of
from ..properties.task import is_chosen
from .refusing import Refusing, Result, timeline_refusal

_files: presets.PresetFiles | None = None


def files() -> presets.PresetFiles:
    """The files of presets and prompts."""
    global _files
    if _files is None:
        _files = presets.PresetFiles(folders.user_folder())
    return _files


def preset_of(settings: WanSettings, name: str) -> presets.Preset:
    """The panel's settings under a name."""
    values = {key: str(getattr(settings, key)) for key in presets.SETTINGS}
    loras = tuple(
        presets.PresetLora(lora_rows.absolute(row.path), row.use, row.strength, row.expert) for row in settings.loras
    )
    return presets.Preset(name, values, loras)


def fill(settings: WanSettings, preset: presets.Preset) -> None:
    """Set the panel to a preset. A value that this version doesn't have is left out."""
    for name, value in preset.settings.items():
        with contextlib.suppress(TypeError, ValueError):
            setattr(settings, name, value)
    settings.loras.clear()
    for lora in preset.loras:
        row = lora_rows.add(settings, lora.path)
        row.use, row.strength, row.expert = lora.use, lora.strength, lora.expert
    settings.active_lora = 0


class WAN_VSE_OT_use_preset(Refusing, bpy.types.Operator):
    """Set the panel to this preset: model, size, quality, LoRAs and style words. The prompts stay"""

    bl_idname = "wan_vse.use_preset"
    bl_label = "Wan: Use Preset"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def execute(self, context: bpy.types.Context) -> Result:
        preset = files().preset(self.name)
        if preset is None:
            self.report({"WARNING"}, "There is no preset of that name any more.")
            return {"CANCELLED"}
        fill(settings_of(context), preset)
        return {"FINISHED"}


class WAN_VSE_OT_add_preset(Refusing, bpy.types.Operator):
    """Keep the panel's model, size, quality, LoRAs and style words under a name, for all files"""

    bl_idname = "wan_vse.add_preset"
    bl_label = "Wan: Add Preset"
    bl_options: ClassVar = {"REGISTER"}

    name: bpy.props.StringProperty(
        name="Name",
        description="The preset's name; one of the same name is replaced",
        maxlen=presets.MAX_NAME_CHARACTERS,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask for the name."""
        return context.window_manager.invoke_props_dialog(self, title="Add Preset", confirm_text="Add")

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context)
        column = self.layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        column.prop(self, "name")
        column.prop(settings, "style_words")

    def execute(self, context: bpy.types.Context) -> Result:
        problem = files().add(preset_of(settings_of(context), self.name))
        if problem:
            self.report({"WARNING"}, problem)
            return {"CANCELLED"}
        return {"FINISHED"}


class WAN_VSE_OT_remove_preset(Refusing, bpy.types.Operator):
    """Remove this preset. Takes and files that were made with it stay as they are"""

    bl_idname = "wan_vse.remove_preset"
    bl_label = "Wan: Remove Preset"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    name: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        title = rpt_("Remove the preset '{}'?").format(self.name)
        return context.window_manager.invoke_confirm(self, event, title=title, confirm_text="Remove")

    def execute(self, context: bpy.types.Context) -> Result:
        problem = files().remove(self.name)
        if problem:
            self.report({"WARNING"}, problem)
        return {"CANCELLED"} if problem else {"FINISHED"}


class WAN_VSE_OT_use_prompt(Refusing, bpy.types.Operator):
    """Write this prompt into the field of the shown task, or of the selected take"""

    bl_idname = "wan_vse.use_prompt"
    bl_label = "Wan: Use Prompt"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    prompt: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """The whole prompt: the menu shows its beginning."""
        return str(properties.prompt).rstrip(".")

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def execute(self, context: bpy.types.Context) -> Result:
        settings: Any = settings_of(context)
        setattr(settings, shown_field(settings), self.prompt)
        if shown_field(settings) != TAKE_FIELD:
            settings.prompt_source = "FIELD"
        return {"FINISHED"}


class WAN_VSE_OT_star_prompt(Refusing, bpy.types.Operator):
    """Keep this prompt among the favorites, for all files"""

    bl_idname = "wan_vse.star_prompt"
    bl_label = "Wan: Star Prompt"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    prompt: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    star: bpy.props.BoolProperty(default=True, options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """What a click does to the star."""
        if properties.star:
            return tip_("Keep this prompt among the favorites, for all files")
        return tip_("Take this prompt off the favorites")

    def execute(self, context: bpy.types.Context) -> Result:
        problem = files().star_prompt(self.prompt, self.star)
        if problem:
            self.report({"WARNING"}, problem)
        return {"CANCELLED"} if problem else {"FINISHED"}


TAKE_FIELD = "take_prompt_draft"


def shown_field(settings: WanSettings) -> str:
    """The setting that the panel's prompt field shows."""
    return TAKE_FIELD if shows_take(settings) else PROMPT_FIELDS[task_of(settings)]


def shows_take(settings: WanSettings) -> bool:
    """Whether the panel shows the selected take: no task was chosen for it."""
    return take_of(settings) is not None and not is_chosen(settings)


CLASSES = (
    WAN_VSE_OT_use_preset,
    WAN_VSE_OT_add_preset,
    WAN_VSE_OT_remove_preset,
    WAN_VSE_OT_use_prompt,
    WAN_VSE_OT_star_prompt,
)
