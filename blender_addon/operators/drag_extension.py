"""Extends a strip by the mouse: the coming take grows from the strip's end as a ghost, and a click makes it.

Blender stops a handle at the media's end unless C is held, so that a handle alone can't ask for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Task
from ..jobs import planned_takes, session
from ..properties import OverriddenSettings, settings_in
from ..stopwatch import timed
from ..timeline import compat, free_space, scene_format, selection, targets
from . import make_takes
from .refusing import Refusing, Result, backend_refusal, timeline_refusal

NO_STRIP = "Select the strip to extend"
MAX_FRAMES = 1000
_ENDING = {"ESC", "RIGHTMOUSE"}
_MAKING = {"LEFTMOUSE", "RET", "NUMPAD_ENTER"}


@dataclass(frozen=True)
class Ghost:
    """Where the take would go while the mouse is moved, for the timeline's overlay."""

    scene: str
    start: int
    end_exclusive: int
    channel: int


ghost: Ghost | None = None


@dataclass(frozen=True)
class Extension:
    """A strip, and by how many frames it is extended at its end or, backward, at its start."""

    scene: bpy.types.Scene
    strip: selection.StripSummary
    backward: bool
    frames: int

    @property
    def settings(self) -> OverriddenSettings:
        """The panel's settings, with this length and direction."""
        direction = "BACKWARD" if self.backward else "FORWARD"
        return OverriddenSettings(settings_in(self.scene), extend_frames=self.frames, extend_direction=direction)

    @property
    def selected(self) -> selection.Selection:
        """The strip alone."""
        return selection.Selection(self.scene.frame_current, footage=(self.strip,), count=1)

    def target(self) -> targets.Target | str:
        """Where the take goes; or why it can't be made."""
        model = session.current().server.model(self.settings.model)
        found = planned_takes.targets_of(self.scene, self.settings, self.selected, Task.EXTEND, model)
        return found if isinstance(found, str) else found[0]


def strip_to_extend(context: bpy.types.Context) -> selection.StripSummary | None:
    """The active strip if it is selected and has a picture; else None."""
    scene = compat.sequencer_scene(context)
    strip = compat.active_strip(scene)
    if strip is None or not strip.select:
        return None
    found = selection.summarize(strip, free_space.muted_channels(scene))
    return found if found.type not in ("SOUND", "TEXT", "ADJUSTMENT") and not found.waits else None


def at(scene: bpy.types.Scene, strip: selection.StripSummary, backward: bool, frame: int) -> Extension:
    """The extension as far as `frame`, by one frame at least."""
    frames = strip.shown_start - frame if backward else frame - strip.shown_end
    return Extension(scene, strip, backward, max(1, min(frames, MAX_FRAMES)))


def is_backward(context: bpy.types.Context, strip: selection.StripSummary, frame: int) -> bool:
    """True for the strip's start: its handle is selected, or else the mouse is nearer to it."""
    active = compat.active_strip(compat.sequencer_scene(context))
    left, right = active.select_left_handle, active.select_right_handle
    if left != right:
        return bool(left)
    return frame < (strip.start + strip.end_exclusive) / 2


class WAN_VSE_OT_drag_extension(Refusing, bpy.types.Operator):
    """Extend the strip as far as the mouse: move it away from the strip's end, and click"""

    bl_idname = "wan_vse.drag_extension"
    bl_label = "Wan: Extend by Dragging"
    bl_options: ClassVar = {"REGISTER", "UNDO", "BLOCKING"}

    _backward = False

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        return sentence or ("" if strip_to_extend(context) else NO_STRIP) or backend_refusal()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Begin with the nearer end of the strip, or that of the handle that is selected."""
        strip = strip_to_extend(context)
        region = context.region
        if strip is None or region is None or region.type != "WINDOW":
            self.report({"WARNING"}, rpt_("Use this with the mouse over the timeline, on a selected strip."))
            return {"CANCELLED"}
        self._backward = is_backward(context, strip, self._frame(context, event))
        self._show(context, event)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    @timed("operator drag_extension")
    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Follow the mouse; a click makes the take, Esc or the right button makes none."""
        if event.type in _ENDING or strip_to_extend(context) is None:
            return self._end(context, {"CANCELLED"})
        if event.type == "MOUSEMOVE":
            self._show(context, event)
        elif event.type in _MAKING and event.value == "PRESS":
            asked = self._extension(context, event)
            assert asked is not None
            self._end(context, {"FINISHED"})
            return make_takes.submit(self, context, asked.settings, Task.EXTEND, asked.selected)
        elif event.type not in ("MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE"):
            return {"RUNNING_MODAL"}
        return {"PASS_THROUGH"} if event.type != "MOUSEMOVE" else {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator itself, as when another file is loaded."""
        self._end(context, {"CANCELLED"})

    def _show(self, context: bpy.types.Context, event: bpy.types.Event) -> None:
        global ghost
        asked = self._extension(context, event)
        if asked is None:
            return
        found = asked.target()
        if isinstance(found, str):
            ghost, words = None, found
        else:
            ghost = Ghost(asked.scene.name, found.start, found.end_exclusive, found.channel)
            seconds = scene_format.seconds_of(found.length_frames, scene_format.rate_of(asked.scene))
            words = iface_("Extend by {} frames ({:.2f} s)   Click: make it   Esc: end").format(
                found.length_frames, seconds
            )
        if context.area is not None:
            context.area.header_text_set(words)
            context.area.tag_redraw()

    def _extension(self, context: bpy.types.Context, event: bpy.types.Event) -> Extension | None:
        strip = strip_to_extend(context)
        if strip is None:
            return None
        return at(compat.sequencer_scene(context), strip, self._backward, self._frame(context, event))

    @staticmethod
    def _frame(context: bpy.types.Context, event: bpy.types.Event) -> int:
        view: Any = context.region.view2d
        frame: float = view.region_to_view(event.mouse_region_x, event.mouse_region_y)[0]
        return round(frame)

    @staticmethod
    def _end(context: bpy.types.Context, result: Result) -> Result:
        global ghost
        ghost = None
        if context.area is not None:
            context.area.header_text_set(None)
            context.area.tag_redraw()
        return result


CLASSES = (WAN_VSE_OT_drag_extension,)
