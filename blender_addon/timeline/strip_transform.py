"""Calculates where a strip's transform and crop put its pictures in the scene's frame. Changes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import Framing
from . import animation, compat, scene_format

PLAIN_BLENDS = frozenset({"REPLACE", "CROSS", "ALPHA_OVER"})
"""These blend types show an opaque strip as it is."""
PLAIN_SPACE = "sRGB"
"""The color space in which the backend reads pictures and movies."""
AVERAGED_BELOW = 0.5
"""If both scales are smaller than this, Blender's automatic filter is the box filter."""
NEAR = 1e-4
"""Differences of this many pixels don't count: Blender keeps a transform as 32-bit floats."""


def framing_of(scene: bpy.types.Scene, strip: compat.Strip, picture: tuple[int, int]) -> Framing:
    """The Framing of a strip that isn't rotated; `picture` is the width and height of its pictures.

    Blender scales a picture about the transform's origin, moves it by the offset from the frame's center (up is
    positive), hides what the crop cuts off, and mirrors the whole frame last. All of that is in the frame's own pixels;
    the Framing is in square pixels.
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
    """Where a picture lies along one axis of the frame, in Blender's direction: to the right, or up."""

    begin: float
    end: float
    scale: float
    cut_low: float = 0.0
    cut_high: float = 0.0


def filling_scale(scene: bpy.types.Scene, picture: tuple[int, int]) -> tuple[float, float]:
    """The transform's scales, across and up, with which a picture of square pixels fills the frame undistorted."""
    frame, square = scene_format.frame_size(scene), scene_format.square_size(scene)
    scale = max(square[0] / picture[0], square[1] / picture[1])
    return scale * frame[0] / square[0], scale * frame[1] / square[1]


def is_whole_frame(scene: bpy.types.Scene, framing: Framing, picture: tuple[int, int]) -> bool:
    """True if the pictures have the frame's size and fill it exactly."""
    size = framing.canvas_width, framing.canvas_height
    framing = replace(framing, width=round(framing.width, 6), height=round(framing.height, 6))
    return picture == scene_format.frame_size(scene) and framing == Framing(*size, 0, 0, *size)


def lens_in_frame(framing: Framing | None, picture: tuple[int, int]) -> list[float]:
    """Where shares of a picture's width and height lie as shares of the frame's: factor and offset, across and down."""
    if framing is None:
        return [1.0, 0.0, 1.0, 0.0]
    sides = (
        (picture[0], framing.crop_left, framing.crop_right, framing.mirror_x),
        (picture[1], framing.crop_top, framing.crop_bottom, framing.mirror_y),
    )
    places = (
        (framing.x, framing.width, framing.canvas_width),
        (framing.y, framing.height, framing.canvas_height),
    )
    found: list[float] = []
    for (pixels, before, after, mirrored), (begin, extent, canvas) in zip(sides, places, strict=True):
        left = pixels - before - after
        factor, offset = (pixels / left, -before / left) if not mirrored else (-pixels / left, 1 + before / left)
        found += [factor * extent / canvas, (begin + offset * extent) / canvas]
    return found


def fills_frame(scene: bpy.types.Scene, strip: compat.Strip, picture: tuple[int, int]) -> bool:
    """True if a strip that can be framed, with pictures of that size, covers the whole frame."""
    framing = framing_of(scene, strip, picture)
    ends = framing.x + framing.width - framing.canvas_width, framing.y + framing.height - framing.canvas_height
    return max(framing.x, framing.y) <= NEAR and min(ends) >= -NEAR


def can_be_framed(strip: compat.Strip, picture: tuple[int, int]) -> bool:
    """True if a Framing can describe how the strip lies in the frame: upright, and not cropped away."""
    crop = strip.crop
    left = crop.min_x + crop.max_x < picture[0] and crop.min_y + crop.max_y < picture[1]
    return left and _is_upright(strip)


def _is_upright(strip: compat.Strip) -> bool:
    transform = strip.transform
    upright = transform.rotation == 0 and transform.scale_x > 0 and transform.scale_y > 0
    return bool(upright and transform.filter != "NEAREST")


def is_read_upright(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True if the strip's own pictures are read, of whatever size they are; Blender renders those of others."""
    return strip.type in ("MOVIE", "IMAGE") and is_plain(scene, strip) and _is_upright(strip)


def is_plain(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True if a movie or image strip shows its media's pictures, one in each frame, with nothing done to them."""
    return (
        strip.blend_type in PLAIN_BLENDS
        and strip.blend_alpha == 1.0
        and strip.color_multiply == 1.0
        and strip.color_saturation == 1.0
        and strip.strobe <= 1.0
        and not (strip.use_deinterlace or strip.use_multiview or len(strip.modifiers))
        and not is_retimed(scene, strip)
        and not animation.is_animated(scene, strip)
        and _keeps_colors(scene, strip)
    )


def is_retimed(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True if the strip may show its media at another speed than one frame in each of the scene's frames.

    A movie with another frame rate may have been added so that it plays at its own speed; Blender doesn't tell.
    """
    if compat.has_retiming_keys(strip) or not compat.is_on_whole_frames(strip):
        return True
    if strip.type != "MOVIE":
        return False
    rate = scene.render.fps / scene.render.fps_base
    return bool(abs(strip.fps - rate) > rate * 1e-5)


def _keeps_colors(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    spaces = (strip.colorspace_settings, scene.sequencer_colorspace_settings)
    alpha = strip.type != "IMAGE" or strip.alpha_mode == "STRAIGHT"
    return alpha and all(space.name == PLAIN_SPACE for space in spaces)


def _placed(picture: int, frame: int, scale: float, offset: float, origin: float) -> _Side:
    """Where an uncropped picture lies along one axis of the frame."""
    middle = int((frame - picture) / 2)  # Blender rounds half a pixel towards zero
    begin = middle + offset + origin * picture * (1 - scale)
    return _Side(begin, begin + scale * picture, scale)


def _is_averaged(transform: Any) -> bool:
    """True if Blender scales down by averaging samples (its box filter)."""
    small = transform.scale_x < AVERAGED_BELOW and transform.scale_y < AVERAGED_BELOW
    return bool(transform.filter == "BOX" or (transform.filter == "AUTO" and small))


def _cut(side: _Side, low: float, high: float, frame: int, averaged: bool) -> _Side:
    """Crop the picture, with its edges where a reader of the Framing gets pixels as bright as Blender's.

    Blender samples a pixel at its center, or, if it averages, at as many points as the pixel has of the media's
    pixels. For a pixel covered by the share c, it shows c * c of the picture, times the share of its samples that are
    covered (an edge exactly on a sample doesn't cover it). A reader of the Framing shows the share c.
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
    """How much Blender shows of a picture that covers the share `covered` of a pixel, from one of its sides."""
    if covered > 1 - NEAR:
        return covered
    hit = sum((place + 0.5) / samples <= covered + leeway for place in range(samples))
    return covered**2 * hit / samples
