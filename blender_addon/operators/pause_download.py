"""Stops a download for now.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..jobs import tracker
from .on_model import OnModel
from .refusing import backend_refusal


class WAN_VSE_OT_pause_download(OnModel, bpy.types.Operator):
    """Stop the download for now. What was fetched is kept, and Resume goes on from there, also after a restart"""

    bl_idname = "wan_vse.pause_download"
    bl_label = "Wan: Pause Download"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return backend_refusal()

    def model_refusal(self) -> str:
        status = tracker.get().downloads.status(self.model)
        return "" if status is not None and status.state.active else "The download is not going on"

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.refused():
            return {"CANCELLED"}
        tracker.get().downloads.pause(self.model)
        return {"FINISHED"}
