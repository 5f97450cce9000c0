"""Puts a finished take on the timeline, again or at last."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import JobStatus
from ..jobs import request, tracker
from ..timeline import compat
from .refusing import OnJob, timeline_refusal


class WAN_VSE_OT_place_take(OnJob, bpy.types.Operator):
    """Put the finished take on the timeline: in place of its placeholder, else where it was asked for"""

    bl_idname = "wan_vse.place_take"
    bl_label = "Wan: Place Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        if not job.state.ended:
            return "The take is still being made"
        return "" if tracker.get().can_place(job.job_id) else "The job has no take that could be placed"

    def run(self, context: bpy.types.Context, job: JobStatus) -> set[str]:
        scene = compat.sequencer_scene(context)
        no_timeline = timeline_refusal(context)
        if scene is None or no_timeline:
            self.report({"WARNING"}, f"{no_timeline}.")
            return {"CANCELLED"}
        try:
            placed = tracker.get().place(job.job_id, scene)
        except request.Refused as refused:
            self.report({"ERROR"}, refused.sentence)
            return {"CANCELLED"}
        if not placed:
            why = tracker.get().problem_of(job.job_id) or "The job has no take that could be placed."
            self.report({"WARNING"}, why)
            return {"CANCELLED"}
        return {"FINISHED"}
