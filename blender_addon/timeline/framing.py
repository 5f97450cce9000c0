"""How a strip's pictures lie in the scene's frame, as Blender's sequencer lays them. Reads, changes nothing."""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import Framing
from . import compat

PLAIN_BLENDS = frozenset({"REPLACE", "CROSS", "ALPHA_OVER"})
"""They show an opaque strip as it is."""
PLAIN_SPACE = "sRGB"


def framing_of(scene: bpy.types.Scene, strip: compat.Strip, picture: tuple[int, int]) -> Framing:
    """The Framing of a strip that isn't rotated, whose pictures are of that size.

    Blender scales a picture about the transform's origin, moves it by the offset from the frame's middle (up is
    positive), hides what the crop cuts, and mirrors the whole frame last.
    """
    frame = frame_size(scene)
    transform, crop = strip.transform, strip.crop
    x, width = _placed(picture[0], frame[0], transform.scale_x, transform.offset_x, transform.origin[0])
    y, height = _placed(picture[1], frame[1], transform.scale_y, transform.offset_y, transform.origin[1])
    x, width = x + crop.min_x * width / picture[0], width * (1 - (crop.min_x + crop.max_x) / picture[0])
    y, height = y + crop.min_y * height / picture[1], height * (1 - (crop.min_y + crop.max_y) / picture[1])
    return Framing(
        *frame,
        x=frame[0] - x - width if strip.use_flip_x else x,
        y=y if strip.use_flip_y else frame[1] - y - height,
        width=width,
        height=height,
        crop_left=crop.min_x,
        crop_top=crop.max_y,
        crop_right=crop.max_x,
        crop_bottom=crop.min_y,
        mirror_x=strip.use_flip_x,
        mirror_y=strip.use_flip_y,
    )


def frame_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """The scene's frame in pixels, at 100 %: offsets and crops are in its pixels."""
    return scene.render.resolution_x, scene.render.resolution_y


def is_whole_frame(lies: Framing, picture: tuple[int, int]) -> bool:
    """True where the pictures are the scene's frame as they are."""
    return picture == (lies.canvas_width, lies.canvas_height) and lies == Framing(*picture, 0, 0, *picture)


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


def _placed(picture: int, frame: int, scale: float, offset: float, origin: float) -> tuple[float, float]:
    """Where a whole picture begins along one axis of the frame, and how long it is there."""
    middle = int((frame - picture) / 2)  # Blender leaves the half pixel out, towards nought
    return middle + offset + origin * picture * (1 - scale), scale * picture
