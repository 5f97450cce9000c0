"""Ends every job that has not ended."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..jobs import tracker
from ..stopwatch import timed
from .refusing import Refusing
from .standing import standing


class WAN_VSE_OT_cancel_all(Refusing, bpy.types.Operator):
    """End every job that runs or waits. Each can be tried again"""

    bl_idname = "wan_vse.cancel_all"
    bl_label = "Wan: Cancel All Jobs"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if standing().going_on else "No job runs or waits"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_confirm(self, event)

    @timed("operator cancel_all")
    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs = _going_on()
        for job_id in jobs:
            tracker.get().cancel(job_id)
        self.report({"INFO"}, f"Canceling {len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}.")
        return {"FINISHED"}


def _going_on() -> list[str]:
    return [job.job_id for job in standing().going_on]
