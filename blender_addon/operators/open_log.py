"""Opens a log file outside of Blender."""

from __future__ import annotations

import os
from typing import ClassVar

import bpy

from ..jobs import tracker
from .refusing import Refusing


class WAN_VSE_OT_open_log(Refusing, bpy.types.Operator):
    """Open the log in the program that shows text files on this machine"""

    bl_idname = "wan_vse.open_log"
    bl_label = "Wan: Open Log"
    bl_options: ClassVar = {"REGISTER"}

    path: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The log; empty for the backend's own."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        session = tracker.get()
        return "" if session.backend.log or session.setup.log or session.jobs() else "There is no log yet"

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = self.path or tracker.get().backend.log or tracker.get().setup.log
        if not os.path.isfile(path):
            self.report({"WARNING"}, f"The log is not there: {path or 'nothing was written yet'}.")
            return {"CANCELLED"}
        bpy.ops.wm.path_open(filepath=path)
        return {"FINISHED"}
