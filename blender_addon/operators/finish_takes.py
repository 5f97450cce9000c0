"""The operator that makes the take of a strip larger, picture for picture, as one more take of the strip."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import ExtraRow, Finish, Pictures, Role, Source, TakeRequest
from ..jobs import planned_takes, request, session, takes_again, unknown_jobs
from ..stopwatch import timed
from ..timeline import compat, identity, scene_format, strip_takes, untrusted
from ..translation import translated
from .make_takes import generate_all
from .refusing import Result, backend_refusal
from .takes import NO_SETTINGS, OnTake, take_strip

FACTORS = {"TWO": 2, "FOUR": 4, "SCENE": 0}
"""Each size with its number in a request."""
NO_UPSCALER = (
    "No upscaling model is here: download one in the preferences, or put one into 'upscale_models' of a models folder"
)
LARGER_ALREADY = "This take was made larger already: flip to the one that it was made from"
GONE = "The files of this take are gone: find them, or make the take again"


def upscalers() -> list[ExtraRow]:
    """The upscaling models that are on the machine that makes takes."""
    return [row for row in session.current().server.extras if row.upscales and row.here]


_items: list[tuple[str, str, str]] = []
"""Blender keeps no reference to the texts of an enumeration that a function makes."""


def _upscaler_items(_operator: Any, _context: Any) -> list[tuple[str, str, str]]:
    _items[:] = [(row.model, row.label, row.licence) for row in upscalers()] or [("NONE", "None", "")]
    return _items


class WAN_VSE_OT_finish_take(OnTake, bpy.types.Operator):
    """Make the shown take larger with an upscaling model, as one more take of this strip, picture for picture"""

    bl_idname = "wan_vse.finish_take"
    bl_label = "Wan: Make Take Larger"
    bl_options: ClassVar = {"UNDO"}  # no REGISTER: adjusting it would ask once more

    factor: bpy.props.EnumProperty(
        name="Size",
        description="How large the take becomes",
        items=[
            ("TWO", "2x", "Twice as wide and high"),
            ("FOUR", "4x", "Four times as wide and high"),
            ("SCENE", "Scene's Size", "As large as fills the scene's frame"),
        ],
    )
    upscaler: bpy.props.EnumProperty(
        name="Upscaling Model", description="What makes the pictures larger", items=_upscaler_items
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = super().refusal(context)
        if sentence:
            return sentence
        made, _ = _shown(take_strip(context))
        if made is None:
            return NO_SETTINGS
        if made.finish is not None:
            return LARGER_ALREADY
        return backend_refusal() or ("" if upscalers() else NO_UPSCALER)

    def invoke(self, context: Any, event: bpy.types.Event) -> Result:
        """Ask which upscaling model, where there are several."""
        if len(upscalers()) > 1:
            result: Result = context.window_manager.invoke_props_dialog(
                self, title="Make Take Larger", confirm_text="Make Larger"
            )
            return result
        return self.execute(context)

    @timed("operator finish_take")
    def execute(self, context: bpy.types.Context) -> Result:
        scene, strip, _ = self.found(context)
        try:
            identity.sweep()  # a copy of the strip, just made, gets an id of its own
            planned = _planned(scene, strip, self.upscaler, FACTORS[self.factor])
            generate_all(scene, planned, 1, strip.name, untrusted.id_in(strip, identity.STRIP))
        except request.Refused as refused:
            self.report({"WARNING"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("Started to make the take of '{}' larger.").format(strip.name))
        return {"FINISHED"}


def _shown(strip: compat.Strip | None) -> tuple[TakeRequest | None, strip_takes.KeptTake | None]:
    """What the strip's shown take was asked for, and the take; None where that can't be read."""
    index = strip_takes.shown_index(strip) if strip is not None else None
    if strip is None or index is None:
        return None, None
    kept = strip_takes.takes_of(strip)[index]
    text = strip_takes.request_text(strip, kept.job_id)
    return (untrusted.request(text) if text else None), kept


def _planned(scene: bpy.types.Scene, strip: compat.Strip, upscaler: str, factor: int) -> planned_takes.PlannedTake:
    """The larger take, which comes onto the strip. Raises Refused."""
    made, kept = _shown(strip)
    take = untrusted.take(strip_takes.made_of(strip, kept.job_id).take) if kept is not None else None
    if made is None or kept is None or take is None:
        raise request.Refused(f"{rpt_(NO_SETTINGS)}.")
    files = kept.files()
    pictures = Source(
        Role.FOOTAGE,
        bpy.path.abspath(files.folder),
        list(files.files),
        kept.is_movie,
        frames=kept.frames,
        pictures=Pictures(take.width, take.height),
    )
    places = {os.path.join(pictures.folder, name) for name in (files.files[0], files.files[-1])}
    if not unknown_jobs.may_be_read(pictures, now=True) or not all(map(os.path.isfile, places)):
        raise request.Refused(f"{rpt_(GONE)}.")
    width, height = scene_format.square_size(scene)
    finish = Finish(upscaler, factor, kept.job_id, kept.handle_before, kept.handle_after, made.is_composite)
    length = kept.frames - kept.handle_before - kept.handle_after
    larger = replace(made, width=width, height=height, length_frames=length, sources=[pictures], finish=finish)
    asked = strip_takes.provenance_text(strip, kept.job_id)
    return planned_takes.PlannedTake(takes_again.in_place(scene, strip, larger), provenance_text=asked)


CLASSES = (WAN_VSE_OT_finish_take,)
