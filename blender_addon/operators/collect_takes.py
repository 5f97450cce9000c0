"""Copies the takes that lie elsewhere beside the .blend."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..jobs import project, request, tracker
from ..stopwatch import timed
from .refusing import Refusing


class WAN_VSE_OT_collect_takes(Refusing, bpy.types.Operator):
    """Copy the takes of this file into the folder wan beside it, so that all can be moved together"""

    bl_idname = "wan_vse.collect_takes"
    bl_label = "Wan: Collect Takes"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if not project.path():
            return "Save the .blend first: the takes are copied beside it"
        return "The takes are being copied already" if tracker.get().collector.busy else ""

    @timed("operator collect_takes")
    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            tracker.get().collect()
        except request.Refused as refused:
            self.report({"INFO"}, refused.sentence)
            return {"CANCELLED"}
        return {"FINISHED"}
