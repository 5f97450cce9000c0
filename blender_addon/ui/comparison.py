"""Draws what is compared (operators/compare_takes.py) over the sequencer's preview, from the takes' own files.

Both sides are drawn from their files, so both are seen in the same way: as the Standard view shows them, without the
strip's modifiers and without Blender's other views; a line below the picture says so where that makes a difference.
What is late while Blender plays stays as it is until it comes.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import blf
import bpy
import gpu
from bpy.app.translations import pgettext_iface as iface_
from gpu_extras.batch import batch_for_shader

from ..jobs import session
from ..operators import compare_takes, redrawing
from ..operators.compare_takes import Comparison
from ..stopwatch import timed
from ..timeline import compat, scene_format, strip_takes, strip_transform, take_pictures
from ..timeline.take_pictures import Picture
from . import compared_pictures as pictures

_POINTS = 12
_FONT = 0
_TALL, _DEEP = "T", "g,"
"""Letters as high and as low as any."""
_LINE = (1.0, 1.0, 1.0, 0.9)
_SHADE = (0.0, 0.0, 0.0, 0.6)
_BEHIND = (0.0, 0.0, 0.0, 1.0)

_handler: Any = None


_drawn: dict[int, Picture] = {}
"""What each side (0, 1) showed last: it stays until the next one is read."""


def register() -> None:
    """Add the draw handler, unless Blender has no window."""
    global _handler
    compare_takes.on_change.append(_changed)
    pictures.on_read.append(redrawing.redraw_previews)
    if not bpy.app.background and _handler is None:
        _handler = bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (), "PREVIEW", "POST_PIXEL")


def unregister() -> None:
    """Remove the draw handler and everything that is kept."""
    global _handler
    if _handler is not None:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(_handler, "PREVIEW")
        _handler = None
    if _changed in compare_takes.on_change:
        compare_takes.on_change.remove(_changed)
        pictures.on_read.remove(redrawing.redraw_previews)
    pictures.unregister()
    _drawn.clear()


def _changed() -> None:
    """Something else is compared, or nothing."""
    if compare_takes.shown is None:
        pictures.forget()
        session.current().server.reels.end()
        _drawn.clear()
    redrawing.redraw_previews()


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
    index -= strip_takes.shown_handle(strip)
    shown, *other = (
        Side(take_pictures.of_take(take, index + take.handle_before), strip, compare_takes.caption(strip, take))
        for take in (first, second)
        if take is not None
    )
    if other:
        return [shown, *other]
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
        frame = compare_takes.frame_in_region(scene, context.region)
        _want(scene, strip, now, both, round(max(frame[2] - frame[0], frame[3] - frame[1])))
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
        _write_caption(_words_of(side, place), clip, place, now, scale)
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
    read = pictures.of(side.picture)
    if read is not None:
        _drawn[place] = side.picture
    elif place in _drawn:
        read = pictures.of(_drawn[place])
    if read is None or not read.bands:
        return
    width, height = scene_format.frame_size(scene)
    across, up = (box[2] - box[0]) / width, (box[3] - box[1]) / height
    corners = take_pictures.corners(scene, side.strip, read.size)
    pictures.draw(read, [(box[0] + x * across, box[1] + y * up) for x, y in corners])


def _words_of(side: Side, place: int) -> str:
    read = pictures.of(side.picture)
    if read is not None and not read.bands:
        return iface_("{}: {} can't be shown").format(side.caption, os.path.basename(side.picture.path))
    if read is None and place not in _drawn:
        return iface_("{}: reading").format(side.caption)
    return side.caption


def hint(scene: bpy.types.Scene, now: Comparison, both: list[Side]) -> str:
    """How to go on, and where the pictures differ from what the preview shows of the strip."""
    words = [iface_("Esc: end")]
    others = compare_takes.others(scene, both[0].strip)
    if len(others) > 1:
        arrows = "left and right arrow: other take or source" if "" in others else "left and right arrow: other take"
        words.append(iface_(arrows))
    if pictures.plays() and any(pictures.is_late(side.picture) for side in both):
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


def _coming(scene: bpy.types.Scene, count: int) -> list[int]:
    """The next frames as Blender plays them: behind the last one comes the first."""
    span = (scene.frame_start, scene.frame_end)
    if scene.use_preview_range:
        span = (scene.frame_preview_start, scene.frame_preview_end)
    length, now = max(1, span[1] - span[0] + 1), scene.frame_current - span[0]
    return [span[0] + (now + step) % length for step in range(1, 1 + min(count, length - 1))]


def _want(scene: bpy.types.Scene, strip: compat.Strip, now: Comparison, both: list[Side], seen_side: int) -> None:
    """Have these pictures read, and while Blender plays those of the next frames."""
    following: list[list[Picture]] = [[] for _ in both]
    render = scene.render
    rate = render.fps / render.fps_base if pictures.plays() else 0.0
    if rate:
        ahead = pictures.READ_AHEAD if pictures.is_asking() else pictures.AHEAD
        for frame in _coming(scene, ahead):
            for series, side in zip(following, sides(scene, strip, now, frame) or (), strict=False):
                series.append(side.picture)
    pictures.want([side.picture for side in both], following, seen_side, rate)


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
