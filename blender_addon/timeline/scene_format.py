"""What a scene's settings say of its frames: their size, their rate, and which of them Blender can show."""

from __future__ import annotations

import math
from fractions import Fraction

import bpy

from ...wan_backend.protocol.messages import FrameRate

LAST_FRAME = 1_048_574
"""Blender's last frame. Strips may reach past it, but nobody gets there to see them."""
FIRST_FRAME = -LAST_FRAME
MAX_FRAMES = LAST_FRAME


def rate_of(scene: bpy.types.Scene) -> FrameRate:
    """The scene's exact frame rate. Blender keeps `fps_base` as a 32-bit float, of which six digits are meant."""
    return FrameRate(scene.render.fps, round(scene.render.fps_base, 6))


def frames_of(seconds: float, rate: FrameRate) -> int:
    """How many frames at `rate` come nearest to `seconds`; at least one."""
    frames = Fraction(seconds if math.isfinite(seconds) else 0).limit_denominator(1_000_000) * rate.exact()
    return min(MAX_FRAMES, max(1, int(frames + Fraction(1, 2))))


def seconds_of(frames: int, rate: FrameRate) -> float:
    """How long `frames` at `rate` last, in seconds."""
    return float(frames / rate.exact())


def frame_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Width and height of the scene's frame in pixels at 100 %, which offsets and crops of strips are in."""
    return scene.render.resolution_x, scene.render.resolution_y


def square_size(scene: bpy.types.Scene, percent: int = 100) -> tuple[int, int]:
    """Width and height of the scene's frame in square pixels: the side along which its pixels are longer grows."""
    render = scene.render
    width, height = (max(1, side * percent // 100) for side in frame_size(scene))
    longer = render.pixel_aspect_x / render.pixel_aspect_y
    return (round(width * longer), height) if longer >= 1 else (width, round(height / longer))
