"""Shows a strip's takes as lanes: a meta strip with a channel for each, of which one is seen; and back.

Blender's own operators copy, group and ungroup the strips, so what hangs on them (animation, modifiers) comes along.
"""

from __future__ import annotations

from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ..stopwatch import timed
from ..timeline import compat, free_space, identity, strip_takes, untrusted
from .refusing import OnTimeline, Result

LANES = "wan_vse_lanes"
"""A custom property of a meta strip that holds lanes."""
MAX_LANES = 16
ONE_TAKE = "The active strip has only one take: there is nothing to put into lanes"
NO_LANES = "The active strip holds no lanes: choose Takes as Lanes first"
NO_LANE = "Open the lanes (Tab), and select the one to see"


def is_lanes(strip: compat.Strip | None) -> bool:
    """True for a meta strip whose strips are the takes of one place."""
    return strip is not None and strip.type == "META" and untrusted.flag_in(strip, LANES)


def lanes_of(meta: compat.Strip) -> list[compat.Strip]:
    """The lanes, the lowest first."""
    inside = (strip for strip in compat.strips(meta) if identity.role_of(strip) == identity.TAKE_ROLE)
    return sorted(inside, key=lambda strip: strip.channel)


def solo(lanes: list[compat.Strip], chosen: compat.Strip) -> None:
    """Mute all lanes but one."""
    for lane in lanes:
        if lane.mute != (lane != chosen):
            lane.mute = lane != chosen


def _select_only(scene: bpy.types.Scene, strips: list[compat.Strip]) -> None:
    names = {strip.name for strip in strips}
    for strip in compat.shown_strips(scene):
        strip.select = strip.name in names
        strip.select_left_handle = strip.select_right_handle = False
    scene.sequence_editor.active_strip = strips[0]


class WAN_VSE_OT_takes_as_lanes(OnTimeline, bpy.types.Operator):
    """Show each take of the active strip in a lane of its own, in a meta strip. One is seen, the others are muted"""

    bl_idname = "wan_vse.takes_as_lanes"
    bl_label = "Wan: Takes as Lanes"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        strip = compat.active_strip(compat.sequencer_scene(context))
        return "" if strip is not None and len(strip_takes.takes_of(strip)) > 1 else ONE_TAKE

    @timed("operator takes_as_lanes")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        strip = compat.active_strip(scene)
        name, shown = strip.name, untrusted.id_in(strip, identity.JOB)
        takes = [take for take in strip_takes.takes_of(strip) if take.job_id != shown][: MAX_LANES - 1]
        names, refusals = [name], []
        start, end = compat.start(strip), compat.end_exclusive(strip)
        for take in reversed(takes):  # the newest comes to lie highest
            made = self._copy(scene, name, start, end)
            if made is None:
                refusals.append(iface_("Every channel is taken over this strip: make room above it."))
                break
            refusal = strip_takes.show(scene, made, take.job_id)
            made = compat.strip_named(scene, made.name)
            if refusal:
                refusals.append(refusal)
                compat.strips(compat.shown_owner(scene)).remove(made)
            else:
                names.append(made.name)
        lanes = [compat.strip_named(scene, each) for each in names]
        solo(lanes, lanes[0])
        _select_only(scene, lanes)
        bpy.ops.sequencer.meta_make()
        meta = compat.active_strip(scene)
        meta.name, meta[LANES] = iface_("{} (lanes)").format(name[:48]), True
        if refusals:
            self.report({"WARNING"}, refusals[0])
        return {"FINISHED"}

    @staticmethod
    def _copy(scene: bpy.types.Scene, name: str, start: int, end: int) -> compat.Strip | None:
        """A copy of the strip on the next free channel; None if none is free."""
        strip = compat.strip_named(scene, name)
        channel = free_space.first_free_channel(scene, start, end, strip.channel + 1)
        if channel is None:
            return None
        before = {each.name for each in compat.shown_strips(scene)}
        _select_only(scene, [strip])
        bpy.ops.sequencer.duplicate()
        made: Any = next(each for each in compat.shown_strips(scene) if each.name not in before)
        made.channel = channel
        made[identity.STRIP] = identity.new_id()
        return made


class WAN_VSE_OT_solo_lane(OnTimeline, bpy.types.Operator):
    """See this lane, and mute the others"""

    bl_idname = "wan_vse.solo_lane"
    bl_label = "Wan: Solo Lane"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        scene = compat.sequencer_scene(context)
        strip = compat.active_strip(scene)
        inside = strip is not None and is_lanes(_opened(scene)) and identity.role_of(strip) == identity.TAKE_ROLE
        return "" if inside or is_lanes(strip) else NO_LANE

    @timed("operator solo_lane")
    def execute(self, context: bpy.types.Context) -> Result:
        """In the open lanes, see the active one; on the closed ones, the one above that which is seen."""
        scene = compat.sequencer_scene(context)
        strip = compat.active_strip(scene)
        if is_lanes(strip):
            lanes = lanes_of(strip)
            if not lanes:
                return {"CANCELLED"}
            seen = next((index for index, lane in enumerate(lanes) if not lane.mute), -1)
            solo(lanes, lanes[(seen + 1) % len(lanes)])
        else:
            solo(lanes_of(_opened(scene)), strip)
        return {"FINISHED"}


def _opened(scene: bpy.types.Scene) -> compat.Strip | None:
    """The meta strip that is open in the timeline; None if none is."""
    editor = scene.sequence_editor
    return editor.meta_stack[-1] if editor is not None and len(editor.meta_stack) else None


class WAN_VSE_OT_lanes_as_strip(OnTimeline, bpy.types.Operator):
    """Make one strip of the lanes again, which shows the take that is seen and keeps them all"""

    bl_idname = "wan_vse.lanes_as_strip"
    bl_label = "Wan: Lanes as One Strip"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        return "" if is_lanes(compat.active_strip(compat.sequencer_scene(context))) else NO_LANES

    @timed("operator lanes_as_strip")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        meta = compat.active_strip(scene)
        lanes = lanes_of(meta)
        if not lanes:
            self.report({"WARNING"}, rpt_("The lanes hold no take any more: use Blender's own Separate."))
            return {"CANCELLED"}
        chosen = next((lane for lane in lanes if not lane.mute), lanes[0])
        channel, kept = meta.channel, chosen.name
        others = [lane.name for lane in lanes if lane != chosen]
        _select_only(scene, [meta])
        bpy.ops.sequencer.meta_separate()
        for name in others:
            _select_only(scene, [compat.strip_named(scene, name)])
            bpy.ops.sequencer.delete()
        strip = compat.strip_named(scene, kept)
        strip.mute = False
        strip.channel = channel
        _select_only(scene, [strip])
        return {"FINISHED"}


CLASSES = (WAN_VSE_OT_takes_as_lanes, WAN_VSE_OT_solo_lane, WAN_VSE_OT_lanes_as_strip)
