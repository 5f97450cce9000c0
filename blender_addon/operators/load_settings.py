"""Fills the panel with the settings that a take was made with.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Guide, Role, TakeRequest, Task
from ..jobs import loras
from ..properties import LARGEST_SEED, WanSettings, settings_of
from ..stopwatch import timed
from ..timeline import compat, identity, untrusted
from .refusing import ROW_POINTER, Refusing, job_of, request_of_job, timeline_refusal


class WAN_VSE_OT_load_settings(Refusing, bpy.types.Operator):
    """Fill the panel with the settings that the active strip, or the given job, was made with"""

    bl_idname = "wan_vse.load_settings"
    bl_label = "Wan: Load Settings from Strip"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        if sentence or getattr(context, ROW_POINTER, None) is not None:
            return sentence
        return made_refusal(context)

    @timed("operator load_settings")
    def execute(self, context: bpy.types.Context) -> set[str]:
        job = job_of(self.job_id) if self.job_id else None
        if job is not None:
            request = request_of_job(self, job)
            if request is None:
                return {"CANCELLED"}
        else:
            request = request_of(compat.active_strip(compat.sequencer_scene(context)))
        if request is None:
            self.report({"WARNING"}, "There are no settings to load: the strip was not made by Wan VSE.")
            return {"CANCELLED"}
        fill(settings_of(context), request)
        return {"FINISHED"}


def made_refusal(context: bpy.types.Context) -> str:
    """Why the active strip can't tell how it was made; empty where it can."""
    sentence = timeline_refusal(context)
    if sentence:
        return sentence
    if request_of(compat.active_strip(compat.sequencer_scene(context))) is None:
        return "The active strip was not made by Wan VSE: select a take"
    return ""


def request_of(strip: compat.Strip | None) -> TakeRequest | None:
    """The request that `strip` was made for; None where it is not ours or can't be read."""
    text = untrusted.text_in(strip, identity.REQUEST) if strip is not None else ""
    return untrusted.request(text) if text else None


def fill(settings: WanSettings, request: TakeRequest) -> None:
    """Set the panel to what `request` asked for, with its seed locked."""
    settings.prompt_source, settings.prompt = "FIELD", request.prompt
    settings.negative_prompt = request.negative_prompt
    settings.model_id, settings.resolution_name = request.model, request.resolution
    settings.quality, settings.media_format = request.quality.name, request.media_format.name
    settings.length_mode, settings.length_frames = "FRAMES", request.length_frames
    settings.conform = request.conform.name
    loras.fill(settings, request.loras)
    if request.task is Task.RESTYLE:
        settings.strength, settings.guide = request.strength, request.guide.name
    elif request.task is Task.PREVIS:
        settings.freedom = request.strength
        settings.blocking = "EDGES" if request.guide is Guide.EDGES else "DEPTH"
    elif request.task is Task.EXTEND:
        settings.extend_frames = request.length_frames
        settings.extend_direction = "FORWARD" if request.source(Role.AFTER) is None else "BACKWARD"
    settings.seed, settings.seed_locked = min(max(0, request.seed), LARGEST_SEED), True
