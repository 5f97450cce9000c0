"""An operator that finds takes again whose files are not where the film has them."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import lost_takes, session
from ..stopwatch import timed
from .refusing import OnTimeline, Result


class WAN_VSE_OT_find_takes(OnTimeline, bpy.types.Operator):
    """Find takes whose files are gone in the film's media folders, their trash, or a folder of your choice"""

    bl_idname = "wan_vse.find_takes"
    bl_label = "Wan: Find Takes"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(
        name="Folder",
        description="A take's folder, a media folder, or the folder in which that lies",
        subtype="DIR_PATH",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        return "Takes are being removed: wait a moment" if session.current().cleaner.removing else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Look where takes of the film may be; ask for a folder if none is found there."""
        result = self.execute(context)
        if result == {"FINISHED"} or not lost_takes.lost():
            return result
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @timed("operator find_takes")
    def execute(self, context: bpy.types.Context) -> Result:
        lost = lost_takes.lost()
        if not lost:
            self.report({"INFO"}, rpt_("All takes of this file are where it has them."))
            return {"CANCELLED"}
        found = lost_takes.find(lost, session.current().cleaner, bpy.path.abspath(self.directory))
        if not found:
            words = (
                "None of the {} lost takes is there." if self.directory else "Choose the folder with the {} lost takes."
            )
            self.report({"WARNING"}, rpt_(words).format(len(lost)))
            return {"CANCELLED"}
        lost_takes.point(lost, found)
        words = "Found 1 take again." if len(found) == 1 else "Found {} takes again."
        if len(found) < len(lost):
            words = "Found {} of {} lost takes again."
        self.report({"INFO"}, rpt_(words).format(len(found), len(lost)))
        return {"FINISHED"}


CLASSES = (WAN_VSE_OT_find_takes,)
