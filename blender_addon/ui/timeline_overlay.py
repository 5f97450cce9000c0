"""Marks on the timeline: how far each placeholder is, what failed, and where the next take would go.

A draw handler of the sequencer's window region. It only draws, keeps no strip, and costs little: with no job and
without the tab "Wan" in view it leaves at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import blf
import bpy
import gpu
from bpy.app.translations import pgettext_iface as iface_
from gpu_extras.batch import batch_for_shader

from ...wan_backend.protocol.messages import JobState, JobStatus, Task
from ..jobs import session
from ..operators import snapshot
from ..properties import settings_in
from ..stopwatch import timed
from ..timeline import compat, strip_columns
from . import paragraph, shown_marks, wording

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
"""The height of the part of a strip that lies below its name."""
_STOPPED = (JobState.FAILED, JobState.INTERRUPTED)
_POINTS = 10
MAX_CAPTIONS = 150
_FONT = 0

_handler: Any = None


class Box(NamedTuple):
    """A rectangle of the region, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def within(self, width: int, height: int) -> bool:
        """True if any of it is in view."""
        return self.right > 0 and self.left < width and self.top > 0 and self.bottom < height


def register() -> None:
    """Add the draw handler, unless Blender has no window."""
    global _handler
    if not bpy.app.background and _handler is None:
        _handler = bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    """Remove the draw handler."""
    global _handler
    if _handler is not None:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(_handler, "WINDOW")
        _handler = None


@timed("draw: timeline")
def _draw() -> None:
    context: Any = bpy.context
    scene = compat.sequencer_scene(context)
    if scene is None or context.space_data.view_type == "PREVIEW" or context.region.type != "WINDOW":
        return
    has_jobs, shows_range = session.current().order().count, tab_in_view(context.area)
    strips = strip_columns.columns(compat.shown_strips(scene)) if has_jobs and shows_range else None
    if has_jobs:
        _draw_placeholders(context, scene, strips)
    if shows_range:
        _draw_asked_range(context, scene, strips)
    gpu.state.blend_set("NONE")


def tab_in_view(area: bpy.types.Area) -> bool:
    """True if the sidebar is open at the tab "Wan"."""
    for region in area.regions:
        if region.type == "UI":
            return region.width > 1 and str(region.active_panel_category) == "Wan"
    return False


def _draw_placeholders(
    context: bpy.types.Context, scene: bpy.types.Scene, strips: strip_columns.Columns | None = None
) -> None:
    """Bars and marks in a few calls, however many there are; then words, if there is room for them."""
    shown = list(_placeholders_in_view(context.region, scene, strips))
    marks: dict[Color, list[Box]] = {TRACK: [], BAR: [], FAILED: []}
    for job, box in shown:
        for color, bar in bars(job, box):
            marks[color].append(bar)
    for color, boxes in marks.items():
        _fill_all(boxes, color)
    scale = context.preferences.system.ui_scale
    for job, box in [each for each in shown if _has_room(each[1], scale)][:MAX_CAPTIONS]:
        _write(caption(job), box, scale)


def _placeholders_in_view(
    region: bpy.types.Region, scene: bpy.types.Scene, strips: strip_columns.Columns | None = None
) -> Iterator[tuple[JobStatus, Box]]:
    current, place = session.current(), _Scale(region)
    for start, end_exclusive, channel, job_id in shown_marks.marks(scene, strips).placeholders:
        box = place.box(start, end_exclusive, channel)
        if box.within(region.width, region.height):
            job = current.jobs.get(job_id)
            if job is not None:
                yield job, box


def bars(job: JobStatus, box: Box) -> list[tuple[Color, Box]]:
    """The rectangles on a placeholder, with their colors: how far its take is, or that there will be none."""
    left, bottom, right, top = box
    if job.state in _STOPPED:
        return [(FAILED, Box(left, bottom, right, bottom + (top - bottom) * _BODY_HIGH))]
    if job.state.ended:
        return []
    top = bottom + (top - bottom) * _BAR_HIGH
    track = (TRACK, Box(left, bottom, right, top))
    return [track, (BAR, Box(left, bottom, left + (right - left) * job.progress, top))] if job.progress else [track]


def caption(job: JobStatus) -> str:
    """What is written on a placeholder."""
    if job.state is JobState.FAILED and job.problem is not None:
        return iface_("Failed: {}").format(iface_(job.problem.sentence))
    if job.state is JobState.DONE:
        return iface_("Done: press Place in the queue")
    return wording.progress(job)


def _draw_asked_range(
    context: bpy.types.Context, scene: bpy.types.Scene, strips: strip_columns.Columns | None = None
) -> None:
    seen = snapshot.read(scene, settings_in(scene), strips)
    targets = seen.takes.targets
    scale = _Scale(context.region)
    for target in targets:
        frames = target.length_frames
        if seen.task is Task.TEXT_TO_VIDEO and len(targets) == 1:
            frames = wording.coming_frames(frames, session.current().server.plan_query.plan)
        box = scale.box(target.start, target.start + frames, target.channel)
        if box.within(context.region.width, context.region.height):
            _fill_all([box], INSIDE)
            _outline(box, OUTLINE)


class _Scale:
    """Converts frames and channels to pixels of a region. Both are linear, so Blender is asked once for a draw."""

    def __init__(self, region: bpy.types.Region) -> None:
        view: Any = region.view2d
        self._frame, self._channel = view.region_to_view(0, 0)  # which is exact; the other way gives whole pixels
        right, top = view.region_to_view(region.width, region.height)
        self._across, self._up = region.width / (right - self._frame), region.height / (top - self._channel)

    def box(self, start: int, end_exclusive: int, channel: int) -> Box:
        """The rectangle of a strip."""
        above = channel - self._channel
        return Box(
            (start - self._frame) * self._across,
            (above + _STRIP_LOW) * self._up,
            (end_exclusive - self._frame) * self._across,
            (above + _STRIP_HIGH) * self._up,
        )


def _fill_all(boxes: list[Box], color: Color) -> None:
    corners: list[tuple[float, float]] = []
    for left, bottom, right, top in boxes:
        corners += ((left, bottom), (right, bottom), (left, top), (left, top), (right, bottom), (right, top))
    if corners:
        _shade("TRIS", corners, color)


def _outline(box: Box, color: Color) -> None:
    corners = ((box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top))
    _shade("LINE_STRIP", (*corners, corners[0]), color)


def _shade(kind: Any, corners: Sequence[tuple[float, float]], color: Color) -> None:
    gpu.state.blend_set("ALPHA")  # writing text ends it
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", color)
    batch_for_shader(shader, kind, {"pos": corners}).draw(shader)


def _has_room(box: Box, scale: float) -> bool:
    return box.right - box.left >= 30 * scale and box.top - box.bottom >= 14 * scale


def _write(text: str, box: Box, scale: float) -> None:
    left = max(box.left, 0) + 6 * scale
    text = paragraph.shortened(text, max(1, int(box.right - 4 * scale - left)), _POINTS * scale)
    blf.size(_FONT, _POINTS * scale)
    blf.color(_FONT, *TEXT)
    blf.enable(_FONT, blf.CLIPPING)
    blf.clipping(_FONT, box.left, box.bottom, box.right - 4 * scale, box.top)
    blf.position(_FONT, left, box.bottom + (box.top - box.bottom) * 0.34, 0)
    blf.draw(_FONT, text)
    blf.disable(_FONT, blf.CLIPPING)
