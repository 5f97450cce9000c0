"""Asks for another take with a strip's own settings.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Origin, TakeRequest
from .. import preferences
from ..jobs import orders, project, request, sourcing, strangers, tracker
from ..properties import LARGEST_SEED
from ..stopwatch import timed
from ..timeline import compat, free_space, identity, provenance, scene_format, untrusted
from .load_settings import made_refusal, request_of
from .refusing import Refusing, backend_refusal


class WAN_VSE_OT_regenerate(Refusing, bpy.types.Operator):
    """Ask for another take with the active strip's own settings, above it and over the frames that it covers now"""

    bl_idname = "wan_vse.regenerate"
    bl_label = "Wan: Regenerate Take"
    bl_options: ClassVar = {"UNDO"}  # no REGISTER: adjusting it would undo a take that has landed, and ask anew

    seed: bpy.props.EnumProperty(
        name="Seed",
        description="Which seed the new take has",
        items=[
            ("NEW", "New Seed", "Another take of the same prompt"),
            ("SAME", "Same Seed", "The same take once more, such as after its files were lost"),
        ],
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return made_refusal(context) or backend_refusal()

    @timed("operator regenerate")
    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = compat.sequencer_scene(context)
        strip = compat.active_strip(scene)
        made = request_of(strip)
        if made is None:
            self.report({"WARNING"}, f"{made_refusal(context)}.")
            return {"CANCELLED"}
        try:
            again = _again(scene, strip, made, self.seed == "SAME")
            tracker.get().generate(scene, _order(scene, strip, again), strip.name)
        except request.Refused as refused:
            self.report({"WARNING"}, refused.sentence)
            return {"CANCELLED"}
        self.report({"INFO"}, f"Asked for another take on channel {again.origin.channel}.")
        return {"FINISHED"}


def _again(scene: bpy.types.Scene, strip: compat.Strip, made: TakeRequest, same_seed: bool) -> TakeRequest:
    start, end = compat.start(strip), compat.end_exclusive(strip)
    if made.sources:  # they are as long as the take was
        start -= _left_out(strip)
        end = start + made.length_frames
    channel = free_space.first_free_channel(scene, start, end, strip.channel + 1) or free_space.first_free_channel(
        scene, start, end
    )
    if channel is None:
        raise request.Refused("Every channel is taken over this strip: make room above it.")
    return replace(
        made,
        length_frames=end - start,
        frame_rate=scene_format.rate_of(scene),
        seed=made.seed if same_seed else secrets.randbelow(LARGEST_SEED + 1),
        media_folder=request.media_folder(preferences.get()),
        origin=Origin(project.path(), project.id_to_be(), scene.name_full, channel, start),
    )


def _order(scene: bpy.types.Scene, strip: compat.Strip, again: TakeRequest) -> orders.Order:
    """With the sources that the strip was made from, as they lie on the disk; where not, looked at once more."""
    if all(strangers.may_be_read(source) and sourcing.is_there(source) for source in again.sources):
        return orders.Order(again, asked=untrusted.text_in(strip, provenance.ASKED) if again.sources else "")
    asked = provenance.of(strip)
    if asked is None:
        raise request.Refused("What this take was made from is no longer known: select it, and ask anew.")
    start = again.origin.start
    return orders.Order(
        again, provenance.target_again(scene, asked, start, start + again.length_frames, again.origin.channel)
    )


def _left_out(strip: compat.Strip) -> int:
    """How many of the take's first frames the strip doesn't show."""
    if identity.role_of(strip) == identity.PLACEHOLDER_ROLE:
        return identity.offset_frames(strip)
    return max(0, compat.start(strip) - compat.content_start(strip))
