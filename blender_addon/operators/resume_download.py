"""Goes on with a download that was paused or failed.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..jobs import tracker
from .on_model import OnModel, fetch_refusal


class WAN_VSE_OT_resume_download(OnModel, bpy.types.Operator):
    """Go on with the download from where it stopped"""

    bl_idname = "wan_vse.resume_download"
    bl_label = "Wan: Resume Download"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return fetch_refusal()

    def model_refusal(self) -> str:
        status = tracker.get().downloads.status(self.model)
        if status is None:
            return "The model is not being downloaded: press Download"
        return "The download is going on" if status.state.active else ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.refused():
            return {"CANCELLED"}
        tracker.get().downloads.start(self.model)
        return {"FINISHED"}
