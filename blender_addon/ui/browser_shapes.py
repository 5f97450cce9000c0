"""Rectangles, pictures and lines of words, as the browser of takes draws them by the graphics card."""

from __future__ import annotations

from typing import Any

import blf
import gpu
from gpu_extras.batch import batch_for_shader

from ..operators.browser_grid import Box
from . import paragraph

Color = tuple[float, float, float, float]
_FONT = 0


def fill(box: Box, color: Color) -> None:
    """A rectangle of one color."""
    fill_all([box], color)


def fill_all(boxes: list[Box], color: Color) -> None:
    """Rectangles of one color, in one call of the graphics card."""
    corners: list[tuple[float, float]] = []
    for left, bottom, right, top in boxes:
        corners += ((left, bottom), (right, bottom), (right, top), (left, bottom), (right, top), (left, top))
    if not corners:
        return
    gpu.state.blend_set("ALPHA")  # writing text ends it
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    shader.uniform_float("color", color)
    batch_for_shader(shader, "TRIS", {"pos": corners}).draw(shader)


def outline(box: Box, color: Color, wide: float) -> None:
    """The edges of a rectangle, inside of it."""
    sides = (box._replace(right=box.left + wide), box._replace(left=box.right - wide))
    fill_all([*sides, box._replace(top=box.bottom + wide), box._replace(bottom=box.top - wide)], color)


_ROUNDED = 2
"""Pixels that a box and a line may differ in by rounding, so that a box made for its words isn't too small for them."""


def write(
    text: str, box: Box, color: Color, points: float, scale: float, high: float = 0.34, from_end: bool = False
) -> None:
    """One line in a box, cut at whole words, or with its end in view."""
    inset = 8 * scale if box.right - box.left > 28 * scale else 4 * scale
    room = int(box.right - box.left - 2 * inset) + _ROUNDED
    if room <= 4:
        return
    blf.size(_FONT, points * scale)
    if not from_end:
        text = paragraph.shortened(text, room, points * scale)
    over = blf.dimensions(_FONT, text)[0] - room
    blf.color(_FONT, *color)
    blf.enable(_FONT, blf.CLIPPING)
    blf.clipping(_FONT, box.left + inset, box.bottom, box.right - inset + _ROUNDED, box.top)
    blf.position(_FONT, box.left + inset - max(0.0, over if from_end else 0.0), _base(box, high, points * scale), 0)
    blf.draw(_FONT, text)
    blf.disable(_FONT, blf.CLIPPING)


def _base(box: Box, high: float, points: float) -> float:
    """The height of the line's foot, so that the words stand in the middle of the box."""
    if high == 0.5:
        return (box.bottom + box.top) / 2
    return (box.bottom + box.top) / 2 - points * 0.36


def picture(box: Box, image: Any, low: float, top: float) -> None:
    """A part of a texture, from `low` to `top` of its height, over the whole box."""
    left, bottom, right, high = box
    corners = ((left, bottom), (right, bottom), (right, high), (left, bottom), (right, high), (left, high))
    shader = gpu.shader.from_builtin("IMAGE")
    shader.uniform_sampler("image", image)
    places = ((0, low), (1, low), (1, top), (0, low), (1, top), (0, top))
    batch_for_shader(shader, "TRIS", {"pos": corners, "texCoord": places}).draw(shader)


def width(text: str, points: float) -> float:
    """The pixels that a line takes."""
    blf.size(_FONT, points)
    return float(blf.dimensions(_FONT, text)[0])
