"""How a strip's pictures lie in the scene's frame, as Blender's sequencer lays them. Reads, changes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import Framing
from . import compat, scene_format

PLAIN_BLENDS = frozenset({"REPLACE", "CROSS", "ALPHA_OVER"})
"""They show an opaque strip as it is."""
PLAIN_SPACE = "sRGB"
AVERAGED_BELOW = 0.5
"""Of the picture's size on both axes: from there on, Blender's automatic filter is the box."""
NEAR = 1e-4
"""Pixels that are no difference: Blender keeps a transform in floats of 32 bit."""


def framing_of(scene: bpy.types.Scene, strip: compat.Strip, picture: tuple[int, int]) -> Framing:
    """The Framing of a strip that isn't rotated, whose pictures are of that size.

    Blender scales a picture about the transform's origin, moves it by the offset from the frame's middle (up is
    positive), hides what the crop cuts, and mirrors the whole frame last. All that is in the frame's own pixels; the
    Framing is in square ones.
    """
    frame = scene_format.frame_size(scene)
    transform, crop = strip.transform, strip.crop
    across = _placed(picture[0], frame[0], transform.scale_x, transform.offset_x, transform.origin[0])
    up = _placed(picture[1], frame[1], transform.scale_y, transform.offset_y, transform.origin[1])
    averaged = _is_averaged(transform)
    across = _cut(across, crop.min_x, crop.max_x, frame[0], averaged)
    up = _cut(up, crop.min_y, crop.max_y, frame[1], averaged)
    square = scene_format.square_size(scene)
    wider, higher = square[0] / frame[0], square[1] / frame[1]
    return Framing(
        *square,
        x=wider * (frame[0] - across.end if strip.use_flip_x else across.begin),
        y=higher * (up.begin if strip.use_flip_y else frame[1] - up.end),
        width=wider * (across.end - across.begin),
        height=higher * (up.end - up.begin),
        crop_left=across.cut_low,
        crop_top=up.cut_high,
        crop_right=across.cut_high,
        crop_bottom=up.cut_low,
        mirror_x=strip.use_flip_x,
        mirror_y=strip.use_flip_y,
    )


@dataclass(frozen=True)
class _Side:
    """Where a picture lies along one axis of the frame, in Blender's direction."""

    begin: float
    end: float
    scale: float
    cut_low: float = 0.0
    cut_high: float = 0.0


def filling_scale(scene: bpy.types.Scene, picture: tuple[int, int]) -> tuple[float, float]:
    """The transform's scale with which a picture of square pixels fills the frame, undistorted."""
    frame, square = scene_format.frame_size(scene), scene_format.square_size(scene)
    scale = max(square[0] / picture[0], square[1] / picture[1])
    return scale * frame[0] / square[0], scale * frame[1] / square[1]


def is_whole_frame(scene: bpy.types.Scene, lies: Framing, picture: tuple[int, int]) -> bool:
    """True where the pictures are the scene's frame as they are."""
    size = lies.canvas_width, lies.canvas_height
    lies = replace(lies, width=round(lies.width, 6), height=round(lies.height, 6))
    return picture == scene_format.frame_size(scene) and lies == Framing(*size, 0, 0, *size)


def fills_frame(scene: bpy.types.Scene, strip: compat.Strip, picture: tuple[int, int]) -> bool:
    """True where a strip that can be framed, with pictures of that size, leaves nothing of the frame uncovered."""
    lies = framing_of(scene, strip, picture)
    ends = lies.x + lies.width - lies.canvas_width, lies.y + lies.height - lies.canvas_height
    return max(lies.x, lies.y) <= NEAR and min(ends) >= -NEAR


