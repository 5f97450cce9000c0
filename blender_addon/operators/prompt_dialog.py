"""Operators that make what the panel shows: from a dialog with room for the prompt, by a key, or as a first example.

Blender confirms a text field alike by Enter, by Tab and by a click elsewhere, and tells its property only that it was
set. An operator that the property invokes is given the event, which says what the person did.
"""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Task
from .. import preferences
from ..jobs import request
from ..properties import EMBEDDED, settings_of, task_of
from ..timeline import compat
from . import make_takes, takes
from .presets import TAKE_FIELD, shown_field
from .refusing import Refusing, Result, backend_refusal, timeline_refusal

DIALOG_WIDTH = 720
CHARACTERS_A_LINE = 105
MOST_LINES = 12
EXAMPLE_PROMPT = "an orange circle rises in the sky, the camera pans right"
EXAMPLE_FRAMES = 48
ENTER_KEYS = ("RET", "NUMPAD_ENTER")
HAS_IT = "The strip has this take already, or waits for it: change the words, or press New Take for another seed."
_OPERATORS: dict[Task, Any] = {
    Task.TEXT_TO_VIDEO: make_takes.WAN_VSE_OT_generate,
    Task.IMAGE_TO_VIDEO: make_takes.WAN_VSE_OT_animate_picture,
    Task.RESTYLE: make_takes.WAN_VSE_OT_restyle,
    Task.FILL_GAP: make_takes.WAN_VSE_OT_fill_gap,
    Task.EXTEND: make_takes.WAN_VSE_OT_extend,
    Task.PREVIS: make_takes.WAN_VSE_OT_dress_previs,
    Task.EDIT: make_takes.WAN_VSE_OT_edit_footage,
}
_BY_NAME = {
    each.bl_idname.partition(".")[2]: each for each in make_takes.CLASSES if issubclass(each, make_takes.TaskOperator)
}


def _ours() -> Any:
    return bpy.ops.wan_vse  # type: ignore[attr-defined]  # Blender's types don't know it


def _maker(settings: Any, making: str) -> Any:
    """The operator that is named, else that of the panel's button; None for a new take of the selected one."""
    if making in _BY_NAME:
        return _BY_NAME[making]
    return None if shown_field(settings) == TAKE_FIELD else _OPERATORS[task_of(settings)]


def _field(settings: Any, making: str) -> str:
    """The setting with the prompt that the operator uses."""
    maker = _maker(settings, making)
    return TAKE_FIELD if maker is None else request.PROMPT_FIELDS[maker.task]


def make_shown(context: bpy.types.Context, how: str, making: str = "") -> Result:
    """Press the panel's button, or make what is named. Invoked, it asks for the words where only they are missing."""
    settings = settings_of(context)
    maker = _maker(settings, making)
    if maker is None:
        made: Result = _ours().new_take(how, count=settings.take_count)
        return made
    result: Result = getattr(_ours(), maker.bl_idname.partition(".")[2])(how)
    return result


def shown_refusal(context: bpy.types.Context, making: str = "") -> str:
    """Why the panel's button can't be pressed, or what is named not be made; empty if it can."""
    sentence = timeline_refusal(context) or backend_refusal()
    if sentence:
        return sentence
    maker = _maker(settings_of(context), making) or takes.WAN_VSE_OT_new_take
    return str(maker.refusal(context))


def words_refusal(context: bpy.types.Context, making: str = "") -> str:
    """What is wrong with the words alone."""
    maker = _maker(settings_of(context), making)
    return "" if maker is None else str(maker.words_refusal(context))


class WAN_VSE_OT_make_shown(Refusing, bpy.types.Operator):
    """Make what the Wan tab of the sidebar shows: a take of its task, or a new take of the selected one"""

    bl_idname = "wan_vse.make_shown"
    bl_label = "Wan: Make What the Panel Shows"
    bl_options: ClassVar = {"UNDO"}  # what it calls makes no step of its own

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return shown_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """By a key: with a dialog where only words are missing."""
        return make_shown(context, "INVOKE_DEFAULT")

    def execute(self, context: bpy.types.Context) -> Result:
        return make_shown(context, "EXEC_DEFAULT")


