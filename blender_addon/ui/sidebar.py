"""The tab "Wan" of the sequencer's sidebar. Each draw_* function shows one concern."""

from __future__ import annotations

import os
import time
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import READ_PROMPT_CHARACTERS, MatrixPrecision
from .. import preferences
from ..jobs import collect, project, request, session
from ..operators import snapshot
from ..operators.apply_settings import request_of_strip
from ..operators.choose_inputs import changes_colors
from ..operators.refusing import timeline_refusal
from ..properties import WanSettings, settings_in
from ..stopwatch import timed
from ..timeline import compat, selection
from . import (
    backend_box,
    download_box,
    lora_list,
    paragraph,
    plan_box,
    queue_list,
    task_box,
    wording,
)

PROMPT_LINES = 6
ELSEWHERE_SECONDS = 3.0
_elsewhere = (False, 0.0)
"""Whether takes lie elsewhere than beside the file, and until which time.monotonic() this is used."""


class _InSequencer:
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Wan"


class WAN_VSE_PT_generate(_InSequencer, bpy.types.Panel):
    """The settings of a take, its plan, and the button."""

    bl_idname = "WAN_VSE_PT_generate"
    bl_label = "Generate"

    @timed("draw: generate")
    def draw(self, context: bpy.types.Context) -> None:
        """Drawing it for the first time starts the backend."""
        layout = self.layout
        session.current().server.want()
        scene = compat.sequencer_scene(context)
        if scene is None:
            paragraph.draw(layout, context, "The sequencer shows no scene: choose or add one in its header.", "INFO")
            return
        refusal = timeline_refusal(context)
        if refusal:
            paragraph.draw(layout, context, f"{iface_(refusal)}.", "INFO")
            return
        settings = settings_in(scene)
        seen = snapshot.read(scene, settings)
        backend_box.draw_notice(layout, context)
        task_box.draw_choice(layout, seen)
        task_box.draw_made_from(layout, context, seen)
        draw_prompt(layout, context, scene, settings)
        draw_model(layout, settings)
        download_box.draw_for(layout, context, settings.model, seen.task.value)
        task_box.draw_settings(layout, scene, settings, seen)
        draw_seed(layout, settings)
        draw_color_hint(layout, context, scene)
        plan_box.draw_outcome(layout, context, scene, seen)
        task_box.draw_button(layout, settings, seen)
        draw_collecting(layout, context)


class WAN_VSE_PT_more(_InSequencer, bpy.types.Panel):
    """Settings that are seldom changed."""

    bl_idname = "WAN_VSE_PT_more"
    bl_label = "More"
    bl_parent_id = "WAN_VSE_PT_generate"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is nothing to set without a scene."""
        return compat.sequencer_scene(context) is not None

    @timed("draw: more")
    def draw(self, context: bpy.types.Context) -> None:
        settings = settings_in(compat.sequencer_scene(context))
        layout = self.layout
        layout.label(text="Negative Prompt")
        layout.prop(settings, "negative_prompt", text="")
        row = layout.row()
        row.label(text="File Format")
        row.prop(settings, "media_format", text="")
        row = layout.row()
        row.label(text="Between Frames")
        row.prop(settings, "conform", text="")
        row = layout.row()
        row.label(text="Matrices")
        row.prop(settings, "matrix_precision", text="")
        draw_skipped_work(layout, context, settings)
        draw_media_folder(layout, context)


class WAN_VSE_PT_queue(_InSequencer, bpy.types.Panel):
    """Every job that the backend has."""

    bl_idname = "WAN_VSE_PT_queue"
    bl_label = "Queue"

    @timed("draw: queue")
    def draw(self, context: bpy.types.Context) -> None:
        queue_list.draw_queue(self.layout, context)
        row = self.layout.row(align=True)
        row.operator("wan_vse.browse_takes", text="Browse Takes", icon="FILEBROWSER")
        row.operator("wan_vse.clean_takes", text="", icon="TRASH")


class WAN_VSE_PT_take(_InSequencer, bpy.types.Panel):
    """How the active strip was made, with buttons for another take like it."""

    bl_idname = "WAN_VSE_PT_take"
    bl_label = "Active Take"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only for strips that were made here."""
        scene = compat.sequencer_scene(context)
        return scene is not None and request_of_strip(compat.active_strip(scene)) is not None

    @timed("draw: take")
    def draw(self, context: bpy.types.Context) -> None:
        made = request_of_strip(compat.active_strip(compat.sequencer_scene(context)))
        layout = self.layout
        paragraph.draw(
            layout, context, wording.title(made.prompt, made.task), "FONT_DATA", PROMPT_LINES, translate=False
        )
        row = session.current().server.model(made.model)
        model, quality = row.label if row else made.model, made.quality.value
        facts = iface_("{}, {}, seed {}").format(model, iface_(quality.capitalize()).lower(), made.seed)
        paragraph.draw(layout, context, facts, "BLANK1")
        if made.matrix_precision is MatrixPrecision.FAST_8_BIT:
            paragraph.draw(layout, context, "Fast 8-bit matrices, if the card had them", "BLANK1")
        if made.loras:
            paragraph.draw(layout, context, wording.loras(made.loras), "BLANK1")
        buttons = layout.row(align=True)
        buttons.operator("wan_vse.regenerate", text="New Seed", icon="FILE_REFRESH").seed = "NEW"
        buttons.operator("wan_vse.regenerate", text="Same Seed", icon="LOOP_BACK").seed = "SAME"
        layout.operator("wan_vse.load_settings", text="Load Settings", icon="COPYDOWN")


