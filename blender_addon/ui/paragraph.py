"""Text in several lines that fit the region: Blender's labels have one line and are cut off."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import blf
import bpy

from ..translation import translated

_MARGIN_PIXELS = 82
"""What the tabs, a panel, a box and their paddings take from the region's width at a scale of 1."""
_ICON_PIXELS = 20
_FIELD_PIXELS = 28
"""How much wider a field of the panel's whole width is than a label in a box."""
_FONT = 0
MAX_CHARACTERS = 2000
"""No more of a text is looked at for one line."""


def draw(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    text: str,
    icon: str = "NONE",
    max_lines: int = 12,
    width_pixels: float | None = None,
    translate: bool = True,
) -> None:
    """`text` as labels below each other; `icon` before the first. Cut with three dots after `max_lines`.

    Names and prompts are drawn without `translate`; all else is translated as a whole, before it is broken into lines.
    """
    room, points = _room(context, icon != "NONE", width_pixels)
    lines = list(broken(translated(text) if translate else text, room, points))
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], lines[max_lines - 1] + " ..."]
    column = layout.column(align=True)
    for number, line in enumerate(lines):
        row = column.row()
        row.scale_y = 0.8
        first: Any = icon if number == 0 else "BLANK1"
        row.label(text=line, icon="NONE" if icon == "NONE" else first, translate=False)


def draw_line(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    text: str,
    icon: Any = "NONE",
    width_pixels: float | None = None,
    translate: bool = True,
) -> None:
    """`text` in one line, cut with three dots where it doesn't fit. An empty one takes the same height."""
    room, points = _room(context, icon != "NONE", width_pixels)
    words = shortened((translated(text) if translate else text)[:MAX_CHARACTERS], room, points)
    row = layout.row()
    row.scale_y = 0.8
    row.label(text=words, icon=icon, translate=False)


def draw_lines(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    lines: list[tuple[str, Any]],
    count: int,
    width_pixels: float | None = None,
    most: int = 0,
) -> None:
    """Exactly `count` lines, so that nothing below moves: one text is broken into them, more are cut to one each.

    One text may have up to `most` lines, if it is longer and has to be read whole.
    """
    column = layout.column(align=True)
    if len(lines) > 1:
        for text, icon in lines[:count]:
            draw_line(column, context, text, icon, width_pixels)
        return
    text, icon = lines[0]
    room, points = _room(context, icon != "NONE", width_pixels)
    made = list(broken(translated(text)[:MAX_CHARACTERS], room, points))
    limit = max(count, most)
    if len(made) > limit:
        made = [*made[: limit - 1], made[limit - 1] + " ..."]
    for number, line in enumerate([*made, *[""] * (count - len(made))]):
        row = column.row()
        row.scale_y = 0.8
        beginning: Any = icon if number == 0 or icon == "NONE" else "BLANK1"
        row.label(text=line, icon=beginning, translate=False)


def draw_header(layout: bpy.types.UILayout, context: bpy.types.Context, texts: list[str]) -> None:
    """The first of the texts, from the longest to the shortest, that a fold's header can show; else the last, cut."""
    room, points = _room(context, False, None)  # the arrow takes what a box would
    blf.size(_FONT, points)
    words = next((text for text in texts if _width(text) <= room), "") or shortened(texts[-1], room, points)
    layout.label(text=words, translate=False)


def fits(context: bpy.types.Context, text: str) -> bool:
    """True if a field as wide as the region shows all of `text`."""
    room, points = _room(context, False, None)
    return len(broken(text, room + int(_FIELD_PIXELS * context.preferences.system.ui_scale), points)) <= 1


def _room(context: bpy.types.Context, has_icon: bool, width_pixels: float | None) -> tuple[int, float]:
    """The pixels that a line may take, and the points of the interface's font."""
    scale = context.preferences.system.ui_scale
    wide = width_pixels or (context.region.width if context.region else 300)
    room = wide - (_MARGIN_PIXELS + (_ICON_PIXELS if has_icon else 0)) * scale
    return max(60, int(room)), context.preferences.ui_styles[0].widget.points * scale


@lru_cache(maxsize=256)
def broken(text: str, width_pixels: int, points: float) -> tuple[str, ...]:
    """`text` in lines of at most `width_pixels`, in the interface's font of `points`."""
    blf.size(_FONT, points)
    lines: list[str] = []
    for paragraph in text[:4000].splitlines():
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and _width(longer) > width_pixels:
                lines.append(line)
                line = word
            else:
                line = longer
            while _width(line) > width_pixels and len(line) > 1:  # a path without spaces
                kept = _at_a_seam(line, _fitting(line, width_pixels))
                lines.append(line[:kept])
                line = line[kept:]
        if line:
            lines.append(line)
    return tuple(lines)


@lru_cache(maxsize=1024)
def shortened(text: str, width_pixels: int, points: float) -> str:
    """As many whole words of `text` as fit into one line, at least one; three dots follow if it goes on."""
    words = text.split()
    whole = " ".join(words)
    blf.size(_FONT, points)
    if len(whole) <= MAX_CHARACTERS and _width(whole) <= width_pixels:
        return whole
    low, high = 1, len(words) - 1  # halved and halved: a long prompt is measured a few times, not once a word
    while low < high:
        middle = (low + high + 1) // 2
        kept = " ".join(words[:middle])
        if len(kept) <= MAX_CHARACTERS and _width(kept + " ...") <= width_pixels:
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low]) + (" ..." if len(words) > low else "")


def _at_a_seam(line: str, fitting: int) -> int:
    """Where to break a word that is too long: after the last mark that joins words, of the `fitting` characters."""
    seam = max((line.rfind(mark, 0, fitting) for mark in "/\\_-."), default=-1) + 1
    return seam if seam > fitting // 2 else fitting


def _fitting(line: str, width_pixels: int) -> int:
    """How many first characters of `line` fit; at least one."""
    low, high = 1, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _width(line[:middle]) <= width_pixels else (low, middle - 1)
    return low


def _width(text: str) -> float:
    return blf.dimensions(_FONT, text)[0]
