"""Operators on the order of the queue: hold and resume jobs, move them, pause the queue, take a row off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Hold, JobState, JobStatus
from ..jobs import session
from .queue_jobs import OnJob, queue_state
from .refusing import Refusing, Result

_HELD_ELSEWHERE = "Another Blender window has this job"
DIRECTIONS = [
    ("NEXT", "Next", "Make it the next one"),
    ("UP", "Up", "Give it its turn before the one above it"),
    ("DOWN", "Down", "Give it its turn after the one below it"),
]


class WAN_VSE_OT_hold_job(OnJob, bpy.types.Operator):
    """Let the job wait until you resume it. If it is running, it stops at its last step, and the next job begins"""

    bl_idname = "wan_vse.hold_job"
    bl_label = "Wan: Hold Job"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if job.state.ended:
            return "The job has already ended"
        if not session.current().jobs.is_on_server(job.job_id):
            return "The backend does not have the job yet"
        return "The job is held already" if is_held(job) else ""

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        session.current().hold(job.job_id)
        return {"FINISHED"}


class WAN_VSE_OT_resume_job(OnJob, bpy.types.Operator):
    """Give the held job its turn again. If its placeholder is gone, the job gets a new one"""

    bl_idname = "wan_vse.resume_job"
    bl_label = "Wan: Resume Job"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        return "" if is_held(job) else "The job is not held"

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        session.current().resume(job.job_id)
        return {"FINISHED"}


class WAN_VSE_OT_job_next(OnJob, bpy.types.Operator):
    """Move the waiting job in the queue"""

    bl_idname = "wan_vse.job_next"
    bl_label = "Wan: Move Job in the Queue"
    bl_options: ClassVar = {"REGISTER"}

    direction: bpy.props.EnumProperty(
        name="Direction", description="Where to move the job", items=DIRECTIONS, default="NEXT"
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """What the button's direction does."""
        direction = str(getattr(properties, "direction", "NEXT"))
        return next((words for name, _, words in DIRECTIONS if name == direction), "")

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if job.held_elsewhere:
            return _HELD_ELSEWHERE
        return "" if session.current().is_movable(job) else "The job is not waiting for its turn"

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        moved = move_of(job.job_id, self.direction, waiting())
        if moved is None:
            words = "The job is the last one." if self.direction == "DOWN" else "The job is the next one already."
            self.report({"INFO"}, rpt_(words))
            return {"CANCELLED"}
        session.current().move(*moved)
        return {"FINISHED"}


def is_held(job: JobStatus) -> bool:
    """Whether the job waits until it is resumed."""
    return job.state is JobState.QUEUED and job.hold is not Hold.NONE


def waiting() -> list[str]:
    """The jobs that can be moved, in the order of their turns."""
    return [job.job_id for job in queue_state().going_on if session.current().is_movable(job)]


def move_of(job_id: str, direction: str, order: Sequence[str]) -> tuple[str, str] | None:
    """Which job goes before which other one; None if the job is where it is to be."""
    at = order.index(job_id) if job_id in order else -1
    if direction == "DOWN":
        return (order[at + 1], job_id) if 0 <= at < len(order) - 1 else None
    if at <= 0:
        return None
    return job_id, order[0 if direction == "NEXT" else at - 1]


class WAN_VSE_OT_pause_queue(Refusing, bpy.types.Operator):
    """Begin no take until you resume the queue. The running take stops at its last step, and is the first to resume"""

    bl_idname = "wan_vse.pause_queue"
    bl_label = "Wan: Pause or Resume Queue"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """A pause of an empty queue would puzzle whoever asks for the next take."""
        return "" if session.current().server.paused or queue_state().going_on else "No job is running or waiting"

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """What the button does now."""
        return "Resume the queue where it stopped" if session.current().server.paused else str(cls.__doc__)

    def execute(self, context: bpy.types.Context) -> Result:
        server = session.current().server
        server.pause(not server.paused)
        return {"FINISHED"}


class WAN_VSE_OT_remove_job_row(OnJob, bpy.types.Operator):
    """Remove the ended job from the list. Its take stays on the timeline and on disk"""

    bl_idname = "wan_vse.remove_job_row"
    bl_label = "Wan: Remove Job from List"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if not job.state.ended:
            return "The job has not ended yet: cancel it first"
        return _HELD_ELSEWHERE if job.held_elsewhere else ""

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        if not session.current().clear_one(job.job_id):
            words = "The take has not been placed in its file yet: the list alone can place it, so the row stays."
            self.report({"WARNING"}, rpt_(words))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_hold_job,
    WAN_VSE_OT_resume_job,
    WAN_VSE_OT_job_next,
    WAN_VSE_OT_pause_queue,
    WAN_VSE_OT_remove_job_row,
)
