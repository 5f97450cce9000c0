"""Operators on the queue: cancel and retry jobs, place and show takes, clear the list."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import JobState, JobStatus
from ..jobs import queue_time, request, session, unknown_jobs
from ..jobs.job_list import JobOrder
from ..properties import active_job_id
from ..stopwatch import timed
from ..timeline import compat, identity, strip_takes, take_strips
from ..translation import translated
from .refusing import ROW_POINTER, Refusing, Result, backend_refusal, job_of, timeline_refusal

HELD_ELSEWHERE = "Another Blender window has this job: retry it there, or close that window to bring it here"
NO_JOB = "No job is chosen in the queue"
EMPTY_QUEUE = "The queue is empty"
LEFT_SECONDS = 1.0
SAMPLE = 20
"""This many jobs of each state are asked whether an operator can be used on them."""


class QueueState:
    """The queue as `order` has it. What all jobs have to be looked at for is found when it is asked for, once."""

    def __init__(self, order: JobOrder) -> None:
        self.order = order

    @cached_property
    def going_on(self) -> tuple[JobStatus, ...]:
        """The jobs that run, wait or are held, in running order."""
        return jobs_of(self.order.going_on)

    @cached_property
    def sample(self) -> tuple[JobStatus, ...]:
        """The first few jobs of each state."""
        by_state: dict[JobState, list[JobStatus]] = {state: [] for state in JobState}
        for job in session.current().queue():
            same = by_state[job.state]
            if len(same) < SAMPLE:
                same.append(job)
        return tuple(job for few in by_state.values() for job in few)


_last: QueueState | None = None


def queue_state() -> QueueState:
    """The state of the queue, kept for each change of the queue, since polls ask at every redraw."""
    global _last
    order = session.current().order()
    if _last is None or _last.order is not order:
        _last = QueueState(order)
    return _last


def jobs_of(keys: Iterable[tuple[int, int, str]]) -> tuple[JobStatus, ...]:
    """The jobs of these keys of an order, as they are now."""
    get = session.current().jobs.get
    return tuple(job for _, _, job_id in keys if (job := get(job_id)) is not None)


_left: tuple[JobOrder | None, float, float | None] = (None, 0.0, None)
"""The order for which the time was last worked out, until when that is kept, and the seconds."""


def seconds_left() -> float | None:
    """How long the jobs take that run or wait; None if that isn't known. Worked out about once a second."""
    global _left
    order = session.current().order()
    if _left[0] is not order or time.monotonic() > _left[1]:
        ended = jobs_of(order.ended[: queue_time.MAX_LOOKED_AT])
        workers = session.current().server.working_places
        seconds = queue_time.seconds_left(jobs_of(order.going_on), ended, workers)
        _left = order, time.monotonic() + LEFT_SECONDS, seconds
    return _left[2]


def trains_now() -> bool:
    """Whether one of the first jobs of the queue is a training."""
    return any(job.summary.training is not None for job in jobs_of(session.current().order().going_on[:SAMPLE]))


def retry_refusal(job: JobStatus) -> str:
    """Why it would be in vain to try a job again, in a sentence; empty where it wouldn't, as far as is known."""
    refused = unknown_jobs.retry_refusal(job)
    if refused or not unknown_jobs.is_to_be_made(job):
        return refused
    asked = session.current().request_of(job.job_id)
    plan = session.current().server.job_plan_query.plan_of(asked) if asked is not None else None
    return plan.problem.sentence if plan is not None and plan.problem is not None else ""


class OnJob(Refusing):
    """An operator on one job: that of `job_id`, else that of the row it is drawn in, else the chosen one."""

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        """Why this can't be done with `job`; empty if it can."""
        return ""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why the job of the row can't be used; without a row (in a script or F3), why no job can.

        Blender asks before `job_id` is set, so a poll can't know it; `execute` asks again.
        """
        row = getattr(context, ROW_POINTER, None)
        if row is not None:
            job = job_of(row.name)
            return cls.job_refusal(job) if job else NO_JOB
        first = EMPTY_QUEUE
        for job in queue_state().sample:
            sentence = cls.job_refusal(job)
            if not sentence:
                return ""
            first = sentence if first is EMPTY_QUEUE else first
        return first

    def execute(self, context: bpy.types.Context) -> Result:
        """Find the job, then run the operator on it or report why it can't be run."""
        row = getattr(context, ROW_POINTER, None)
        job = job_of(self.job_id or (row.name if row is not None else "") or active_job_id(context))
        if job is None and not self.job_id:
            job = next((each for each in queue_state().sample if not self.job_refusal(each)), None)
        sentence = self.job_refusal(job) if job else NO_JOB
        if job is None or sentence:
            self.report({"WARNING"}, f"{translated(sentence, rpt_)}.")  # type: ignore[attr-defined]
            return {"CANCELLED"}
        with timed(f"operator {type(self).__name__}"):
            return self.run(context, job)

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        """Do it; `job_refusal` was asked before."""
        raise NotImplementedError


class WAN_VSE_OT_cancel_job(OnJob, bpy.types.Operator):
    """Cancel the job. Its placeholder stays, and you can retry the job"""

    bl_idname = "wan_vse.cancel_job"
    bl_label = "Wan: Cancel Job"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        return "The job has already ended" if job.state.ended else ""

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        session.current().cancel(job.job_id)
        return {"FINISHED"}


