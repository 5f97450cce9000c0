"""The training panel: the strips that a LoRA is trained from, what it is called, and what it will cost."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Plan
from ...wan_backend.protocol.sentences import Sentence
from ..jobs import session
from ..jobs.planned_training import PlannedTraining
from ..operators import redrawing, train_lora
from ..operators.make_takes import may_yet_be_found
from ..properties import WanClip, WanSettings
from ..timeline import training_clips
from . import paragraph, plan_box, wording

LIST_ROWS = 4
PANEL = "wan_vse_training_more"
GO_ON_SECONDS = 0.05
MOST_LINES = 12
"""Why nothing can be trained is said whole; this is only against sentences without an end."""
STRIP_ICONS: dict[str, Any] = {
    "MOVIE": "FILE_MOVIE",
    "IMAGE": "RENDERLAYERS",
    "SCENE": "SCENE_DATA",
    "META": "SEQ_STRIP_META",
}


def unregister() -> None:
    """Look at no strip anymore."""
    if bpy.app.timers.is_registered(_go_on):
        bpy.app.timers.unregister(_go_on)


class WAN_VSE_UL_clips(bpy.types.UIList):
    """Rows of `scene.wan_vse.training.clips`."""

    bl_idname = "WAN_VSE_UL_clips"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.AnyType,
        item: WanClip,
        icon: int,
        active_data: bpy.types.AnyType,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        """Whether it is used, the strip, what is wrong with it, and its caption."""
        clips = _clips_by_name.get(item.name)
        row = layout.row(align=True)
        row.prop(item, "use", text="")
        split = row.split(factor=0.4, align=True)
        split.active = item.use
        name = split.row(align=True)
        name.alert = item.use and clips is not None and bool(clips.refusal)
        name.label(text=item.name, icon=_icon(clips), translate=False)
        split.prop(item, "caption", text="", emboss=False, placeholder=_caption_of(clips))


_clips_by_name: dict[str, training_clips.StripClips] = {}
"""What the rows' strips give, as the panel found it before its list is drawn."""


def _icon(clips: training_clips.StripClips | None) -> Any:
    if clips is None:
        return "SEQ_SEQUENCER"
    if clips.refusal:
        return "ERROR"
    kind = clips.summary.type if clips.summary is not None else ""
    return (
        "IMAGE_DATA" if clips.summary is not None and clips.summary.is_still else STRIP_ICONS.get(kind, "SEQ_SEQUENCER")
    )


def _caption_of(clips: training_clips.StripClips | None) -> str:
    """The caption that a strip has of text strips; what stands in its empty field."""
    spoken = clips.pieces[0].caption if clips is not None and clips.pieces else ""
    return spoken or iface_("Caption")


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene, settings: WanSettings) -> None:
    """What is trained, from what, and the button. Drawing it for the first time starts the backend."""
    session.current().server.want()
    asked = settings.training
    planned = train_lora.shown(scene, settings)
    _clips_by_name.clear()
    _clips_by_name.update((each.name, each) for each in planned.clips)
    _draw_strips(layout, settings)
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(asked, "name")
    column.prop(asked, "trigger")
    column.prop(asked, "only_with_trigger")
    column.row().prop(asked, "kind", expand=True)
    column.row().prop(asked, "length", expand=True)
    column.prop(asked, "caption", text="Caption")
    column.prop(asked, "sample_prompt")
    button = layout.row()
    button.scale_y = 1.4
    button.operator("wan_vse.train_lora", text=_button_words(planned), icon="MODIFIER")
    _draw_status(layout, context, settings, planned)
    _draw_more(layout, settings)


def _draw_more(layout: bpy.types.UILayout, settings: WanSettings) -> None:
    """Settings that are seldom changed."""
    header, body = layout.panel(PANEL, default_closed=True)
    header.label(text="More")
    if body is None:
        return
    column = body.column()
    column.use_property_split, column.use_property_decorate = True, False
    for name in ("steps", "learning_rate", "rank", "noisy_share"):
        column.prop(settings.training, name)


