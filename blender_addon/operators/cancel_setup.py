"""Stops the set-up of the backend."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ..jobs import tracker
from .refusing import Refusing


class WAN_VSE_OT_cancel_setup(Refusing, bpy.types.Operator):
    """Stop setting up the backend. What was fetched so far is kept for the next try"""

    bl_idname = "wan_vse.cancel_setup"
    bl_label = "Wan: Cancel Set-Up"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if tracker.get().setup.state in ("planning", "planned", "running") else "Nothing is being set up"

    def execute(self, context: bpy.types.Context) -> set[str]:
        tracker.get().setup.cancel()
        return {"FINISHED"}