class WAN_VSE_PT_backend(_InSequencer, bpy.types.Panel):
    """The program that makes the takes."""

    bl_idname = "WAN_VSE_PT_backend"
    bl_label = "Backend"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @timed("draw: backend")
    def draw(self, context: bpy.types.Context) -> None:
        backend_box.draw_state(self.layout, context)
        self.layout.operator("wan_vse.open_preferences", text="Preferences", icon="PREFERENCES")


def draw_prompt(
    layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene, settings: WanSettings
) -> None:
    """Where the prompt comes from, and as much of it as can be shown."""
    column = layout.column(align=True)
    column.row(align=True).prop(settings, "prompt_source", expand=True)
    if settings.prompt_source == "FIELD":
        field = column.row(align=True)
        field.scale_y = 1.3
        field.prop(settings, "prompt", text="", placeholder="Describe what the take shows")
        _draw_long_prompt(layout, context, settings.prompt)
    elif settings.prompt_source == "TEXT_BLOCK":
        row = column.row(align=True)
        row.prop(settings, "prompt_text", text="")
        row.operator("wan_vse.write_prompt_text", text="", icon="GREASEPENCIL" if settings.prompt_text else "ADD")
        if settings.prompt_text is not None:
            _draw_lines(layout, context, selection.prompt_of_text_block(settings.prompt_text), "The text is empty.")
    else:
        text = selection.prompt_of_text_strip(scene)
        _draw_lines(layout, context, text or "", "Select a text strip in the timeline.")


def _draw_long_prompt(layout: bpy.types.UILayout, context: bpy.types.Context, prompt: str) -> None:
    """A field shows the beginning only: if it does not fit, the whole is written below."""
    if not paragraph.fits(context, prompt):
        column = layout.column()
        column.active = False
        paragraph.draw(column, context, prompt[:READ_PROMPT_CHARACTERS], max_lines=PROMPT_LINES, translate=False)


def _draw_lines(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, otherwise: str) -> None:
    box = layout.box()
    if text.strip():
        paragraph.draw(box, context, text[:READ_PROMPT_CHARACTERS], max_lines=PROMPT_LINES, translate=False)
    else:
        paragraph.draw(box, context, otherwise, "INFO")


def draw_model(layout: bpy.types.UILayout, settings: WanSettings) -> None:
    """Which model, how good and how large."""
    column = layout.column(align=True)
    _labeled(column, "Model").prop(settings, "model", text="")
    _labeled(column, "Size").prop(settings, "resolution", text="")
    layout.row(align=True).prop(settings, "quality", expand=True)


