"""Thumbnails of what a take is made from, as the backend reads it. A draw only asks for them.

The backend makes the files, and Blender reads them in threads of its own; a timer hands them to Blender.
"""

from __future__ import annotations

import os
from itertools import groupby
from typing import Any

import bpy
import bpy.utils.previews

from ...wan_backend.protocol.messages import Role, TakeRequest, Thumbnail
from ..jobs import session
from ..operators import redrawing

MAX_KEPT = 240
"""All pictures are dropped once there are more than this."""
AT_ONCE = 6
_WORDS = {
    Role.FIRST: "First",
    Role.LAST: "Last",
    Role.FOOTAGE: "Footage",
    Role.BEFORE: "Before",
    Role.AFTER: "After",
    Role.DEPTH: "Depth",
    Role.CAMERA: "Camera",
    Role.LOOK: "Look",
    Role.KEPT: "Kept",
    Role.REFERENCE: "Reference",
    Role.CLIP: "Clip",
}
_CONTROLS = {Role.FOOTAGE: "Edges", Role.DEPTH: "Outlines"}
_SIZE = 3.6
SMALL = 1.55
MAX_SMALL = 3

_kept: Any = None
"""Blender's own collection of previews, by path."""
_asked: dict[str, None] = {}
"""The paths that the timer is to load, in order."""


def register() -> None:
    """Create the collection of previews."""
    global _kept
    _kept = bpy.utils.previews.new()


def unregister() -> None:
    """Remove the collection, with all pictures."""
    global _kept
    if bpy.app.timers.is_registered(_load):
        bpy.app.timers.unregister(_load)
    _asked.clear()
    if _kept is not None:
        bpy.utils.previews.remove(_kept)
        _kept = None


def of(request: TakeRequest) -> list[tuple[str, int]]:
    """The titles and icons of what the take is made from and of what guides it, as far as they are known."""
    pictures = session.current().server.thumbnail_query.of(request)
    shown = [(title(picture), icon_of(picture.file)) for picture in pictures]
    return [(words, icon) for words, icon in shown if icon]


def draw_small(layout: bpy.types.UILayout, icons: list[int]) -> float:
    """Pictures side by side, two lines high; returns how many units of the interface they take."""
    row = layout.row(align=True)
    for icon in icons:
        row.template_icon(icon_value=icon, scale=SMALL)
    return SMALL * len(icons)


def draw(layout: bpy.types.UILayout, request: TakeRequest) -> None:
    """The pictures with their titles, larger."""
    shown = of(request)
    if not shown:
        return
    row = layout.row(align=True)
    for words, pictures in groupby(shown, key=lambda each: each[0]):
        column = row.column(align=True)
        column.label(text=words)
        side = column.row(align=True)
        for _, icon in pictures:
            side.template_icon(icon_value=icon, scale=_SIZE)


def title(picture: Thumbnail) -> str:
    """What stands over a picture."""
    return _WORDS[picture.role] if not picture.control else _CONTROLS[picture.role]


def icon_of(path: str) -> int:
    """The icon of a file; 0 until it's known. Safe in a draw."""
    if _kept is None or bpy.app.background:
        return 0
    if path in _kept:
        return int(_kept[path].icon_id)
    if path not in _asked and len(_asked) < MAX_KEPT:
        _asked[path] = None
        if not bpy.app.timers.is_registered(_load):
            bpy.app.timers.register(_load, first_interval=0.05)
    return 0


def _load() -> float | None:
    """Hand some of the paths to Blender, which reads the files later in threads of its own."""
    if _kept is None:
        return None
    if len(_kept) > MAX_KEPT:
        _kept.clear()
    there = []
    for path in list(_asked)[:AT_ONCE]:
        del _asked[path]
        if os.path.isfile(path):
            there.append(_kept.load(path, path, "IMAGE"))
    if there:
        redrawing.redraw()
    return 0.05 if _asked else None