def _draw_strips(layout: bpy.types.UILayout, settings: WanSettings) -> None:
    asked = settings.training
    row = layout.row()
    row.template_list(
        WAN_VSE_UL_clips.bl_idname, "", asked, "clips", asked, "active_clip", rows=LIST_ROWS, maxrows=LIST_ROWS
    )
    column = row.column(align=True)
    column.operator("wan_vse.choose_clips", text="", icon="IMPORT").extend = False
    column.operator("wan_vse.choose_clips", text="", icon="ADD").extend = True
    column.operator("wan_vse.remove_clip", text="", icon="REMOVE")


def _button_words(planned: PlannedTraining) -> str:
    """ "Train LoRA, about 40 min"; the first alone while the time isn't known."""
    return wording.with_time(iface_("Train LoRA"), train_lora.plan_of(planned.request))


def _draw_status(
    layout: bpy.types.UILayout, context: bpy.types.Context, settings: WanSettings, planned: PlannedTraining
) -> None:
    """What it is trained from and what it costs; or everything that stands against it."""
    if not train_lora.is_whole():
        paragraph.draw(layout, context, "Looking at the strips...", "SORTTIME")
        if not bpy.app.timers.is_registered(_go_on):
            bpy.app.timers.register(_go_on, first_interval=GO_ON_SECONDS)
        return
    column = layout.column(align=True)
    if planned.clips:
        words = made_of(planned)
        if planned.is_selection:
            words = iface_("The selected strips: {}").format(words)
        paragraph.draw(column, context, words, "SEQ_SEQUENCER", translate=False)
    for reason in planned.reasons:
        paragraph.draw(column, context, reason, "INFO", max_lines=MOST_LINES, translate=False)
    notes = list(planned.notes)
    server = session.current().server
    if planned.request is not None and server.status.state == "ready":
        server.training_plan_query.want(planned.request)
        notes += _draw_plan(column, context, planned)
    for note in notes:
        paragraph.draw(column, context, note, "INFO")


def _draw_plan(layout: bpy.types.UILayout, context: bpy.types.Context, planned: PlannedTraining) -> list[Sentence]:
    """What it costs, or why the backend can't train it; returns the plan's notes."""
    server = session.current().server
    plan = train_lora.plan_of(planned.request)
    if plan is None:
        if not planned.refusals:
            words = server.training_plan_query.sentence or "Planning the training..."
            paragraph.draw(layout, context, words, "SORTTIME")
        return []
    if plan.problem is None:
        paragraph.draw(layout, context, costs(plan), "TIME", translate=False)
        return plan.notes
    if may_yet_be_found(plan):
        paragraph.draw(layout, context, server.looking, "SORTTIME")
    else:
        plan_box.draw_problem(layout, context, plan, plan.problem)
    return []


def _go_on() -> None:
    """Draw again, as not all strips were looked at."""
    redrawing.redraw_sidebars()


def made_of(planned: PlannedTraining) -> str:
    """ "12 clips and 3 stills; 4 of them are rendered first"."""
    moving, stills = training_clips.count(planned.clips)
    parts = []
    if moving or not stills:
        parts.append(iface_("1 clip" if moving == 1 else "{} clips").format(moving))
    if stills:
        parts.append(iface_("1 still" if stills == 1 else "{} stills").format(stills))
    words = iface_(" and ").join(parts)
    if planned.to_render:
        return iface_("{}; Blender renders {} of them first").format(words, planned.to_render)
    return words


def costs(plan: Plan) -> str:
    """ "832 x 480, 33 frames, 1,200 steps: about 40 min, 11.2 GB of memory"."""
    size = iface_("{} x {}, {}, {:,} steps").format(
        plan.width, plan.height, wording.frames(plan.model_frames), plan.steps
    )
    time = iface_("time not known yet")
    if plan.expected_seconds is not None:
        time = iface_("about {}").format(wording.duration(plan.expected_seconds))
    memory = iface_(", {} of memory").format(wording.size(plan.memory_bytes)) if plan.memory_bytes else ""
    return iface_("{}: {}{}").format(size, time, memory)
