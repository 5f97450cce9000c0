"""Takes the jobs that have ended off the list."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..jobs import tracker
from ..stopwatch import timed
from .refusing import Refusing
from .standing import standing

_HELD = "Another window of Blender has the jobs that ended: clear them there, or close that window"


class WAN_VSE_OT_clear_jobs(Refusing, bpy.types.Operator):
    """Take the jobs that have ended off the list. Their takes stay on the timeline and on the disk"""

    bl_idname = "wan_vse.clear_jobs"
    bl_label = "Wan: Clear Ended Jobs"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if not standing().ended:
            return "No job has ended"
        return "" if any(not job.held_elsewhere for job in standing().ended) else _HELD

    @timed("operator clear_jobs")
    def execute(self, context: bpy.types.Context) -> set[str]:
        tracker.get().clear()
        return {"FINISHED"}
