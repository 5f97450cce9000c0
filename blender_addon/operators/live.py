"""Live looks: landing what was seen, and looking at it with another seed."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import request, session
from ..jobs.planned_takes import PlannedTake
from ..properties import settings_in
from ..stopwatch import timed
from ..timeline import compat
from ..translation import translated
from . import make_takes, snapshot
from .refusing import OnTimeline, Refusing, Result, backend_refusal

OFF = "Turn on Live in the Wan tab of the sequencer's sidebar"
ELSEWHERE = "Live drafts are made on this machine alone, and another one makes the takes"
NOTHING = "Nothing was looked at yet: wait until the picture shows what the panel describes"


class WAN_VSE_OT_land_look(OnTimeline, bpy.types.Operator):
    """Put the take that Live shows on the timeline. If only its beginning was seen, make the whole one in Draft"""

    bl_idname = "wan_vse.land_look"
    bl_label = "Wan: Land What Live Shows"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        if session.current().server.machine_name:
            return ELSEWHERE
        if not session.current().live.is_on:
            return OFF
        return backend_refusal() or ("" if _landing(context) is not None else NOTHING)

    @timed("operator land_look")
    def execute(self, context: bpy.types.Context) -> Result:
        scene, landing = compat.sequencer_scene(context), _landing(context)
        seen = session.current().live.seen
        if scene is None or landing is None or seen is None:
            self.report({"WARNING"}, f"{rpt_(NOTHING)}.")
            return {"CANCELLED"}
        try:
            if not seen.whole:
                landing = make_takes.within_its_plan(scene, landing)
            (asked,) = make_takes.generate_all(scene, landing, 1)
        except request.Refused as refused:
            self.report({"WARNING"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        words = "The take that you saw comes to channel {}."
        if not seen.whole:
            words = "The whole take comes to channel {}. Only its beginning was made to look at, so it differs."
        self.report({"INFO"}, rpt_(words).format(asked.origin.channel))
        return {"FINISHED"}


class WAN_VSE_OT_another_look(Refusing, bpy.types.Operator):
    """Look at it with another seed. Live keeps that one until you press this again"""

    bl_idname = "wan_vse.another_look"
    bl_label = "Wan: Another Look"
    bl_options: ClassVar = {"INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if session.current().live.is_on else OFF

    def execute(self, context: bpy.types.Context) -> Result:
        session.current().live.another()
        return {"FINISHED"}


def _landing(context: bpy.types.Context) -> PlannedTake | None:
    """The take that what was seen becomes; None if nothing was seen of what the panel shows."""
    scene = compat.sequencer_scene(context)
    if scene is None:
        return None
    settings = settings_in(scene)
    takes = snapshot.read(scene, settings).takes
    if takes.refusal or not takes.planned:
        return None
    return session.current().live.landing(takes.planned[0], settings.seed_locked)


CLASSES = (WAN_VSE_OT_land_look, WAN_VSE_OT_another_look)
