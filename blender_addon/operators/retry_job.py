"""Asks once more for a job that ended without a take."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import JobStatus
from ..jobs import tracker
from .refusing import HELD_ELSEWHERE, OnJob, backend_refusal


class WAN_VSE_OT_retry_job(OnJob, bpy.types.Operator):
    """Put the job at the end of the queue once more, exactly as it was asked for"""

    bl_idname = "wan_vse.retry_job"
    bl_label = "Wan: Try Job Again"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if not job.state.ended:
            return "The job has not ended yet"
        if job.take is not None:
            return "The job has its take: use Regenerate for another"
        if job.held_elsewhere:
            return HELD_ELSEWHERE
        return backend_refusal()

    def run(self, context: bpy.types.Context, job: JobStatus) -> set[str]:
        tracker.get().retry(job.job_id)
        return {"FINISHED"}
