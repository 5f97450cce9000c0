"""Marks on the timeline: how far each placeholder is, what failed, and where the next take would go.

A draw handler of the sequencer's window region. It only draws, keeps no strip, and costs little: with no job and
without the tab "Wan" in view it leaves at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import blf
import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from ...wan_backend.protocol.messages import JobState, JobStatus, Task
from ..jobs import orders, request, tracker
from ..properties import task_of
from ..stopwatch import timed
from ..timeline import compat, identity
from . import paragraph, wording

Color = tuple[float, float, float, float]

BAR: Color = (0.36, 0.62, 0.96, 0.85)
TRACK: Color = (0.0, 0.0, 0.0, 0.45)
FAILED: Color = (0.75, 0.16, 0.16, 0.75)
OUTLINE: Color = (0.36, 0.62, 0.96, 0.9)
INSIDE: Color = (0.36, 0.62, 0.96, 0.10)
TEXT: Color = (1.0, 1.0, 1.0, 0.95)
_STRIP_LOW, _STRIP_HIGH = 0.05, 0.95
"""A strip's edges within its channel."""
_BAR_HIGH = 0.26
_BODY_HIGH = 0.62
"""So much of a strip lies below the line with its name."""
_POINTS = 10
_FONT = 0

_handler: Any = None


@dataclass(frozen=True)
class Box:
    """A rectangle of the region, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def within(self, width: int, height: int) -> bool:
        """True where any of it is in view."""
        return self.right > 0 and self.left < width and self.top > 0 and self.bottom < height


def register() -> None:
    """Draw from now on; a Blender without a window has nothing to draw in."""
    global _handler
    if not bpy.app.background and _handler is None:
        _handler = bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    """Draw no more."""
    global _handler
    if _handler is not None:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(_handler, "WINDOW")
        _handler = None


@timed("draw: timeline")
def _draw() -> None:
    context = bpy.context
    scene = compat.sequencer_scene(context)
    if scene is None or context.space_data.view_type == "PREVIEW" or context.region.type != "WINDOW":
        return
    if tracker.get().jobs():
        _draw_placeholders(context, scene)
    if tab_in_view(context.area):
        _draw_asked_range(context, scene)
    gpu.state.blend_set("NONE")


def tab_in_view(area: bpy.types.Area) -> bool:
    """True where the sidebar is open at the tab "Wan"."""
    for region in area.regions:
        if region.type == "UI":
            return region.width > 1 and getattr(region, "active_panel_category", "Wan") == "Wan"
    return False


def _draw_placeholders(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    region = context.region
    scale = context.preferences.system.ui_scale
    for strip in compat.shown_strips(scene):
        if strip.type != "COLOR" or strip.get(identity.ROLE) != identity.PLACEHOLDER_ROLE:
            continue
        box = _box(region, compat.start(strip), compat.end_exclusive(strip), strip.channel)
        job = tracker.get().job(str(strip.get(identity.JOB, "")))
        if job is not None and box.within(region.width, region.height):
            _draw_job(job, box, scale)


def _draw_job(job: JobStatus, box: Box, scale: float) -> None:
    height = box.top - box.bottom
    if job.state in (JobState.FAILED, JobState.INTERRUPTED):
        _fill(Box(box.left, box.bottom, box.right, box.bottom + height * _BODY_HIGH), FAILED)
    elif not job.state.ended:
        top = box.bottom + height * _BAR_HIGH
        _fill(Box(box.left, box.bottom, box.right, top), TRACK)
        _fill(Box(box.left, box.bottom, box.left + (box.right - box.left) * job.progress, top), BAR)
    _write(caption(job), box, scale)


def caption(job: JobStatus) -> str:
    """What is written on a placeholder."""
    if job.state is JobState.FAILED and job.problem is not None:
        return f"Failed: {job.problem.sentence}"
    if job.state is JobState.DONE:
        return "Done: press Place in the queue"
    return wording.progress(job)


def _draw_asked_range(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    settings = scene.wan_vse
    task = task_of(settings)
    try:
        places = orders.places_of(scene, settings, task, tracker.get().model(settings.model))
    except request.Refused:
        return
    for place in places:
        frames = place.length_frames
        if task is Task.TEXT_TO_VIDEO and len(places) == 1:
            frames = wording.coming_frames(frames, tracker.get().plan)
        box = _box(context.region, place.start, place.start + frames, place.channel)
        if box.within(context.region.width, context.region.height):
            _fill(box, INSIDE)
            _outline(box, OUTLINE)


def _box(region: bpy.types.Region, start: int, end_exclusive: int, channel: int) -> Box:
    view = region.view2d
    left, bottom = view.view_to_region(start, channel + _STRIP_LOW, clip=False)
    right, top = view.view_to_region(end_exclusive, channel + _STRIP_HIGH, clip=False)
    return Box(left, bottom, right, top)


def _fill(box: Box, color: Color) -> None:
    corners = ((box.left, box.bottom), (box.right, box.bottom), (box.left, box.top), (box.right, box.top))
    _shade("TRI_STRIP", corners, color)


def _outline(box: Box, color: Color) -> None:
    corners = ((box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top))
    _shade("LINE_STRIP", (*corners, corners[0]), color)


def _shade(kind: str, corners: tuple[tuple[float, float], ...], color: Color) -> None:
    gpu.state.blend_set("ALPHA")  # writing text ends it
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", color)
    batch_for_shader(shader, kind, {"pos": corners}).draw(shader)


def _write(text: str, box: Box, scale: float) -> None:
    room = box.right - box.left
    if room < 30 * scale or box.top - box.bottom < 14 * scale:
        return
    left = max(box.left, 0) + 6 * scale
    text = paragraph.shortened(text, max(1, int(box.right - 4 * scale - left)), _POINTS * scale)
    blf.size(_FONT, _POINTS * scale)
    blf.color(_FONT, *TEXT)
    blf.enable(_FONT, blf.CLIPPING)
    blf.clipping(_FONT, box.left, box.bottom, box.right - 4 * scale, box.top)
    blf.position(_FONT, left, box.bottom + (box.top - box.bottom) * 0.34, 0)
    blf.draw(_FONT, text)
    blf.disable(_FONT, blf.CLIPPING)
