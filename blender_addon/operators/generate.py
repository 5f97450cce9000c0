"""Asks for a take of the panel's prompt.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import TakeRequest
from .. import preferences
from ..jobs import request, tracker
from ..properties import WanSettings, WithSettings, settings_of
from ..stopwatch import timed
from ..timeline import compat
from .refusing import Refusing, backend_refusal, timeline_refusal


class WAN_VSE_OT_generate(Refusing, bpy.types.Operator):
    """Ask for a take of the prompt at the playhead. A placeholder stands there until the take is made"""

    bl_idname = "wan_vse.generate"
    bl_label = "Wan: Generate Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return generate_refusal(context)

    @timed("operator generate")
    def execute(self, context: bpy.types.Context) -> set[str]:
        return submit(self, context, settings_of(context))


def generate_refusal(context: bpy.types.Context, **changed: object) -> str:
    """Why no take can be asked for with the panel's settings, as `changed`; empty where it can."""
    sentence = timeline_refusal(context) or backend_refusal()
    if sentence:
        return sentence
    try:
        wanted(compat.sequencer_scene(context), WithSettings(settings_of(context), **changed))
    except request.Refused as refused:
        return refused.sentence.removesuffix(".")  # Blender ends the tooltip's sentence itself
    plan = tracker.get().plan
    if not changed and plan is not None and plan.problem is not None:
        return plan.problem.sentence.removesuffix(".")
    return ""


def wanted(scene: bpy.types.Scene, settings: WithSettings | WanSettings) -> TakeRequest:
    """The request that would be sent now. Raises Refused."""
    return request.build(scene, settings, preferences.get())


def submit(operator: bpy.types.Operator, context: bpy.types.Context, settings: WithSettings | WanSettings) -> set[str]:
    """Ask for a take, show the seed that it got, and report; the operator's result."""
    scene = compat.sequencer_scene(context)
    try:
        asked = wanted(scene, settings)
        asked = request.within_model(asked, tracker.get().model(asked.model))
        tracker.get().generate(scene, asked)
    except request.Refused as refused:
        operator.report({"WARNING"}, refused.sentence)
        return {"CANCELLED"}
    scene.wan_vse.seed = asked.seed
    end = asked.origin.start + asked.length_frames
    place = f"channel {asked.origin.channel}, frames {asked.origin.start} to {end - 1}"
    operator.report({"INFO"}, f"Asked for a take on {place}.")
    return {"FINISHED"}