def draw_seed(layout: bpy.types.UILayout, settings: WanSettings) -> None:
    """The seed, its lock, and another one."""
    row = layout.row(align=True)
    field = row.row(align=True)
    field.active = settings.seed_locked
    field.prop(settings, "seed")
    locked = settings.seed_locked
    row.prop(settings, "seed_locked", text="", icon="LOCKED" if locked else "UNLOCKED", toggle=True)
    row.operator("wan_vse.new_seed", text="", icon="FILE_REFRESH")


def draw_color_hint(layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """A warning about a view transform that would change a take's colors."""
    if changes_colors(scene):
        box = layout.box()
        view = scene.view_settings.view_transform
        words = iface_("The {} view changes the colors of footage.").format(iface_(view))
        paragraph.draw(box, context, words, "COLOR")
        box.operator("wan_vse.use_standard_view", text="Use Standard View")


def draw_collecting(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """A button for takes that lie elsewhere than their file, and how collecting them goes."""
    current = session.current()
    if current.collector.busy:
        layout.progress(factor=current.collector.progress, type="BAR", text="Copying takes")
    elif project.path() and _any_elsewhere():
        box = layout.box()
        paragraph.draw(box, context, "Some takes are not beside the .blend file.", "FILE_FOLDER")
        box.operator("wan_vse.collect_takes", text="Collect Takes")
    if current.collector.sentence and not current.collector.busy:
        paragraph.draw(layout, context, current.collector.sentence, "INFO")


def _any_elsewhere() -> bool:
    """Whether takes lie elsewhere; looked up every few seconds, because it takes a walk over all strips."""
    global _elsewhere
    if bpy.app.background or time.monotonic() > _elsewhere[1]:
        _elsewhere = (collect.any_elsewhere(), time.monotonic() + ELSEWHERE_SECONDS)
    return _elsewhere[0]


def draw_skipped_work(layout: bpy.types.UILayout, context: bpy.types.Context, settings: WanSettings) -> None:
    """What a take may leave out; gray, with the reason, if the newest plan says that it can't be done."""
    plan = session.current().server.plan_query.plan
    if plan is not None and plan.problem is not None:
        plan = None  # it wasn't looked at then
    no_interval, no_cache = (plan.no_guidance_interval, plan.no_step_cache) if plan is not None else ("", "")
    column = layout.column(align=True)
    column.enabled = not no_interval
    column.prop(settings, "guidance_in_part")
    if settings.guidance_in_part:
        row = column.row(align=True)
        row.prop(settings, "guidance_start", slider=True)
        row.prop(settings, "guidance_end", slider=True)
    layout.label(text="Step Cache")
    row = layout.row(align=True)
    for choice in ("OFF", "ON", "CALIBRATE"):
        item = row.row(align=True)
        item.enabled = {"ON": not no_cache, "CALIBRATE": plan is None or plan.can_calibrate}.get(choice, True)
        item.prop_enum(settings, "step_cache", choice)
    for reason in filter(None, (no_interval, no_cache)):
        paragraph.draw(layout, context, reason, "INFO")


def draw_media_folder(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The folder that the next takes go into."""
    if project.path() or preferences.get().media_folder:
        text = iface_("Takes are saved to {}").format(f"{request.media_folder(preferences.get())}{os.sep}")
    else:
        text = "Takes are saved to the extension's folder until the .blend file is saved, then to wan/ beside it."
    paragraph.draw(layout, context, text, "FILE_FOLDER")


def _labeled(layout: bpy.types.UILayout, text: str) -> bpy.types.UILayout:
    split = layout.split(factor=0.28, align=True)
    split.label(text=text)
    return split.row(align=True)


CLASSES = (
    WAN_VSE_PT_generate,
    lora_list.WAN_VSE_PT_loras,
    WAN_VSE_PT_more,
    WAN_VSE_PT_queue,
    WAN_VSE_PT_take,
    WAN_VSE_PT_backend,
)
