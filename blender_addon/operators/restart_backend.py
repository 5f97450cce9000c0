"""Stops the backend and starts it again."""

from __future__ import annotations

from typing import Any, ClassVar

import bpy

from ..jobs import tracker
from ..properties import session_of
from ..stopwatch import timed
from .refusing import Refusing
from .standing import standing


class WAN_VSE_OT_restart_backend(Refusing, bpy.types.Operator):
    """Stop the backend and start it again with the preferences as they are now. Waiting jobs stay in the queue"""

    bl_idname = "wan_vse.restart_backend"
    bl_label = "Wan: Restart Backend"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "The backend is being set up" if tracker.get().setup.state == "running" else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        if standing().going_on:
            return context.window_manager.invoke_confirm(self, event)
        return self.execute(context)

    @timed("operator restart_backend")
    def execute(self, context: bpy.types.Context) -> set[str]:
        session_of(context).restart_needed = False
        tracker.get().restart()
        return {"FINISHED"}
