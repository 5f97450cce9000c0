"""The queue: a row for each job, and the details of the chosen one."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import JobState, JobStatus, TakeRequest, as_searched
from ..jobs import session, unknown_jobs
from ..operators.queue_jobs import retry_refusal
from ..operators.refusing import ROW_POINTER, job_of
from ..properties import active_job_id, panel_state_of
from ..timeline import compat
from . import live_preview_icon, paragraph, shown_marks, task_box, thumbnail_icons, wording

HELD = "Another Blender window has this job: retry or clear it there. When that window is closed, the job moves here."
SEARCHES = "Search prompts"
RED_STATES = (JobState.FAILED, JobState.INTERRUPTED)


class WAN_VSE_UL_queue(bpy.types.UIList):
    """Rows of `window_manager.wan_vse.rows`, which hold ids; what they show is asked of the session."""

    bl_idname = "WAN_VSE_UL_queue"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.AnyType,
        item: bpy.types.PropertyGroup,
        icon: int,
        active_data: bpy.types.AnyType,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        """One job: what it is, how far it is, and the button that is most likely wanted."""
        job = job_of(item.name)
        if job is None:
            return
        row = layout.row(align=True)
        row.context_pointer_set(ROW_POINTER, item)
        running = _is_running(job)
        split = row.split(factor=0.5 if running else 0.68, align=True)
        name = split.row(align=True)
        title = wording.one_line(wording.title(job.summary.title, job.summary.task), 80)
        name.label(text=title, icon=wording.STATE_ICONS[job.state], translate=False)
        _draw_row_state(split.row(align=True), job)
        _draw_row_button(row, job)

    def draw_filter(self, context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
        """The search, which also finds jobs without a row."""
        layout.prop(panel_state_of(context), "search", text="", icon="VIEWZOOM", placeholder=SEARCHES)

    def filter_items(self, context: bpy.types.Context, data: bpy.types.AnyType, property_name: str) -> tuple[Any, Any]:
        """All rows, as they come: `refresh` has chosen them."""
        return [], []


def _is_running(job: JobStatus) -> bool:
    waits = job.state is JobState.QUEUED and not wording.is_rendering(job)
    return not (job.state.ended or waits)


def _draw_row_state(row: bpy.types.UILayout, job: JobStatus) -> None:
    if not _is_running(job):
        row.alert = job.state in RED_STATES
        words = wording.STATE_WORDS[job.state]
        if not session.current().belongs_here(job.job_id):
            words = "In another file" if job.state is JobState.DONE else iface_("{}, other file").format(iface_(words))
        if job.held_elsewhere:
            words = "Other window"  # its icon says how it is
        row.label(text=words)
    else:
        row.progress(factor=job.progress, type="BAR", text=wording.short_progress(job))


def _draw_row_button(row: bpy.types.UILayout, job: JobStatus) -> None:
    if not job.state.ended:
        button = row.operator("wan_vse.cancel_job", text="", icon="X", emboss=False)
    elif job.take is None and not unknown_jobs.retry_refusal(job):
        button = row.operator("wan_vse.retry_job", text="", icon="FILE_REFRESH", emboss=False)
    else:
        button = row.operator("wan_vse.show_take", text="", icon="VIEWZOOM", emboss=False)
    button.job_id = job.job_id


def draw_queue(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The list, and the details of the chosen job."""
    panel_state = panel_state_of(context)
    if panel_state.search or panel_state.left_out:
        layout.prop(panel_state, "search", text="", icon="VIEWZOOM", placeholder=SEARCHES)
    if not panel_state.rows:
        layout.label(text=_why_no_rows(panel_state.search), icon="INFO")
        draw_elsewhere(layout, context)
        return
    layout.template_list(
        WAN_VSE_UL_queue.bl_idname, "", panel_state, "rows", panel_state, "active_row", rows=2, maxrows=8
    )
    if panel_state.left_out:
        words = "and {:,} more that match" if panel_state.search else "and {:,} older ones"
        layout.label(text=iface_(words).format(panel_state.left_out), icon="BLANK1")
    draw_elsewhere(layout, context)
    row = layout.row(align=True)
    row.operator("wan_vse.cancel_all", text="Cancel All", icon="X")
    row.operator("wan_vse.clear_jobs", text="Clear Ended", icon="TRASH")
    job = job_of(active_job_id(context))
    if job is not None:
        box = layout.box()
        box.context_pointer_set(ROW_POINTER, panel_state.rows[panel_state.active_row])
        draw_job(box, context, job)


def _why_no_rows(search: str) -> str:
    if not search:
        return "No jobs yet."
    server = session.current().server
    waits = server.status.state == "ready" and server.search_query.waits(as_searched(search))
    return "Searching the prompts..." if waits else "No jobs found."