def can_be_framed(strip: compat.Strip, picture: tuple[int, int]) -> bool:
    """True where a Framing can say how the strip lies in the frame: upright, and something of it is left."""
    transform, crop = strip.transform, strip.crop
    upright = transform.rotation == 0 and transform.scale_x > 0 and transform.scale_y > 0
    left = crop.min_x + crop.max_x < picture[0] and crop.min_y + crop.max_y < picture[1]
    return upright and left and transform.filter != "NEAREST"


def is_plain(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True where a movie or image strip shows its media's pictures, one in each frame, with nothing done to them."""
    return (
        strip.blend_type in PLAIN_BLENDS
        and strip.blend_alpha == 1.0
        and strip.color_multiply == 1.0
        and strip.color_saturation == 1.0
        and strip.strobe <= 1.0
        and not (strip.use_deinterlace or getattr(strip, "use_multiview", False) or len(strip.modifiers))
        and not is_retimed(scene, strip)
        and not compat.is_animated(scene, strip)
        and _colours_pass(scene, strip)
    )


def is_retimed(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True where the strip may show its media at another speed than one frame in each of the scene's.

    A movie of another rate may have been added so that it plays at its own speed; Blender doesn't say.
    """
    if len(getattr(strip, "retiming_keys", ())) or not compat.is_on_whole_frames(strip):
        return True
    if strip.type != "MOVIE":
        return False
    rate = scene.render.fps / scene.render.fps_base
    return abs(strip.fps - rate) > rate * 1e-5


def _colours_pass(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    spaces = (strip.colorspace_settings, scene.sequencer_colorspace_settings)
    alpha = strip.type != "IMAGE" or strip.alpha_mode == "STRAIGHT"
    return alpha and all(space.name == PLAIN_SPACE for space in spaces)


def _placed(picture: int, frame: int, scale: float, offset: float, origin: float) -> _Side:
    """A whole picture along one axis of the frame."""
    middle = int((frame - picture) / 2)  # Blender leaves the half pixel out, towards nought
    begin = middle + offset + origin * picture * (1 - scale)
    return _Side(begin, begin + scale * picture, scale)


def _is_averaged(transform: Any) -> bool:
    """True where Blender shrinks by the mean of samples (its box filter)."""
    small = transform.scale_x < AVERAGED_BELOW and transform.scale_y < AVERAGED_BELOW
    return transform.filter == "BOX" or (transform.filter == "AUTO" and small)


def _cut(side: _Side, low: float, high: float, frame: int, averaged: bool) -> _Side:
    """What the crop leaves of it, with the edges where they would have to be for a pixel to be as bright as Blender's.

    Blender samples a pixel in its middle, or, where it averages, in as many places as it has of the media's pixels.
    Of one that is covered by c it shows c * c of the picture, times the share of the samples that are covered (an end
    there doesn't cover one), where a Framing's reader shows as much as is covered.
    """
    samples = max(1, round(1 / side.scale)) if averaged else 1
    begin, end = side.begin + low * side.scale, side.end - high * side.scale
    first, last = math.floor(begin + NEAR), math.ceil(end - NEAR)
    shown_begin = first + 1 - _shown(first + 1 - begin, samples, NEAR) if 0 <= first < frame else begin
    if -1 < begin < -NEAR:
        shown_begin = 1 - (1 + begin) ** 2  # Blender takes the frame's first pixel for the one before it
    shown_end = last - 1 + _shown(end - last + 1, samples, -NEAR) if 0 < last <= frame else end
    if shown_begin >= shown_end:  # a line so thin that nothing is shown of it
        return _Side(begin, end, side.scale, low, high)
    low += (shown_begin - begin) / side.scale
    high += (end - shown_end) / side.scale
    return _Side(shown_begin, shown_end, side.scale, low, high)


def _shown(covered: float, samples: int, leeway: float) -> float:
    """How much is shown of a picture that covers so much of a pixel, from one of its ends."""
    if covered > 1 - NEAR:
        return covered
    hit = sum((place + 0.5) / samples <= covered + leeway for place in range(samples))
    return covered**2 * hit / samples
