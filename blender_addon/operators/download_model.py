"""Asks the hub what a model would take, then asks the person.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..jobs import tracker
from .on_model import OnModel, fetch_refusal


class WAN_VSE_OT_download_model(OnModel, bpy.types.Operator):
    """Fetch this from Hugging Face. You are told size, licence and free room before anything is fetched"""

    bl_idname = "wan_vse.download_model"
    bl_label = "Wan: Download Model"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    _timer: bpy.types.Timer | None = None

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return fetch_refusal()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask what it would take, and wait for the answer without holding the window."""
        if self.refused():
            return {"CANCELLED"}
        tracker.get().downloads.ask(self.model)
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        downloads = tracker.get().downloads
        if event.type != "TIMER" or downloads.is_asked(self.model):
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        plan = downloads.plans.get(self.model)
        if plan is not None and plan.problem is None:
            ours: Any = bpy.ops.wan_vse  # type: ignore[attr-defined]  # of which Blender's types know nothing
            ours.confirm_download("INVOKE_DEFAULT", model=self.model)
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Without a window there is nobody to ask: the script that calls this has decided."""
        if self.refused():
            return {"CANCELLED"}
        tracker.get().downloads.start(self.model)
        return {"FINISHED"}