class WAN_VSE_OT_enter_prompt(bpy.types.Operator):
    """Make the selected take in the words of its field, with the same seed, if the field was left by Enter"""

    bl_idname = "wan_vse.enter_prompt"
    bl_label = "Wan: Enter Prompt"
    bl_options: ClassVar = {"INTERNAL"}  # no UNDO: Blender's own step for the edited field takes all of it back

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Called by the field, whichever way it was left."""
        return self.execute(context) if event.type in ENTER_KEYS else {"CANCELLED"}

    def execute(self, context: bpy.types.Context) -> Result:
        has_it = takes.has_edited_take(context) if preferences.get().enter_makes_take else None
        if has_it is None:
            return {"CANCELLED"}
        refusal = takes.WAN_VSE_OT_new_take.refusal(context)
        try:
            if refusal or has_it:
                raise request.Refused(f"{rpt_(refusal)}." if refusal else rpt_(HAS_IT))
            takes.ask_again(context, same_seed=True)
        except request.Refused as refused:
            _say(context, refused.sentence)
            return {"CANCELLED"}
        return {"FINISHED"}


def _say(context: bpy.types.Context, sentence: str) -> None:
    """Show a sentence at the mouse: Blender shows no report of an operator that a property has called."""

    def draw(menu: Any, context: bpy.types.Context) -> None:
        for line in textwrap.wrap(sentence, CHARACTERS_A_LINE):
            menu.layout.label(text=line, translate=False)

    context.window_manager.popup_menu(draw, title="No take was started", icon="INFO")


class WAN_VSE_OT_prompt_dialog(Refusing, bpy.types.Operator):
    """Write the prompt in a dialog with room, and make the take from there"""

    bl_idname = "wan_vse.prompt_dialog"
    bl_label = "Wan: Write Prompt"
    bl_options: ClassVar = {"UNDO"}  # what it calls makes no step of its own

    making: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The operator that makes the take, without "wan_vse."; empty for the panel's button."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Show the dialog; Enter makes the take."""
        return context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title="Prompt", confirm_text="Generate"
        )

    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_of(context)
        layout, name = self.layout, _field(settings, self.making)
        row = layout.row(align=True)
        row.scale_y = 1.3
        row.activate_init = True
        row.prop(settings, name, text="")
        row.menu("WAN_VSE_MT_prompts", text="", icon="RECOVER_LAST")
        row.menu("WAN_VSE_MT_presets", text="", icon="PRESET")
        text = str(getattr(settings, name))
        lines = textwrap.wrap(text[: CHARACTERS_A_LINE * MOST_LINES], CHARACTERS_A_LINE) if text else [""]
        column = layout.column(align=True)
        for line in lines[:MOST_LINES]:
            column.label(text=line, translate=False)
        if name != TAKE_FIELD:
            column = layout.column()
            column.use_property_split, column.use_property_decorate = True, False
            column.prop(settings, "style_words")
            column.prop(settings, "negative_prompt")
        sentence = shown_refusal(context, self.making) or words_refusal(context, self.making)
        if sentence:
            layout.label(text=sentence, icon="INFO")

    def execute(self, context: bpy.types.Context) -> Result:
        sentence = shown_refusal(context, self.making) or words_refusal(context, self.making)
        if sentence:
            self.report({"WARNING"}, f"{rpt_(sentence)}.")
            return {"CANCELLED"}
        return make_shown(context, "EXEC_DEFAULT", self.making)


class WAN_VSE_OT_make_example(Refusing, bpy.types.Operator):
    """Make a first small take with the model that is part of the extension; it needs no download and no footage"""

    bl_idname = "wan_vse.make_example"
    bl_label = "Wan: Make an Example"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context) or backend_refusal()
        if not sentence and len(compat.shown_strips(compat.sequencer_scene(context))):
            sentence = "The timeline is not empty: an example is for a new file"
        return sentence

    def execute(self, context: bpy.types.Context) -> Result:
        """Set the panel to what the example needs, so that it says what was made, and ask for the take."""
        settings = settings_of(context)
        settings.task = Task.TEXT_TO_VIDEO.name
        settings.model_id, settings.resolution_name = EMBEDDED, ""
        settings.prompt_source, settings.prompt = "FIELD", settings.prompt or EXAMPLE_PROMPT
        settings.length_mode, settings.length_frames = "GAP", EXAMPLE_FRAMES
        result: Result = _ours().generate()
        return result


CLASSES = (WAN_VSE_OT_make_shown, WAN_VSE_OT_enter_prompt, WAN_VSE_OT_prompt_dialog, WAN_VSE_OT_make_example)
