"""The tab "Wan" of the sequencer's sidebar. Each draw_* function shows one concern."""

from __future__ import annotations

import os
import time
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import preferences
from ..jobs import collect, project, request, session
from ..operators import snapshot
from ..operators.choose_inputs import changes_colors
from ..operators.refusing import timeline_refusal
from ..properties import WanSettings, settings_in
from ..stopwatch import timed
from ..timeline import compat
from . import (
    backend_box,
    download_box,
    example_box,
    fields,
    live_box,
    lora_list,
    model_rows,
    paragraph,
    plan_box,
    prompt_box,
    queue_list,
    settings_box,
    stale_list,
    take_box,
    task_box,
    training_box,
)

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
        take = take_box.shown(scene, settings, seen)
        task_box.draw_choice(layout, seen, take)
        if take is not None:
            session.current().live.show(None)  # what is made already isn't looked at
            take_box.draw(layout, context, scene, settings, take)
        else:
            task_box.draw_heading(layout, context, seen)
            prompt_box.draw(layout, context, scene, settings, seen)
            task_box.draw_button(layout, settings, seen)
            plan_box.draw_status(layout, context, scene, seen)
            live_box.draw(layout, context, settings, seen)
            prompt_box.draw_words(layout, context, settings, seen)
            prompt_box.draw_pictures(layout, context, settings, seen)
            example_box.draw(layout, context, scene)
        download_box.draw_for(layout, context, settings.model, seen.task.value)
        draw_color_hint(layout, context, scene)
        draw_collecting(layout, context)
        if take is None:
            settings_box.draw(layout, context, scene, settings, seen)
            lora_list.draw(layout, context, settings)
            plan_box.draw_folded(layout, context, scene, seen)


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
        column = layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        for name in ("negative_prompt", "media_format", "conform", "matrix_precision"):
            column.prop(settings, name)
        draw_skipped_work(layout, context, settings)
        draw_media_folder(layout, context)


class WAN_VSE_PT_stale(_InSequencer, bpy.types.Panel):
    """Takes whose sources have changed, and how making them anew goes."""

    bl_idname = "WAN_VSE_PT_stale"
    bl_label = "Stale Takes"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is mostly nothing to show."""
        return stale_list.has_something()

    @timed("draw: stale takes")
    def draw(self, context: bpy.types.Context) -> None:
        stale_list.draw(self.layout, context)


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


class WAN_VSE_PT_training(_InSequencer, bpy.types.Panel):
    """A LoRA from strips of the timeline."""

    bl_idname = "WAN_VSE_PT_training"
    bl_label = "Train LoRA"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is nothing to train from without a timeline that may be changed."""
        return not timeline_refusal(context)

    @timed("draw: training")
    def draw(self, context: bpy.types.Context) -> None:
        scene = compat.sequencer_scene(context)
        training_box.draw(self.layout, context, scene, settings_in(scene))


class WAN_VSE_PT_models(_InSequencer, bpy.types.Panel):
    """Each model in a row, with its download."""

    bl_idname = "WAN_VSE_PT_models"
    bl_label = "Models"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @timed("draw: models")
    def draw(self, context: bpy.types.Context) -> None:
        model_rows.draw(self.layout, context)


class WAN_VSE_PT_backend(_InSequencer, bpy.types.Panel):
    """The program that makes the takes."""

    bl_idname = "WAN_VSE_PT_backend"
    bl_label = "Backend"
    bl_options: ClassVar = {"DEFAULT_CLOSED"}

    @timed("draw: backend")
    def draw(self, context: bpy.types.Context) -> None:
        backend_box.draw_state(self.layout, context)
        self.layout.operator("wan_vse.open_preferences", text="Preferences", icon="PREFERENCES")


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
    if current.interchange.busy:
        progress = current.interchange.progress
        words = iface_("Importing") if current.interchange.laying else iface_("Exchanging the timeline")
        layout.progress(factor=progress or 0.0, type="BAR" if progress is not None else "RING", text=words)
    if current.interchange.sentence:
        paragraph.draw(layout, context, current.interchange.sentence, "ERROR" if current.interchange.failed else "INFO")


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
    row = fields.row(layout, "Step Cache")
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


CLASSES = (
    WAN_VSE_PT_generate,
    WAN_VSE_PT_more,
    WAN_VSE_PT_stale,
    WAN_VSE_PT_queue,
    WAN_VSE_PT_training,
    WAN_VSE_PT_models,
    WAN_VSE_PT_backend,
)
