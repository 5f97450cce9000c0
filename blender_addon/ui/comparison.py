"""Draws what is compared (operators/compare_takes.py) over the sequencer's preview, from the takes' own files.

Both sides are drawn from their files, so both are seen in the same way: as the Standard view shows them, without the
strip's modifiers and without Blender's other views; a line below the picture says so where that makes a difference. A
timer reads the files, one at a time, and each is forgotten by Blender in the same breath: the data-block that reading
needs is never in an undo step or a saved file. Blender reads a picture whole or not at all: a take whose pictures take
longer than a frame of the window may is not read while Blender plays, but stays as it is until it stops.
"""

from __future__ import annotations

import logging
import os
import time
from array import array
from typing import Any, NamedTuple

import blf
import bpy
import gpu
from bpy.app.translations import pgettext_iface as iface_
from gpu_extras.batch import batch_for_shader

from ..operators import compare_takes, redrawing
from ..operators.compare_takes import Comparison
from ..stopwatch import LIMIT_SECONDS, timed
from ..timeline import compat, scene_format, strip_transform, take_pictures
from ..timeline.take_pictures import Picture, Point

log = logging.getLogger(__name__)

READING_SECONDS = LIMIT_SECONDS
"""Takes whose pictures are read more slowly are not read while Blender plays."""
MAX_SLOW_READS = 2
"""So many reads may take longer before that is settled: one alone may have waited for the disk."""
MAX_COSTS = 256
MAX_BYTES = 256 << 20
"""What is kept of pictures that were drawn."""
MAX_PIXELS = 4096 * 4096
AHEAD = 4
"""So many of the next frames are read while Blender plays."""
_POINTS = 12
_FONT = 0
_TALL, _DEEP = "T", "g,"
"""Letters as high and as low as any."""
_LINE = (1.0, 1.0, 1.0, 0.9)
_SHADE = (0.0, 0.0, 0.0, 0.6)
_BEHIND = (0.0, 0.0, 0.0, 1.0)
_BYTES_OF_PIXEL = 16

_handler: Any = None


class Read(NamedTuple):
    """A picture that was read; `texture` is None for a file that can't be."""

    size: tuple[int, int]
    texture: Any


_kept: dict[Picture, Read] = {}
"""By what was asked for, the longest unused first."""
_asked: dict[Picture, None] = {}
_slow: dict[str, int] = {}
"""By folder or movie, how many reads in a row took too long to be done while Blender plays."""
_room = array("f")
"""Where pixels are read into, the same place each time: clearing a new one takes a fourth of what reading does."""
_drawn: dict[int, Picture] = {}
"""What each side (0, 1) showed last: it stays until the next one is read."""


def register() -> None:
    """Add the draw handler, unless Blender has no window."""
    global _handler
    compare_takes.on_change.append(_changed)
    if not bpy.app.background and _handler is None:
        _handler = bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (), "PREVIEW", "POST_PIXEL")


def unregister() -> None:
    """Remove the draw handler and everything that is kept."""
    global _handler
    if _handler is not None:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(_handler, "PREVIEW")
        _handler = None
    if bpy.app.timers.is_registered(_read):
        bpy.app.timers.unregister(_read)
    if _changed in compare_takes.on_change:
        compare_takes.on_change.remove(_changed)
    _forget()


def _changed() -> None:
    """Something else is compared, or nothing."""
    if compare_takes.shown is None:
        _forget()
    redrawing.redraw_previews()


def _forget() -> None:
    global _room
    _room = array("f")
    _kept.clear()
    _asked.clear()
    _drawn.clear()
    _slow.clear()


class Side(NamedTuple):
    """One of the two that are compared, at one frame."""

    picture: Picture
    strip: compat.Strip
    """The strip whose transform places it."""
    caption: str


def sides(scene: bpy.types.Scene, strip: compat.Strip, now: Comparison, frame: int) -> list[Side] | None:
    """The shown take and what it is compared with; empty where the strip shows nothing, None if they are gone."""
    found = compare_takes.takes_compared(strip, now)
    if found is None:
        return None
    first, second = found
    index = take_pictures.index_at(strip, frame)
    if index is None:
        return []
    shown = Side(take_pictures.of_take(first, index), strip, compare_takes.caption(strip, first))
    if second is not None:
        return [shown, Side(take_pictures.of_take(second, index), strip, compare_takes.caption(strip, second))]
    source = compare_takes.source_strip(scene, strip)
    if source is None:
        return None
    picture = take_pictures.of_strip(scene, source, frame)
    return [] if picture is None else [shown, Side(picture, source, compare_takes.caption(strip, None))]


@timed("draw: comparison")
def _draw() -> None:
    now = compare_takes.shown
    context: Any = bpy.context
    if now is None or compat.sequencer_scene(context) is None:
        return
    found = compare_takes.strip_of(now)
    if found is None or found[0] != compat.sequencer_scene(context):
        return
    scene, strip = found
    both = sides(scene, strip, now, scene.frame_current)
    if both is None:  # an undo, or a person, took it away
        compare_takes.shown = None
        return
    if both:
        _want(scene, strip, now, both)
        _draw_both(context, scene, now, both)
    gpu.state.blend_set("NONE")


