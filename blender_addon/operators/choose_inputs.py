"""Operators that choose what a take is made with: task, prompt text, seed, LoRAs, and the scene's view."""

from __future__ import annotations

import os
import secrets
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.app.translations import pgettext_tip as tip_

from ...wan_backend.protocol.messages import Task
from .. import preferences
from ..jobs import lora_rows, planned_training, request
from ..properties import MAX_SEED, settings_of, task_of
from ..properties.task import TASK_ITEMS, choose
from ..stopwatch import timed
from ..timeline import compat
from . import text_editors
from .refusing import OnTimeline, Refusing, Result, timeline_refusal


class WAN_VSE_OT_choose_task(Refusing, bpy.types.Operator):
    """Show this task until the selection changes"""

    bl_idname = "wan_vse.choose_task"
    bl_label = "Wan: Choose Task"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    task: bpy.props.EnumProperty(items=TASK_ITEMS, options={"HIDDEN", "SKIP_SAVE"})
    implied: bpy.props.BoolProperty(options={"HIDDEN", "SKIP_SAVE"})
    """True for what the selection implies: the selected take, if it is one."""

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """The tooltip of the button: the task's name, and what it does."""
        if properties.implied:
            return tip_("The selected take: its prompt, its other takes, and a new one")
        return next(f"{iface_(item[1])}: {tip_(item[2])}" for item in TASK_ITEMS if item[0] == properties.task)

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def execute(self, context: bpy.types.Context) -> Result:
        choose(settings_of(context), None if self.implied else Task[self.task])
        return {"FINISHED"}


class WAN_VSE_OT_write_prompt_text(Refusing, bpy.types.Operator):
    """Write the prompt in a text block with as many lines as you like, in a text editor"""

    bl_idname = "wan_vse.write_prompt_text"
    bl_label = "Wan: Write Prompt as Text"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator write_prompt_text")
    def execute(self, context: bpy.types.Context) -> Result:
        settings = settings_of(context)
        if settings.prompt_text is None:
            settings.prompt_text = bpy.data.texts.new("Prompt")
            settings.prompt_text.write(getattr(settings, request.PROMPT_FIELDS[task_of(settings)]))
        settings.prompt_source = "TEXT_BLOCK"
        if not text_editors.show(context, settings.prompt_text):
            words = rpt_("Open the text '{}' in a text editor to write in it.")
            self.report({"INFO"}, words.format(settings.prompt_text.name))
        return {"FINISHED"}


class WAN_VSE_OT_new_seed(Refusing, bpy.types.Operator):
    """Pick a new random seed and lock it, for a take that differs from the last one"""

    bl_idname = "wan_vse.new_seed"
    bl_label = "Wan: New Seed"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator new_seed")
    def execute(self, context: bpy.types.Context) -> Result:
        settings = settings_of(context)
        settings.seed = secrets.randbelow(MAX_SEED + 1)
        settings.seed_locked = True
        return {"FINISHED"}


