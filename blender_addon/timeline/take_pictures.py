"""Which picture a take, or a strip of footage, shows at a frame, and where in the scene's frame it lies.

For what is drawn over the preview, so it is as cheap as a draw must be. Nothing is changed.
"""

from __future__ import annotations

import math
import os
import re
from typing import NamedTuple

import bpy

from . import compat, scene_format, strip_media
from .strip_takes import KeptTake

_COUNTING = re.compile(r"^(.*?)(\d+)(\.[^.]+)$")
Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]
"""Lower left, lower right, upper right, upper left; in pixels from the frame's lower left corner."""


class Picture(NamedTuple):
    """A file, and for a movie the index of the frame that is meant."""

    path: str
    movie_frame: int = -1

    @property
    def is_movie(self) -> bool:
        """True for a frame of a movie."""
        return self.movie_frame >= 0


def index_at(strip: compat.Strip, frame: int) -> int | None:
    """The frame of its media, from 0, that a strip shows in the scene's `frame`; None where it shows none."""
    if strip.type not in ("IMAGE", "MOVIE") or not compat.start(strip) <= frame < compat.end_exclusive(strip):
        return None
    return strip_media.media_indices(strip, range(frame, frame + 1))[0] + compat.trim_start(strip)


def of_take(take: KeptTake, index: int) -> Picture:
    """The take's picture of that index; its last one past its end."""
    index = max(0, min(index, take.frames - 1))
    if take.is_movie:
        return Picture(os.path.join(take.folder, take.first_file), index)
    return Picture(os.path.join(take.folder, counted(take.first_file, index)))


def counted(name: str, index: int) -> str:
    """The name that lies `index` files after `name`, whose number counts up."""
    found = _COUNTING.match(name)
    if found is None:
        return name
    head, number, tail = found.groups()
    return f"{head}{int(number) + index:0{len(number)}d}{tail}"


def of_strip(scene: bpy.types.Scene, strip: compat.Strip, frame: int) -> Picture | None:
    """The picture that a movie or image strip shows in `frame`; None for other strips, and where it has none."""
    index = index_at(strip, frame)
    if index is None:
        return None
    names = strip_media.names_of(strip, range(frame, frame + 1))
    if not names:
        return None
    path = os.path.join(strip_media.folder_of(scene, strip), names[0])
    return Picture(path, index if strip.type == "MOVIE" else -1)


def corners(scene: bpy.types.Scene, strip: compat.Strip, size: tuple[int, int]) -> Corners:
    """Where a strip's transform puts pictures of that size; what a crop cuts off is within them."""
    frame = scene_format.frame_size(scene)
    transform = strip.transform
    across, up = size[0] * transform.origin[0], size[1] * transform.origin[1]
    middle = (frame[0] - size[0]) / 2 + transform.offset_x, (frame[1] - size[1]) / 2 + transform.offset_y
    sine, cosine = math.sin(transform.rotation), math.cos(transform.rotation)

    def placed(x: float, y: float) -> Point:
        x, y = (x - across) * transform.scale_x, (y - up) * transform.scale_y
        x, y = x * cosine - y * sine + across + middle[0], x * sine + y * cosine + up + middle[1]
        return (frame[0] - x if strip.use_flip_x else x, frame[1] - y if strip.use_flip_y else y)

    return placed(0, 0), placed(size[0], 0), placed(*size), placed(0, size[1])
