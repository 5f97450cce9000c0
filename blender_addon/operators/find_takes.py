"""An operator that finds takes again whose files are not where the film has them."""

from __future__ import annotations

import math
import time
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import lost_takes, session
from ..stopwatch import timed
from .refusing import OnTimeline, Result

TICK_SECONDS = 0.01
SLICE_SECONDS = 0.005


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
        if not self._begin():
            return {"CANCELLED"}
        if not self._search.go_on(time.perf_counter() + SLICE_SECONDS):
            manager: Any = context.window_manager
            self._timer = manager.event_timer_add(TICK_SECONDS, window=context.window)
            manager.modal_handler_add(self)
            return {"RUNNING_MODAL"}
        return self._end_or_ask(context)

    @timed("modal: find_takes")
    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Go on with the look through the folders. Escape ends it."""
        if event.type == "ESC":
            context.window_manager.event_timer_remove(self._timer)
            return {"CANCELLED"}
        if event.type != "TIMER" or not self._search.go_on(time.perf_counter() + SLICE_SECONDS):
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._end_or_ask(context)

    def _end_or_ask(self, context: bpy.types.Context) -> Result:
        result = self._end()
        if result == {"CANCELLED"}:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        return result

    @timed("operator find_takes")
    def execute(self, context: bpy.types.Context) -> Result:
        if not self._begin():
            return {"CANCELLED"}
        self._search.go_on(math.inf)
        return self._end()

    def _begin(self) -> bool:
        """Find what is found by its name, and begin the search for the rest; False if none is lost."""
        self._lost, chosen = lost_takes.lost(), bpy.path.abspath(self.directory)
        if not self._lost:
            self.report({"INFO"}, rpt_("All takes of this file are where it has them."))
            return False
        self._named = lost_takes.find(self._lost, session.current().cleaner, chosen)
        rest = {job_id: take for job_id, take in self._lost.items() if job_id not in self._named}
        self._search = lost_takes.Search(rest, chosen)
        return True

    def _end(self) -> Result:
        found, lost = self._named | self._search.found, self._lost
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
