"""Frees the memory that a loaded model keeps."""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import WorkerState
from ..jobs import tracker
from ..stopwatch import timed
from .refusing import Refusing


class WAN_VSE_OT_free_card(Refusing, bpy.types.Operator):
    """Give the card's memory back to other programs. The model is loaded again with the next job"""

    bl_idname = "wan_vse.free_card"
    bl_label = "Wan: Free Card Memory"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        session = tracker.get()
        if session.backend.state != "ready" or session.worker.state in (WorkerState.NONE, WorkerState.BROKEN):
            return "No model is loaded"
        return "A job is using the card: cancel it first" if session.worker.state is WorkerState.BUSY else ""

    @timed("operator free_card")
    def execute(self, context: bpy.types.Context) -> set[str]:
        tracker.get().free_card()
        return {"FINISHED"}
