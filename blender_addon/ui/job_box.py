"""The details of one job: what it was asked for, how far it is or how it ended, and what can be done with it."""

from __future__ import annotations

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import JobState, JobStatus, TakeRequest
from ...wan_backend.protocol.sentences import as_sentence
from ..jobs import queue_time, session, unknown_jobs
from ..operators.queue_jobs import retry_refusal
from ..timeline import compat
from ..translation import translated
from . import live_preview_icon, paragraph, shown_marks, task_box, thumbnail_icons, training_job, wording

HELD = "Another Blender window has this job: retry or clear it there. When that window is closed, the job moves here."


def draw_job(box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus) -> None:
    """One job in full."""
    request = _details(job)
    title = wording.title(request.shown_prompt if request else job.summary.title, job.summary.task)
    if job.summary.training is not None:
        title = wording.job_title(job)
    paragraph.draw(box, context, title, wording.icon(job), max_lines=4, translate=False)
    if job.problem is not None and job.state is not JobState.CANCELED:
        draw_problem(box, context, job)
    elif job.state.ended:
        paragraph.draw(box, context, _ending(job))
        notes = as_sentence(job.sentence).without_first("Done.") if job.state is JobState.DONE else ""
        if notes:
            paragraph.draw(box, context, notes, "INFO")
    else:
        box.progress(factor=job.progress, type="BAR", text=wording.progress(job))
        if job.sentence and not wording.progress_says(job, job.sentence):
            paragraph.draw(box, context, job.sentence, "PAUSE" if wording.is_held(job) else "NONE")
        live_preview_icon.draw(box, job)
    training_job.draw(box, context, job)
    if job.held_elsewhere:
        paragraph.draw(box, context, HELD, "WINDOW")
    note = session.current().file.notes.get(job.job_id, "") or session.current().file.problems.get(job.job_id, "")
    if note:
        paragraph.draw(box, context, note, "INFO")
    if request is not None:
        if request.training is None:
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
        button = box.operator("wan_vse.apply_fix", text=translated(fix.label), icon="TOOL_SETTINGS")
        button.setting, button.value = fix.setting or "", fix.value
        button.action, button.job_id = fix.action or "", job.job_id
    if job.problem.log:
        box.operator("wan_vse.open_log", text="Open Log", icon="TEXT").path = job.problem.log


def _ending(job: JobStatus) -> str:
    made = queue_time.seconds_made(job)
    if job.state is JobState.DONE and made:
        return iface_("Done in {}").format(wording.duration(made))
    return wording.state_words(job)


def _draw_facts(
    box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus, request: TakeRequest | None
) -> None:
    asked = job.summary
    row = session.current().server.model(asked.model)
    column = box.column(align=True)
    column.active = False
    facts = iface_("{}, seed {}").format(row.label if row else asked.model, asked.seed)
    what = training_job.KIND_WORDS[asked.training] if asked.training is not None else task_box.name_of(asked.task)
    paragraph.draw(column, context, f"{iface_(what)}: {facts}", translate=False)
    if asked.loras:
        paragraph.draw(
            column, context, wording.loras(request.loras) if request else iface_("LoRAs: {}").format(asked.loras)
        )
    plan = session.current().server.details.plan_of(job.job_id)
    if plan is not None and plan.training is not None:
        paragraph.draw(column, context, training_job.plan_words(plan), translate=False)
    elif plan is not None:
        paragraph.draw(column, context, ", ".join(wording.plan(plan)))


def _is_placed(context: bpy.types.Context, job: JobStatus) -> bool:
    scene = compat.sequencer_scene(context)
    return scene is not None and job.job_id in shown_marks.marks(scene).taken


def _draw_job_buttons(box: bpy.types.UILayout, context: bpy.types.Context, job: JobStatus) -> None:
    row = box.row(align=True)
    if not job.state.ended:
        if wording.is_held(job):
            row.operator("wan_vse.resume_job", text="Resume", icon="PLAY").job_id = job.job_id
        elif session.current().jobs.is_on_server(job.job_id):
            row.operator("wan_vse.hold_job", text="Hold", icon="PAUSE").job_id = job.job_id
        row.operator("wan_vse.cancel_job", text="Cancel", icon="X").job_id = job.job_id
    elif job.take is None:
        trained = job.summary.training is not None and job.state is JobState.DONE
        if not trained and not retry_refusal(job):
            row.operator("wan_vse.retry_job", text="Retry", icon="FILE_REFRESH").job_id = job.job_id
    else:
        text = "Place Again" if _is_placed(context, job) else "Place"
        row.operator("wan_vse.place_take", text=text, icon="SEQUENCE").job_id = job.job_id
    if job.summary.training is None:
        row.operator("wan_vse.show_take", text="Show", icon="VIEWZOOM").job_id = job.job_id
    row.operator("wan_vse.load_settings", text="Settings", icon="COPYDOWN").job_id = job.job_id
