"""Ends a download and removes what came of it; or says "not now" to one that was only told of.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..jobs import tracker
from .on_model import OnModel, size
from .refusing import backend_refusal


class WAN_VSE_OT_cancel_download(OnModel, bpy.types.Operator):
    """End the download. What was fetched for it is removed from the disk"""

    bl_idname = "wan_vse.cancel_download"
    bl_label = "Wan: Cancel Download"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return backend_refusal()

    def model_refusal(self) -> str:
        downloads = tracker.get().downloads
        known = downloads.status(self.model) or downloads.plans.get(self.model) or downloads.refused.get(self.model)
        return "" if known else "The model is not being downloaded"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        status = tracker.get().downloads.status(self.model)
        if self.refused():
            return {"CANCELLED"}
        if status is None or not status.done_bytes:
            return self.execute(context)
        message = f"{size(status.done_bytes)} that are here are removed. Pause keeps them."
        return context.window_manager.invoke_confirm(
            self, event, title="Cancel the download?", message=message, confirm_text="Cancel Download"
        )

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.refused():
            return {"CANCELLED"}
        downloads = tracker.get().downloads
        if downloads.status(self.model) is None:
            downloads.forget(self.model)
        else:
            downloads.cancel(self.model)
        return {"FINISHED"}
