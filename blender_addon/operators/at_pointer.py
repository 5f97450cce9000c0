"""What a key or the pie does with what is under the mouse, selected, or around the playhead."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Task
from ..jobs import session
from ..properties import OverriddenSettings, settings_in
from ..stopwatch import timed
from ..timeline import compat, free_space, identity, selection, strip_columns, strip_takes, untrusted
from . import make_takes
from .refusing import Refusing, Result, backend_refusal, timeline_refusal

PIE = "WAN_VSE_MT_pie"
NOTHING_IS_MADE = "Nothing is being made for the selected strips"


class WAN_VSE_OT_fill_gap_here(Refusing, bpy.types.Operator):
    """Fill the gap under the playhead, whatever is selected: from strip to strip, or from the prompt"""

    bl_idname = "wan_vse.fill_gap_here"
    bl_label = "Wan: Fill Gap Here"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    frame: bpy.props.IntProperty(
        name="Frame",
        description="A frame of the gap. The playhead's, if it is not given",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context) or backend_refusal()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask for the words first, where the gap is filled from the prompt alone and that is empty."""
        scene = compat.sequencer_scene(context)
        gap, left, right = selection.around(scene, self._frame(scene))
        alone = gap is not None and (left is None or right is None) and _has(gap, scene.frame_current)
        if alone and not settings_in(scene).prompt.strip():
            bpy.ops.wan_vse.prompt_dialog("INVOKE_DEFAULT", making="generate_into_gap")  # type: ignore[attr-defined]
            return {"CANCELLED"}  # the dialog goes on by itself
        return self.execute(context)

    def _frame(self, scene: bpy.types.Scene) -> int:
        return int(self.frame) if self.properties.is_property_set("frame") else scene.frame_current

    @timed("operator fill_gap_here")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        frame = self._frame(scene)
        gap, left, right = selection.around(scene, frame)
        if gap is None:
            self.report({"WARNING"}, rpt_("There is no gap here: put the playhead into a gap between strips."))
            return {"CANCELLED"}
        settings: Any = settings_in(scene)
        task = Task.FILL_GAP
        if left is None or right is None:
            task, settings = Task.TEXT_TO_VIDEO, OverriddenSettings(settings, length_mode="GAP", prompt_source="FIELD")
            if not _has(gap, scene.frame_current):
                self.report(
                    {"WARNING"}, rpt_("Only one strip touches the gap: put the playhead into it to use the prompt.")
                )
                return {"CANCELLED"}
        return make_takes.submit(self, context, settings, task, selection.Selection(frame))


def _has(gap: free_space.Gap, frame: int) -> bool:
    return gap.start <= frame < gap.end_exclusive


class WAN_VSE_OT_stop_strips(Refusing, bpy.types.Operator):
    """Cancel what is being made for the selected strips. You can retry it"""

    bl_idname = "wan_vse.stop_strips"
    bl_label = "Wan: Stop"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context) or ("" if going_on(context) else NOTHING_IS_MADE)

    @timed("operator stop_strips")
    def execute(self, context: bpy.types.Context) -> Result:
        for job_id in going_on(context):
            session.current().cancel(job_id)
        return {"FINISHED"}


def going_on(context: bpy.types.Context) -> list[str]:
    """The jobs that go on for the selected strips and the active one."""
    scene = compat.sequencer_scene(context)
    active = compat.active_strip(scene)
    strips = strip_columns.selected_strips(scene, selection.MAX_STRIPS)
    asked: list[str] = []
    for strip in (*strips, *([active] if active is not None else [])):
        asked += strip_takes.pending(strip)
        if identity.role_of(strip) == identity.PLACEHOLDER_ROLE:
            asked.append(untrusted.id_in(strip, identity.JOB))
    jobs = (session.current().jobs.get(job_id) for job_id in dict.fromkeys(asked) if job_id)
    return [job.job_id for job in jobs if job is not None and not job.state.ended]


class WAN_VSE_OT_pie(Refusing, bpy.types.Operator):
    """Show what can be done with the strip or the gap under the mouse"""

    bl_idname = "wan_vse.pie"
    bl_label = "Wan: Pie"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Select the strip under the mouse, as a click does, so that the entries are about it."""
        global gap_frame
        gap_frame = None
        region, space = context.region, _anything(context.space_data)
        if region is not None and region.type == "WINDOW" and space.view_type != "PREVIEW":
            place = _anything(region.view2d).region_to_view(event.mouse_region_x, event.mouse_region_y)
            frame, channel = (math.floor(each) for each in place)
            scene = compat.sequencer_scene(context)
            if not choose(scene, frame, channel) and free_space.gap_at(scene, frame) is not None:
                gap_frame = frame
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> Result:
        return bpy.ops.wm.call_menu_pie(name=PIE)


def _anything(known: Any) -> Any:
    """What Blender's types know too little of."""
    return known


gap_frame: int | None = None
"""The frame of the gap that the pie is about; None for the playhead's."""


def choose(scene: bpy.types.Scene, frame: int, channel: int) -> bool:
    """Select and activate the strip there, unless it is selected already; False if there is none."""
    shown = compat.shown_strips(scene)
    columns = strip_columns.columns(shown)
    there = [index for index in columns.overlapping(frame, frame + 1) if columns.channels[index] == channel]
    if not there:
        return False
    strip = shown[there[0]]
    if not strip.select:
        for each in strip_columns.selected_strips(scene):
            each.select = False
        strip.select = True
    scene.sequence_editor.active_strip = strip
    return True


CLASSES = (WAN_VSE_OT_fill_gap_here, WAN_VSE_OT_stop_strips, WAN_VSE_OT_pie)