class WAN_VSE_OT_cancel_all(Refusing, bpy.types.Operator):
    """Cancel all running and waiting jobs. You can retry each of them"""

    bl_idname = "wan_vse.cancel_all"
    bl_label = "Wan: Cancel All Jobs"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if session.current().order().going_on else "No job is running or waiting"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        return context.window_manager.invoke_confirm(self, event)

    @timed("operator cancel_all")
    def execute(self, context: bpy.types.Context) -> Result:
        jobs = _going_on()
        for job_id in jobs:
            session.current().cancel(job_id)
        self.report({"INFO"}, rpt_("Canceling 1 job." if len(jobs) == 1 else "Canceling {} jobs.").format(len(jobs)))
        return {"FINISHED"}


def _going_on() -> list[str]:
    return [job.job_id for job in queue_state().going_on]


class WAN_VSE_OT_retry_job(OnJob, bpy.types.Operator):
    """Add the job to the end of the queue again, with the same settings"""

    bl_idname = "wan_vse.retry_job"
    bl_label = "Wan: Retry Job"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if not job.state.ended:
            return "The job has not ended yet"
        if job.take is not None:
            return "The job has its take: select its strip, and use New Take for another"
        if job.summary.training is not None and job.state is JobState.DONE:
            return "The LoRA is trained: use it, or train another from the panel"
        if job.held_elsewhere:
            return HELD_ELSEWHERE
        return retry_refusal(job).removesuffix(".") or backend_refusal()

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        session.current().retry(job.job_id)
        return {"FINISHED"}


class WAN_VSE_OT_place_take(OnJob, bpy.types.Operator):
    """Put the finished take on the timeline: in place of its placeholder, or else where it was requested"""

    bl_idname = "wan_vse.place_take"
    bl_label = "Wan: Place Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if not job.state.ended:
            return "The take is still being made"
        return "" if session.current().can_place(job.job_id) else "The job has no take to place"

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        scene = compat.sequencer_scene(context)
        no_timeline = timeline_refusal(context)
        if scene is None or no_timeline:
            self.report({"WARNING"}, f"{translated(no_timeline, rpt_)}.")
            return {"CANCELLED"}
        try:
            placed = session.current().place(job.job_id, scene)
        except request.Refused as refused:
            self.report({"ERROR"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        if not placed:
            why = session.current().file.problems.get(job.job_id, "") or "The job has no take to place."
            self.report({"WARNING"}, why)
            return {"CANCELLED"}
        there = (each.strip for each in identity.marked(scene) if job.job_id in strip_takes.jobs_on(each.strip))
        strip = next((strip for strip in there if not strip.mute), None)
        if strip is not None:
            take_strips.choose(scene, strip)
        return {"FINISHED"}


class WAN_VSE_OT_show_take(OnJob, bpy.types.Operator):
    """Move the playhead to the job's strip and select it"""

    bl_idname = "wan_vse.show_take"
    bl_label = "Wan: Show Strip of Job"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        shown = compat.sequencer_scene(context)
        found = [each for each in identity.all_marked() if each.job_id == job.job_id]
        here = next((each for each in found if each.scene == shown), None)
        if here is None:
            nowhere = "The job has no strip in this file."
            if job.take is not None:
                nowhere = "The job has no strip in this file: press Place to put its take on the timeline."
            elsewhere = rpt_("The job's strip is in the scene '{}'.") if found else rpt_(nowhere)
            self.report({"WARNING"}, elsewhere.format(*(each.scene.name for each in found[:1])))
            return {"CANCELLED"}
        take_strips.choose(shown, here.strip)
        shown.frame_current = compat.start(here.strip)
        bring_into_view(context)
        return {"FINISHED"}


def bring_into_view(context: Any) -> None:
    """Scroll the timeline to the playhead."""
    area = context.area
    if area is None or area.type != "SEQUENCE_EDITOR" or bpy.app.background:
        return
    timeline = next((region for region in area.regions if region.type == "WINDOW"), None)
    if timeline is not None and area.spaces.active.view_type != "PREVIEW":
        with context.temp_override(region=timeline):
            bpy.ops.sequencer.view_frame()


_HELD = "Another Blender window has the ended jobs: clear them there, or close that window"


class WAN_VSE_OT_clear_jobs(Refusing, bpy.types.Operator):
    """Remove ended jobs from the list. Their takes stay on the timeline and on disk"""

    bl_idname = "wan_vse.clear_jobs"
    bl_label = "Wan: Clear Ended Jobs"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        order = session.current().order()
        if not order.ended_count:
            return "No job has ended"
        return "" if order.held_count < order.ended_count else _HELD

    @timed("operator clear_jobs")
    def execute(self, context: bpy.types.Context) -> Result:
        session.current().clear()
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_cancel_job,
    WAN_VSE_OT_cancel_all,
    WAN_VSE_OT_retry_job,
    WAN_VSE_OT_place_take,
    WAN_VSE_OT_show_take,
    WAN_VSE_OT_clear_jobs,
)