class WAN_VSE_OT_add_loras(Refusing, bpy.types.Operator):
    """Choose LoRA files: small additions to a model that give it a look, a character or a motion"""

    bl_idname = "wan_vse.add_loras"
    bl_label = "Add LoRAs"  # the file browser writes it on its button
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: bpy.props.CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_glob: bpy.props.StringProperty(default=f"*{lora_rows.ENDING}", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Open the file browser in the LoRA folder of the preferences, if it exists, else beside the .blend file.

        Without a folder, Blender would open it there itself, with the .blend's own name in the field.
        """
        folder = lora_rows.absolute(preferences.get().loras_folder)
        if not (folder and os.path.isdir(folder)):
            folder = os.path.dirname(bpy.data.filepath) or os.path.expanduser("~")
        self.directory = os.path.join(folder, "")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @timed("operator add_loras")
    def execute(self, context: bpy.types.Context) -> Result:
        names = [file.name for file in self.files if file.name]
        if not names:
            self.report({"WARNING"}, "No file was chosen.")
            return {"CANCELLED"}
        for name in names:
            lora_rows.add(settings_of(context), os.path.join(self.directory, name))
        return {"FINISHED"}


_kept_items: list[tuple[str, str, str]] = []
"""The items of the list. Blender keeps no reference to an enum's strings, which would be freed otherwise."""


def _items(operator: Any, context: Any) -> list[tuple[str, str, str]]:
    return _kept_items


def _lora_folders() -> list[str]:
    """The preferences' folder of LoRAs, and that of those trained for this film, as far as they are there."""
    trained = os.path.join(request.media_folder(preferences.get()), planned_training.FOLDER)
    folders = dict.fromkeys((lora_rows.absolute(preferences.get().loras_folder), trained))
    return [folder for folder in folders if folder and os.path.isdir(folder)]


def _read_folder() -> None:
    """Read the LoRA folders; done once each time the list opens."""
    _kept_items[:] = [
        (str(file), str(file.relative_to(folder).with_suffix("")), str(file))
        for folder in _lora_folders()
        for file in lora_rows.files_in(folder)
    ]


class WAN_VSE_OT_pick_lora(OnTimeline, bpy.types.Operator):
    """Add a LoRA from the LoRA folder in the preferences, or one trained for this film; type part of its name"""

    bl_idname = "wan_vse.pick_lora"
    bl_label = "Wan: Add LoRA from Folder"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    bl_property = "file"

    file: bpy.props.EnumProperty(
        name="LoRA", description="A file of the LoRA folder", items=_items, options={"SKIP_SAVE"}
    )
    path: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The file, for scripts, which don't choose from the list."""

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        return "" if _lora_folders() else "Set your LoRA folder in the preferences first; ComfyUI's models/loras works"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Show the files in a list that can be searched by name."""
        _read_folder()
        if not _kept_items:
            folder = ", ".join(_lora_folders())
            self.report({"WARNING"}, rpt_("There is no {} file in {}.").format(lora_rows.ENDING, folder))
            return {"CANCELLED"}
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    @timed("operator pick_lora")
    def execute(self, context: bpy.types.Context) -> Result:
        path = self.path or self.file
        if not path:
            self.report({"WARNING"}, "No file was chosen.")
            return {"CANCELLED"}
        lora_rows.add(settings_of(context), path)
        if context.area is not None:
            context.area.tag_redraw()
        return {"FINISHED"}


class WAN_VSE_OT_remove_lora(OnTimeline, bpy.types.Operator):
    """Remove the selected LoRA from the list. The file stays on disk"""

    bl_idname = "wan_vse.remove_lora"
    bl_label = "Wan: Remove LoRA"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        return "" if len(settings_of(context).loras) else "The list is empty"

    @timed("operator remove_lora")
    def execute(self, context: bpy.types.Context) -> Result:
        settings = settings_of(context)
        number = min(max(0, settings.active_lora), len(settings.loras) - 1)
        settings.loras.remove(number)
        settings.active_lora = max(0, min(number, len(settings.loras) - 1))
        return {"FINISHED"}


class WAN_VSE_OT_use_standard_view(Refusing, bpy.types.Operator):
    """Show and render this scene with the Standard view, which keeps the exact colors of footage"""

    bl_idname = "wan_vse.use_standard_view"
    bl_label = "Wan: Use Standard View"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        if sentence:
            return sentence
        return "" if changes_colors(compat.sequencer_scene(context)) else "The scene already uses the Standard view"

    @timed("operator use_standard_view")
    def execute(self, context: bpy.types.Context) -> Result:
        view: Any = compat.sequencer_scene(context).view_settings
        view.view_transform = "Standard"
        view.look = "None"
        return {"FINISHED"}


def changes_colors(scene: bpy.types.Scene) -> bool:
    """True if the scene's view shows footage in other colors than its files have."""
    view = scene.view_settings
    return view.view_transform not in ("Standard", "Raw") or view.look not in ("None", "")


CLASSES = (
    WAN_VSE_OT_new_seed,
    WAN_VSE_OT_write_prompt_text,
    WAN_VSE_OT_add_loras,
    WAN_VSE_OT_pick_lora,
    WAN_VSE_OT_remove_lora,
    WAN_VSE_OT_use_standard_view,
    WAN_VSE_OT_choose_task,
)