def _draw_both(context: Any, scene: bpy.types.Scene, now: Comparison, both: list[Side]) -> None:
    region, scale = context.region, context.preferences.system.ui_scale
    frame = compare_takes.frame_in_region(scene, region)
    _fill(frame if now.kind == compare_takes.WIPE else (0, 0, region.width, region.height), _BEHIND)
    gpu.state.scissor_test_set(True)
    for place, side in enumerate(both):
        clip, box = _places(frame, now, place, region)
        _scissor(clip, region)
        _draw_picture(scene, side, place, box)
    _scissor((0, 0, region.width, region.height), region)
    gpu.state.scissor_test_set(False)
    if now.kind == compare_takes.WIPE:
        border = frame[0] + (frame[2] - frame[0]) * now.border
        _fill((border - scale, frame[1], border + scale, frame[3]), _LINE)
    for place, side in enumerate(both):
        clip, _ = _places(frame, now, place, region)
        _write_caption(_words_of(side), clip, place, now, scale)
    _write_hint(hint(scene, now, both), region, scale)


Edges = tuple[float, float, float, float]


def _places(frame: Edges, now: Comparison, place: int, region: Any) -> tuple[Edges, Edges]:
    """What part of the region a side has, and where the scene's whole frame lies for it: left, bottom, right, top."""
    left, bottom, right, top = frame
    if now.kind == compare_takes.WIPE:
        border = left + (right - left) * now.border
        return ((left, bottom, border, top), (border, bottom, right, top))[place], frame
    half = region.width / 2
    clip = (0.0, 0.0, half - 1, float(region.height)) if place == 0 else (half + 1, 0.0, 2 * half, float(region.height))
    across = min(right - left, half - 2)  # as large as the preview shows it, if there is room for both
    high = across * (top - bottom) / max(1.0, right - left)
    middle, level = (clip[0] + clip[2]) / 2, (bottom + top) / 2
    level = min(max(level, high / 2), region.height - high / 2)
    return clip, (middle - across / 2, level - high / 2, middle + across / 2, level + high / 2)


def _draw_picture(scene: bpy.types.Scene, side: Side, place: int, box: Edges) -> None:
    read = _kept.get(side.picture) or _kept.get(_drawn.get(place, side.picture))
    if read is None or read.texture is None:
        return
    if side.picture in _kept:
        _drawn[place] = side.picture
    width, height = scene_format.frame_size(scene)
    across, up = (box[2] - box[0]) / width, (box[3] - box[1]) / height
    points: list[Point] = [
        (box[0] + x * across, box[1] + y * up) for x, y in take_pictures.corners(scene, side.strip, read.size)
    ]
    shader = gpu.shader.from_builtin("IMAGE")
    shader.uniform_sampler("image", read.texture)
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    gpu.state.blend_set("ALPHA")
    order = (0, 1, 2, 0, 2, 3)
    content: dict[str, Any] = {
        "pos": [points[index] for index in order],
        "texCoord": [corners[index] for index in order],
    }
    batch_for_shader(shader, "TRIS", content).draw(shader)


def _words_of(side: Side) -> str:
    read = _kept.get(side.picture)
    if read is not None and read.texture is None:
        return iface_("{}: {} can't be shown").format(side.caption, os.path.basename(side.picture.path))
    return side.caption


def hint(scene: bpy.types.Scene, now: Comparison, both: list[Side]) -> str:
    """How to go on, and where the pictures differ from what the preview shows of the strip."""
    words = [iface_("Esc: end")]
    if now.kind != compare_takes.SOURCE:
        words.append(iface_("left and right arrow: other take"))
    if _plays() and any(is_slow(side.picture) for side in both):
        words.append(iface_("stop playing to compare: the pictures are read too slowly"))
    if any(strip_transform.is_retimed(scene, side.strip) for side in both):
        words.append(iface_("a retimed strip's frames match roughly"))
    elif _looks_otherwise(scene, both):
        words.append(iface_("both as in their files, without modifiers and view"))
    return "   ".join(words)


def _looks_otherwise(scene: bpy.types.Scene, both: list[Side]) -> bool:
    view: Any = scene.view_settings
    plain = view.view_transform == "Standard" and view.look == "None" and view.exposure == 0 and view.gamma == 1
    return not plain or any(len(side.strip.modifiers) for side in both)


def _want(scene: bpy.types.Scene, strip: compat.Strip, now: Comparison, both: list[Side]) -> None:
    """Have the timer read these pictures, and while Blender plays those of the next frames."""
    wanted = [side.picture for side in both]
    plays = _plays()
    if plays:
        frame = scene.frame_current
        for ahead in range(1, AHEAD + 1):
            wanted += [side.picture for side in sides(scene, strip, now, frame + ahead) or ()]
    _asked.clear()
    for picture in wanted:
        if picture in _kept:
            _kept[picture] = _kept.pop(picture)  # used last
        elif not (plays and is_slow(picture)):
            _asked[picture] = None
    if _asked and not bpy.app.timers.is_registered(_read):
        bpy.app.timers.register(_read, first_interval=0.0)


