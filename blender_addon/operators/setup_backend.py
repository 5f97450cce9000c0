"""Makes the backend's environment, after saying what that takes.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..jobs import folders, tracker
from .refusing import Refusing


class WAN_VSE_OT_setup_backend(Refusing, bpy.types.Operator):
    """Make the backend's own environment on this machine. You are told how much would be fetched before it is"""

    bl_idname = "wan_vse.setup_backend"
    bl_label = "Wan: Set Up Backend"
    bl_options: ClassVar = {"REGISTER"}

    _timer: bpy.types.Timer | None = None

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if not bpy.app.online_access:
            return "Blender is offline: allow online access in its preferences, under System, then press again"
        return "The backend is being set up already" if tracker.get().setup.state == "running" else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask what would be done, and wait for the answer without holding the window."""
        tracker.get().setup.ask(folders.backend_settings())
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        state = tracker.get().setup.state
        if event.type != "TIMER" or state == "planning":
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        if state == "planned":
            ours: Any = bpy.ops.wan_vse  # type: ignore[attr-defined]  # of which Blender's types know nothing
            ours.confirm_setup("INVOKE_DEFAULT")
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Without a window there is nobody to ask: the script that calls this has decided."""
        tracker.get().setup.create(folders.backend_settings())
        return {"FINISHED"}
