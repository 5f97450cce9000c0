"""The queue: a row for each job in running order, and the details of the shown one."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import JobState, JobStatus, MediaFormat, as_searched
from ..jobs import session, unknown_jobs
from ..operators.queue_jobs import seconds_left, trains_now
from ..operators.refusing import ROW_POINTER, job_of
from ..properties import active_job_id, panel_state_of
from . import job_box, live_preview_icon, paragraph, shown_job, take_thumbnails, wording

SEARCHES = "Search prompts"
_RESUME: tuple[str, Any] = ("Resume", "PLAY")
_PAUSE: tuple[str, Any] = ("Pause", "PAUSE")
_MOVES: tuple[tuple[str, Any], ...] = (("NEXT", "TRIA_UP_BAR"), ("UP", "TRIA_UP"), ("DOWN", "TRIA_DOWN"))
"""The directions of the buttons beside the list, with their icons."""
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
        name.label(text="", icon=wording.kind_icon(job))
        title = wording.one_line(wording.job_title(job), 80)
        picture = _picture(job)
        if picture:
            name.label(text=title, icon_value=picture, translate=False)
        else:
            name.label(text=title, icon=wording.icon(job), translate=False)
        _draw_row_state(split.row(align=True), job)
        _draw_row_button(row, job)

    def draw_filter(self, context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
        """The search, which also finds jobs without a row."""
        layout.prop(panel_state_of(context), "search", text="", icon="VIEWZOOM", placeholder=SEARCHES)

    def filter_items(self, context: bpy.types.Context, data: bpy.types.AnyType, property_name: str) -> tuple[Any, Any]:
        """All rows, as they come: `refresh` has chosen them."""
        return [], []


def _picture(job: JobStatus) -> int:
    """The icon of what the take looks like so far, or of its first picture; 0 while there is none."""
    if job.take is None:
        return live_preview_icon.icon_of(job)
    take = job.take
    is_movie = take.media_format is not MediaFormat.PNG
    return take_thumbnails.icon_of(take.folder, take.first_file, take.frames, is_movie)


def _is_running(job: JobStatus) -> bool:
    waits = job.state is JobState.QUEUED and not wording.is_rendering(job)
    return not (job.state.ended or waits)


def _draw_row_state(row: bpy.types.UILayout, job: JobStatus) -> None:
    if not _is_running(job):
        row.alert = job.state in RED_STATES
        words = wording.HOLD_WORDS[job.hold] if wording.is_held(job) else wording.state_words(job)
        if not session.current().belongs_here(job.job_id):
            words = "In another file" if job.state is JobState.DONE else iface_("{}, other file").format(iface_(words))
        if job.held_elsewhere:
            words = "Other window"  # its icon says how it is
        row.label(text=words)
    else:
        row.progress(factor=job.progress, type="BAR", text=wording.short_progress(job))


def _draw_row_button(row: bpy.types.UILayout, job: JobStatus) -> None:
    if wording.is_held(job):
        resume = row.operator("wan_vse.resume_job", text="", icon="PLAY", emboss=False)
        resume.job_id = job.job_id
    if not job.state.ended:
        button = row.operator("wan_vse.cancel_job", text="", icon="X", emboss=False)
    elif job.training is not None and job.state is JobState.DONE:
        button = row.operator("wan_vse.use_trained", text="", icon="CHECKMARK", emboss=False)
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
        _draw_going_on(layout, context)
        draw_elsewhere(layout, context)
        return
    shown_job.note_selection(context)
    _draw_going_on(layout, context)
    row = layout.row()
    row.template_list(WAN_VSE_UL_queue.bl_idname, "", panel_state, "rows", panel_state, "active_row", rows=4, maxrows=8)
    job = job_of(active_job_id(context))
    if job is not None:
        buttons = row.column(align=True)
        buttons.context_pointer_set(ROW_POINTER, panel_state.rows[panel_state.active_row])
        _draw_list_buttons(buttons, job)
    if panel_state.left_out:
        words = "and {:,} more that match" if panel_state.search else "and {:,} older ones"
        layout.label(text=iface_(words).format(panel_state.left_out), icon="BLANK1")
    draw_elsewhere(layout, context)
    row = layout.row(align=True)
    row.operator("wan_vse.cancel_all", text="Cancel All", icon="X")
    row.operator("wan_vse.clear_jobs", text="Clear Ended", icon="TRASH")
    if job is not None:
        box = layout.box()
        box.context_pointer_set(ROW_POINTER, panel_state.rows[panel_state.active_row])
        job_box.draw_job(box, context, job)


def _draw_going_on(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What is to be done yet and how long that takes, with the button that pauses it."""
    paused, count = session.current().server.paused, session.current().order().to_make
    if not count and not paused:
        return
    row = layout.row(align=True)
    if paused:
        row.label(text="The queue is paused", icon="PAUSE")
    else:
        row.label(text=wording.takes_being_made(count, seconds_left(), trains_now()))
    words, icon = _RESUME if paused else _PAUSE
    button = row.row(align=True)
    button.alignment = "RIGHT"
    button.operator("wan_vse.pause_queue", text=words, icon=icon)


def _draw_list_buttons(column: bpy.types.UILayout, job: JobStatus) -> None:
    """What a person does with the shown row, beside the list, as Blender has it."""
    for direction, icon in _MOVES:
        button = column.operator("wan_vse.job_next", text="", icon=icon)
        button.direction, button.job_id = direction, job.job_id
    column.separator()
    column.operator("wan_vse.remove_job_row", text="", icon="REMOVE").job_id = job.job_id


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