def draw_elsewhere(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What another window of Blender has on the same machine, of which nothing is in this list."""
    count = session.current().server.held_elsewhere
    if count:
        one = "Another Blender window has 1 more job in its queue. The job moves here when that window is closed."
        many = "Another Blender window has {:,} more jobs in its queue. The jobs move here when that window is closed."
        text = iface_(one) if count == 1 else iface_(many).format(count)
        paragraph.draw(layout, context, text, "WINDOW")


def draw_job(box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus) -> None:
    """One job in full."""
    request = _details(job)
    title = wording.title(request.prompt if request else job.summary.title, job.summary.task)
    paragraph.draw(box, context, title, wording.STATE_ICONS[job.state], max_lines=4, translate=False)
    if job.problem is not None and job.state is not JobState.CANCELED:
        draw_problem(box, context, job)
    elif job.state.ended:
        paragraph.draw(box, context, _ending(job))
        notes = job.sentence.removeprefix("Done.").strip() if job.state is JobState.DONE else ""
        if notes:
            paragraph.draw(box, context, notes, "INFO")
    else:
        box.progress(factor=job.progress, type="BAR", text=wording.progress(job))
        if job.sentence and not wording.progress(job).startswith(job.sentence.rstrip(".")):
            paragraph.draw(box, context, job.sentence)
        live_preview_icon.draw(box, job)
    if job.held_elsewhere:
        paragraph.draw(box, context, HELD, "WINDOW")
    note = session.current().file.notes.get(job.job_id, "") or session.current().file.problems.get(job.job_id, "")
    if note:
        paragraph.draw(box, context, note, "INFO")
    if request is not None:
        thumbnail_icons.draw(box, request)
        _draw_retry_plan(box, context, job, request)
    _draw_facts(box, context, job, request)
    _draw_job_buttons(box, context, job)


def _draw_retry_plan(box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus, request: TakeRequest) -> None:
    """What stands against making a take that no backend has: any .blend may have asked for it."""
    if not unknown_jobs.is_to_be_made(job) or session.current().server.status.state != "ready":
        return
    session.current().server.job_plan_query.want(request)
    refused = retry_refusal(job)
    if refused:
        column = box.column(align=True)
        column.alert = True
        paragraph.draw(column, context, refused, "ERROR")


def _details(job: JobStatus) -> TakeRequest | None:
    """What the job was asked for; None, after asking the backend, if that isn't known yet."""
    request = session.current().request_of(job.job_id)
    if request is None:
        session.current().server.want_details(job.job_id)
    return request


def draw_problem(box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus) -> None:
    """Why a job failed, with what would help and the log."""
    column = box.column(align=True)
    column.alert = True
    paragraph.draw(column, context, job.problem.sentence, "ERROR")
    for fix in job.problem.fixes:
        button = box.operator("wan_vse.apply_fix", text=fix.label, icon="TOOL_SETTINGS")
        button.setting, button.value = fix.setting or "", fix.value
        button.action, button.job_id = fix.action or "", job.job_id
    if job.problem.log:
        box.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = job.problem.log


def _ending(job: JobStatus) -> str:
    spent = job.seconds
    made = spent.load + spent.encode + spent.denoise + spent.decode
    if job.state is JobState.DONE and made:
        return iface_("Done in {}").format(wording.duration(made))
    return wording.STATE_WORDS[job.state]


def _draw_facts(
    box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus, request: TakeRequest | None
) -> None:
    asked = job.summary
    row = session.current().server.model(asked.model)
    column = box.column(align=True)
    column.active = False
    facts = iface_("{}, seed {}").format(row.label if row else asked.model, asked.seed)
    paragraph.draw(column, context, f"{iface_(task_box.name_of(asked.task))}: {facts}")
    if asked.loras:
        paragraph.draw(
            column, context, wording.loras(request.loras) if request else iface_("LoRAs: {}").format(asked.loras)
        )
    plan = session.current().server.details.plan_of(job.job_id)
    if plan is not None:
        paragraph.draw(column, context, ", ".join(wording.plan(plan)))


def _is_placed(context: bpy.types.Context, job: JobStatus) -> bool:
    scene = compat.sequencer_scene(context)
    return scene is not None and job.job_id in shown_marks.marks(scene).taken


def _draw_job_buttons(box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus) -> None:
    row = box.row(align=True)
    if not job.state.ended:
        row.operator("wan_vse.cancel_job", text="Cancel", icon="X").job_id = job.job_id
    elif job.take is None:
        if not retry_refusal(job):
            row.operator("wan_vse.retry_job", text="Retry", icon="FILE_REFRESH").job_id = job.job_id
    else:
        text = "Place Again" if _is_placed(context, job) else "Place"
        row.operator("wan_vse.place_take", text=text, icon="SEQUENCE").job_id = job.job_id
    row.operator("wan_vse.show_take", text="Show", icon="VIEWZOOM").job_id = job.job_id
    row.operator("wan_vse.load_settings", text="Settings", icon="COPYDOWN").job_id = job.job_id
