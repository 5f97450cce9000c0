"""Ends one job."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import JobStatus
from ..jobs import tracker
from .refusing import OnJob


class WAN_VSE_OT_cancel_job(OnJob, bpy.types.Operator):
    """End the job. Its placeholder stays and says so, and the job can be tried again"""

    bl_idname = "wan_vse.cancel_job"
    bl_label = "Wan: Cancel Job"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        return "The job has ended already" if job.state.ended else ""

    def run(self, context: bpy.types.Context, job: JobStatus) -> set[str]:
        tracker.get().cancel(job.job_id)
        return {"FINISHED"}
