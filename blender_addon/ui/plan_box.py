"""The plan: what would be made and where it would go, before the click; or why it can't be made."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import Fix, FixAction, Plan, Problem, ProblemKind, TakeRequest
from ..jobs import session
from ..operators import make_takes
from ..operators.snapshot import ShownTakes, Snapshot
from ..timeline import text_strips
from ..translation import translated
from . import paragraph, thumbnail_icons, wording

LINES = 2
"""The status is so many lines high, whatever it says, unless it says why nothing can be made."""
MOST_LINES = 8
"""Why nothing can be made is said whole; this is only against sentences without an end."""
PANEL = "wan_vse_plan"
MARGIN_UNUSED = 20
"""Pixels of a paragraph's margin that are those of a box, which the status is not in."""


def draw_status(layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene, seen: Snapshot) -> None:
    """Two lines and the small pictures beside them: where the take goes, and what is to be known; or why there is none.

    It is as high whatever it says, unless a reason is longer: it stands below the button, which stays where it is.
    """
    takes, server = seen.takes, session.current().server
    asked = takes.blocked or make_takes.request_with_sources(scene, takes.planned[0])
    if isinstance(asked, str):
        paragraph.draw_lines(layout, context, [(asked, "INFO")], LINES, most=MOST_LINES)
        return
    icons = [icon for _, icon in thumbnail_icons.of(asked)][: thumbnail_icons.MAX_SMALL]
    if server.status.state == "ready":
        server.plan_query.want(asked)
    row = layout.row()
    units = thumbnail_icons.draw_small(row, icons) if icons else 0.0
    words = row.column()
    plan = server.plan_query.plan
    problem = plan.problem if plan is not None and server.status.state == "ready" else None
    words.alert = problem is not None and not _waits(plan)
    lines = _status(scene, asked, takes, plan)
    paragraph.draw_lines(words, context, lines, LINES, width_beside(context, units), most=MOST_LINES)
    if problem is not None and not _waits(plan):
        for fix in problem.fixes:
            if fix.action is not FixAction.DOWNLOAD:  # the model's own box, below, has that button and says more
                draw_fix(layout, fix)


def width_beside(context: bpy.types.Context, units: float) -> float | None:
    """What is left of the region beside pictures of so many units."""
    if not units or context.region is None:
        return None
    return context.region.width + MARGIN_UNUSED - (units * 20 + 8) * context.preferences.system.ui_scale


def _status(scene: bpy.types.Scene, asked: TakeRequest, takes: ShownTakes, plan: Plan | None) -> list[tuple[str, Any]]:
    """The sentences of the two lines, the most important first."""
    server = session.current().server
    if server.status.state == "ready" and plan is not None and plan.problem is not None:
        return [_problem_line(plan, plan.problem)]
    if takes.refusal:
        return [(takes.refusal, "INFO")]
    frames = wording.coming_frames(asked.length_frames, server.plan_query.plan_of(asked))
    place = iface_("{}, channel {}").format(wording.frames(frames), asked.origin.channel)
    if len(takes.planned) > 1:
        place = iface_("{} takes; the first: {}").format(len(takes.planned), place)
    texts = text_strips.burnt_into(scene, takes.planned[0].target)
    if texts:
        words = iface_("The words of '{}' are in the picture that is sent: mute that text strip to leave them out")
        return [(place, "NONE"), (words.format(texts[0]), "INFO")]
    return [(place, "NONE"), _second_line(asked, plan)]


def _second_line(asked: TakeRequest, plan: Plan | None) -> tuple[str, Any]:
    server = session.current().server
    if server.status.state != "ready":
        return "", "NONE"
    if asked.renders_camera_alone:
        return iface_("Looks at the scene's camera first"), "NONE"
    if any(source.rendered for source in asked.sources):
        return iface_("Renders the source first"), "NONE"
    if plan is None:
        return server.plan_query.sentence or iface_("Planning the take..."), "SORTTIME"
    if plan.notes:
        return plan.notes[0], "NONE"
    if plan.expected_seconds is None:
        return iface_("Time not known yet"), "NONE"
    return iface_("About {} on this machine").format(wording.duration(plan.expected_seconds)), "NONE"


def _waits(plan: Plan | None) -> bool:
    """True if the plan's problem will end by itself: its model is being downloaded, or searched for."""
    return plan is not None and plan.problem is not None and (_is_coming(plan) or make_takes.may_yet_be_found(plan))


def _problem_line(plan: Plan, problem: Problem) -> tuple[str, Any]:
    if _is_coming(plan):
        return "The model is being downloaded; you can keep working.", "IMPORT"
    if make_takes.may_yet_be_found(plan):
        return session.current().server.looking, "SORTTIME"
    return problem.sentence, "ERROR"


def draw_folded(layout: bpy.types.UILayout, context: bpy.types.Context, scene: bpy.types.Scene, seen: Snapshot) -> None:
    """The plan in full, in a fold whose header has the size and the steps."""
    header, body = layout.panel(PANEL, default_closed=True)
    server, takes = session.current().server, seen.takes
    plan = server.plan_query.plan if server.status.state == "ready" else None
    words = [iface_("Plan")]
    if plan is not None and plan.problem is None:
        words.insert(0, iface_("Plan: {} x {}, {} steps").format(plan.width, plan.height, plan.steps))
        words.insert(1, iface_("Plan: {} x {}").format(plan.width, plan.height))
    paragraph.draw_header(header, context, words)
    if body is None:
        return
    asked = takes.blocked or make_takes.request_with_sources(scene, takes.planned[0])
    if isinstance(asked, str):
        paragraph.draw(body, context, asked, "INFO")
        return
    if plan is not None:
        draw_plan(body, context, plan)
    place = iface_("Channel {}, frames {} to {}").format(
        asked.origin.channel,
        asked.origin.start,
        asked.origin.start + wording.coming_frames(asked.length_frames, server.plan_query.plan_of(asked)) - 1,
    )
    paragraph.draw(body, context, place, "SEQUENCE")
    thumbnail_icons.draw(body, asked)


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
    if plan.memory and session.current().server.worker.device not in ("", "cpu"):
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
    button = layout.operator("wan_vse.apply_fix", text=translated(fix.label), icon=icon)
    button.setting, button.value, button.action = fix.setting or "", fix.value, fix.action or ""
