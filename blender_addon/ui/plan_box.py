"""The plan: what would be made and where it would go, before the click; or why it can't be made."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Fix, FixAction, Plan, Problem, ProblemKind
from ..jobs import session
from ..operators import make_takes
from ..operators.snapshot import Snapshot
from . import paragraph, thumbnail_icons, wording


def draw_outcome(
    layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene, seen: Snapshot
) -> None:
    """What would be made and where it would go, as the backend plans it; or why it can't be made."""
    takes, server = seen.takes, session.current().server
    asked = takes.blocked or make_takes.request_with_sources(scene, takes.planned[0])
    if isinstance(asked, str):
        paragraph.draw(layout.box(), context, asked, "INFO")
        return
    if takes.refusal:
        paragraph.draw(layout, context, takes.refusal, "INFO")
    thumbnail_icons.draw(layout, asked)
    if server.status.state != "ready":
        return
    query = server.plan_query
    query.want(asked)
    box = layout.box()
    if query.plan is not None:
        draw_plan(box, context, query.plan)
    else:
        paragraph.draw(box, context, query.sentence or "Planning the take...", "SORTTIME")
    frames = wording.coming_frames(asked.length_frames, query.plan_of(asked))
    start = asked.origin.start
    place = iface_("Channel {}, frames {} to {}").format(asked.origin.channel, start, start + frames - 1)
    paragraph.draw(box, context, place, "SEQUENCE")
    if len(takes.planned) > 1:
        paragraph.draw(box, context, iface_("The first of {} takes").format(len(takes.planned)), "BLANK1")
    if any(source.rendered for source in asked.sources):
        paragraph.draw(box, context, "The source is rendered first, in the background", "RENDER_STILL")


def draw_plan(box: bpy.types.UILayout, context: bpy.types.Context, plan: Plan) -> None:
    """The size and length that the model makes, what was changed to make it possible, and what makes it impossible."""
    if plan.problem is not None:
        draw_problem(box, context, plan, plan.problem)
        return
    model, timeline = wording.plan(plan)
    column = box.column(align=True)
    paragraph.draw(column, context, model, "RENDER_ANIMATION")
    steps = iface_(", {} steps").format(plan.steps)
    paragraph.draw(column, context, timeline + steps + wording.skipped_work(plan), "BLANK1")
    if plan.memory_bytes:
        memory, disk = wording.size(plan.memory_bytes), wording.size(plan.disk_bytes)
        needs = iface_("About {} of memory, {} on disk").format(memory, disk)
        paragraph.draw(box, context, needs, "MEMORY")
    if plan.memory:
        paragraph.draw(box, context, plan.memory, "BLANK1")
    for note in plan.notes:
        paragraph.draw(box, context, note, "INFO")
    for fix in plan.fixes:
        if fix.action is not FixAction.DOWNLOAD or not session.current().server.downloads.is_begun(
            fix.value
        ):  # its box, above, says more
            draw_fix(box, fix)


def draw_problem(box: bpy.types.UILayout, context: bpy.types.Context, plan: Plan, problem: Problem) -> None:
    """Why the take can't be made, with what would help; or that the model is being downloaded."""
    if _is_coming(plan):
        paragraph.draw(box, context, "The model is being downloaded; you can keep working.", "IMPORT")
        return
    if make_takes.may_yet_be_found(plan):
        paragraph.draw(box, context, session.current().server.looking, "SORTTIME")
        return
    column = box.column(align=True)
    column.alert = True
    paragraph.draw(column, context, problem.sentence, "ERROR")
    for fix in problem.fixes:
        if fix.action is not FixAction.DOWNLOAD:  # the model's own box, above, has that button and says more
            draw_fix(box, fix)


def _is_coming(plan: Plan) -> bool:
    """True if the only problem is that the model is still being downloaded."""
    status = session.current().server.downloads.status(plan.model)
    return plan.problem.kind is ProblemKind.MODEL_MISSING and status is not None and status.state.active


def draw_fix(layout: bpy.types.UILayout, fix: Fix) -> None:
    """One thing that would help, as a button."""
    icon: Any = "IMPORT" if fix.action is FixAction.DOWNLOAD else "TOOL_SETTINGS"
    button = layout.operator("wan_vse.apply_fix", text=fix.label, icon=icon)
    button.setting, button.value, button.action = fix.setting or "", fix.value, fix.action or ""
