"""Moves the playhead to a job's strip and selects it."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ...wan_backend.protocol.messages import JobStatus
from ..timeline import compat, identity
from .refusing import OnJob


class WAN_VSE_OT_show_take(OnJob, bpy.types.Operator):
    """Move the playhead to the job's strip and select it"""

    bl_idname = "wan_vse.show_take"
    bl_label = "Wan: Show Strip of Job"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def run(self, context: bpy.types.Context, job: JobStatus) -> set[str]:
        shown = compat.sequencer_scene(context)
        found = [each for each in identity.all_marked() if each.job_id == job.job_id]
        here = next((each for each in found if each.scene == shown), None)
        if here is None:
            elsewhere = f"It is in the scene '{found[0].scene.name}'." if found else "It has no strip in this file."
            self.report({"WARNING"}, elsewhere)
            return {"CANCELLED"}
        for strip in compat.all_strips(shown):
            strip.select = False
        here.strip.select = True
        shown.sequence_editor.active_strip = here.strip
        shown.frame_current = compat.start(here.strip)
        _bring_into_view(context)
        return {"FINISHED"}


def _bring_into_view(context: Any) -> None:
    area = context.area
    if area is None or area.type != "SEQUENCE_EDITOR" or bpy.app.background:
        return
    timeline = next((region for region in area.regions if region.type == "WINDOW"), None)
    if timeline is not None and area.spaces.active.view_type != "PREVIEW":
        with context.temp_override(region=timeline):
            bpy.ops.sequencer.view_frame()