def _plays() -> bool:
    screen: Any = getattr(bpy.context, "screen", None)
    return screen is not None and screen.is_animation_playing


@timed("timer: comparison")
def _read() -> float | None:
    """Read one of the pictures that were asked for."""
    if _asked and compare_takes.shown is not None:
        picture = next(iter(_asked))
        del _asked[picture]
        began = time.perf_counter()
        _kept[picture] = read(picture)
        note_cost(picture, time.perf_counter() - began)
    _drop_old()
    redrawing.redraw_previews()
    return 0.0 if _asked else None


def note_cost(picture: Picture, seconds: float) -> None:
    """Remember whether pictures of this take are read quickly enough while Blender plays."""
    source = _source(picture)
    if seconds <= READING_SECONDS:
        _slow.pop(source, None)
    elif len(_slow) < MAX_COSTS:
        _slow[source] = _slow.get(source, 0) + 1


def is_slow(picture: Picture) -> bool:
    """True if the pictures of this take are not read while Blender plays."""
    return _slow.get(_source(picture), 0) >= MAX_SLOW_READS


def _source(picture: Picture) -> str:
    return picture.path if picture.is_movie else os.path.dirname(picture.path)


def _drop_old() -> None:
    used = sum(each.size[0] * each.size[1] * _BYTES_OF_PIXEL // 2 for each in _kept.values())
    while used > MAX_BYTES and len(_kept) > 2 * (AHEAD + 1):
        size = _kept.pop(next(iter(_kept))).size
        used -= size[0] * size[1] * _BYTES_OF_PIXEL // 2


def read(picture: Picture) -> Read:
    """The picture as a texture of the card; without one where Blender can't read it."""
    try:
        found = pixels(picture)
    except (OSError, RuntimeError, ValueError, MemoryError) as error:
        log.info("%s can't be compared: %s", picture.path, error)
        found = None
    if found is None:
        return Read((0, 0), None)
    width, height, values = found
    buffer = gpu.types.Buffer("FLOAT", len(values), values)
    return Read((width, height), gpu.types.GPUTexture((width, height), format="RGBA16F", data=buffer))


def pixels(picture: Picture) -> tuple[int, int, array[float]] | None:
    """Width, height and the pixels as the file has them, from the lowest row up; None if there are none."""
    if not os.path.isfile(picture.path):  # a named pipe would be waited for
        return None
    image: Any = bpy.data.images.load(picture.path, check_existing=False)
    try:
        if picture.is_movie:
            image.gl_load(frame=picture.movie_frame + 1)
        width, height = image.size
        if not 0 < width * height <= MAX_PIXELS or image.channels != 4:
            return None
        values = _scratch(4 * width * height)
        image.pixels.foreach_get(values)
        return width, height, values
    finally:
        bpy.data.images.remove(image)


def _scratch(count: int) -> array[float]:
    """Room for so many numbers."""
    global _room
    if len(_room) != count:
        _room = array("f", bytes(4 * count))
    return _room


def _scissor(edges: Edges, region: Any) -> None:
    left, bottom = max(0, int(edges[0])), max(0, int(edges[1]))
    right, top = min(region.width, int(edges[2])), min(region.height, int(edges[3]))
    gpu.state.scissor_set(left, bottom, max(0, right - left), max(0, top - bottom))


def _fill(edges: Edges, color: tuple[float, float, float, float]) -> None:
    left, bottom, right, top = edges
    gpu.state.blend_set("ALPHA")
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", color)
    corners = ((left, bottom), (right, bottom), (right, top), (left, bottom), (right, top), (left, top))
    batch_for_shader(shader, "TRIS", {"pos": corners}).draw(shader)


def _write_caption(words: str, clip: Edges, place: int, now: Comparison, scale: float) -> None:
    """In the upper outer corner of a side, as far as there is room."""
    blf.size(_FONT, _POINTS * scale)
    width, height = blf.dimensions(_FONT, words)[0], _line_height()
    pad = 6 * scale
    if clip[2] - clip[0] < width + 4 * pad:
        return
    right = now.kind == compare_takes.WIPE and place == 1
    left = clip[2] - width - 3 * pad if right else clip[0] + pad
    _write(words, left, clip[3] - height - 4 * pad, width, height, pad)


def _write_hint(words: str, region: Any, scale: float) -> None:
    blf.size(_FONT, _POINTS * scale)
    width, height = blf.dimensions(_FONT, words)[0], _line_height()
    pad = 6 * scale
    _write(words, max(0.0, region.width / 2 - width / 2 - pad), 2 * pad, width, height, pad)


def _write(words: str, left: float, bottom: float, width: float, height: float, pad: float) -> None:
    _fill((left, bottom, left + width + 2 * pad, bottom + height + 2 * pad), _SHADE)
    blf.color(_FONT, *_LINE)
    blf.position(_FONT, left + pad, bottom + pad + height - blf.dimensions(_FONT, _TALL)[1], 0)
    blf.draw(_FONT, words)


def _line_height() -> float:
    """The same for all words, whatever their letters are, so that two captions are in one line."""
    return blf.dimensions(_FONT, _TALL + _DEEP)[1]
