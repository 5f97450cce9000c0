"""The live preview of a take that is being made, of each job that is looked at: an icon, and small for the timeline.

A draw only asks; a timer reads the picture's bytes and hands them to Blender. The worker writes them beside its JPEG,
which Blender could only read through a data-block of the file, or with a copy in the user's thumbnails.
"""

from __future__ import annotations

import logging
import os
import struct
from array import array
from typing import Any, NamedTuple

import bpy
import bpy.utils.previews

from ...wan_backend.protocol.media import PREVIEW_PIXELS_FILE
from ...wan_backend.protocol.messages import JobStatus
from ..operators import redrawing
from ..stopwatch import timed

log = logging.getLogger(__name__)

MAX_SIDE = 1024
SMALL_SIDE = 128
"""Of the picture on the timeline, at most, in pixels."""
_HEAD = struct.Struct("<II")
"""Width and height, before the pixels."""
_SCALE = 7.0


class SmallPicture(NamedTuple):
    """The picture of a step, made small: red, green, blue and opacity of each pixel, from the lowest row up."""

    step: int
    width: int
    height: int
    values: array[float]


_kept: Any = None
"""Blender's own collection of previews, by the path of the job's."""
_small: dict[str, SmallPicture] = {}
"""By the path of the job's."""
_steps: dict[str, int] = {}
"""The step whose picture is shown, by path."""
_asked: dict[str, int] = {}
"""The step whose picture the timer is to read, by path."""


def register() -> None:
    """Create the collection of previews."""
    global _kept
    _kept = bpy.utils.previews.new()


def unregister() -> None:
    """Remove the collection, with all pictures."""
    global _kept
    if bpy.app.timers.is_registered(_read):
        bpy.app.timers.unregister(_read)
    _asked.clear()
    _steps.clear()
    _small.clear()
    if _kept is not None:
        bpy.utils.previews.remove(_kept)
        _kept = None


def draw(layout: bpy.types.UILayout, job: JobStatus) -> None:
    """The newest picture of a job that runs; nothing before its first step is made."""
    picture = icon_of(job)
    if picture:
        layout.template_icon(icon_value=picture, scale=_SCALE)


def icon_of(job: JobStatus) -> int:
    """The icon of that picture; 0 while there is none. Safe in a draw."""
    if job.state.ended or not job.preview or bpy.app.background:
        return 0
    want(job.preview, job.step)
    return int(_kept[job.preview].icon_id) if _kept is not None and job.preview in _kept else 0


def small_of(job: JobStatus) -> SmallPicture | None:
    """The picture for the timeline, of the newest step that was read. Safe in a draw."""
    if job.state.ended or not job.preview or bpy.app.background:
        return None
    want(job.preview, job.step)
    return _small.get(job.preview)


def want(path: str, step: int) -> None:
    """Have the timer read the picture of that step, unless it is shown. Safe in a draw."""
    if _kept is None or _steps.get(path) == step:
        return
    _asked[path] = step
    if not bpy.app.timers.is_registered(_read):
        bpy.app.timers.register(_read, first_interval=0.01)


@timed("timer: preview")
def _read() -> None:
    """Read the pictures that are wanted, and drop those of jobs that ended."""
    if _kept is None:
        return
    for path in [path for path in _steps if not os.path.isfile(path)]:
        del _kept[path], _steps[path]
        _small.pop(path, None)
    asked = dict(_asked)
    _asked.clear()
    for path, step in asked.items():
        picture = pixels_of(os.path.join(os.path.dirname(path), PREVIEW_PIXELS_FILE))
        if picture is not None:
            show(_kept, path, picture)
            _small[path] = small(step, *picture)
            _steps[path] = step
    if asked:
        redrawing.redraw()


def pixels_of(file: str) -> tuple[int, int, memoryview] | None:
    """Width, height and packed pixels; None if there are none, as when the take has just been finished."""
    try:
        with open(file, "rb") as stream:
            content = stream.read(_HEAD.size + 4 * MAX_SIDE * MAX_SIDE)
        width, height = _HEAD.unpack_from(content)
    except (OSError, struct.error):
        return None
    body = memoryview(content)[_HEAD.size :]
    fits = 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and len(body) == 4 * width * height
    return (width, height, body.cast("i")) if fits else None


def small(step: int, width: int, height: int, pixels: memoryview) -> SmallPicture:
    """Every so many pixels of a picture."""
    apart = max(1, -(-max(width, height) // SMALL_SIDE))
    rows = range(0, height, apart)
    values = array("f")
    for row in rows:
        kept = pixels[row * width : (row + 1) * width : apart].tobytes()
        values.extend(value / 255 for value in kept)
    return SmallPicture(step, -(-width // apart), len(rows), values)


def show(kept: Any, path: str, picture: tuple[int, int, memoryview]) -> None:
    """Have the preview of that path in a collection show the picture."""
    width, height, pixels = picture
    preview = kept[path] if path in kept else kept.new(path)
    preview.image_size = (width, height)
    preview.image_pixels.foreach_set(pixels)
