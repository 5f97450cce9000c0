"""Small pictures of what a take is made from, where its files are there anyway. A draw only asks for them.

Blender reads the files in threads of its own; what a draw asked for is given to Blender by a timer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import bpy
import bpy.utils.previews

from ...wan_backend.protocol.messages import Role, Source
from . import refresh

MOST = 240
"""So many pictures are kept."""
AT_ONCE = 6
_WORDS = {
    Role.FIRST: "First",
    Role.LAST: "Last",
    Role.FOOTAGE: "Footage",
    Role.BEFORE: "Before",
    Role.AFTER: "After",
    Role.DEPTH: "Depth",
    Role.LOOK: "Look",
}
_SIZE = 3.6

_kept: Any = None
"""Blender's own collection of previews, by path."""
_asked: dict[str, str] = {}
"""Path to kind; to be loaded by the timer."""


def register() -> None:
    """Keep pictures from now on."""
    global _kept
    _kept = bpy.utils.previews.new()


def unregister() -> None:
    """Let go of all."""
    global _kept
    if bpy.app.timers.is_registered(_load):
        bpy.app.timers.unregister(_load)
    _asked.clear()
    if _kept is not None:
        bpy.utils.previews.remove(_kept)
        _kept = None


def pictures(source: Source) -> list[tuple[str, str]]:
    """Path and kind of what is shown of a source: its first and its last picture, or a movie's only one."""
    if source.is_movie:
        return [(os.path.join(source.folder, source.files[0]), "MOVIE")]
    names = [source.files[0], source.files[-1]]
    if source.role is Role.BEFORE:
        names = names[1:]  # the one that touches the take
    elif source.role is Role.AFTER:
        names = names[:1]
    return [(os.path.join(source.folder, name), "IMAGE") for name in dict.fromkeys(names)]


def draw(layout: bpy.types.UILayout, sources: Iterable[Source]) -> None:
    """Each source with its pictures, as far as they are there."""
    shown = [(source, [icon_of(*picture) for picture in pictures(source)]) for source in sources]
    shown = [(source, [icon for icon in icons if icon]) for source, icons in shown]
    if not any(icons for _, icons in shown):
        return
    row = layout.row(align=True)
    for source, icons in shown:
        if icons:
            column = row.column(align=True)
            column.label(text=_WORDS[source.role])
            side = column.row(align=True)
            for icon in icons:
                side.template_icon(icon_value=icon, scale=_SIZE)


def icon_of(path: str, kind: str) -> int:
    """The icon of a file; 0 until it's known. Safe in a draw."""
    if _kept is None or bpy.app.background:
        return 0
    if path in _kept:
        return _kept[path].icon_id
    if path not in _asked and len(_asked) < MOST:
        _asked[path] = kind
        if not bpy.app.timers.is_registered(_load):
            bpy.app.timers.register(_load, first_interval=0.05)
    return 0


def _load() -> float | None:
    """Give Blender some of what was asked for; it reads the files later, beside us."""
    if _kept is None:
        return None
    if len(_kept) > MOST:
        _kept.clear()
    there = []
    for path, kind in list(_asked.items())[:AT_ONCE]:
        del _asked[path]
        if os.path.isfile(path):
            there.append(_kept.load(path, path, kind))
    if there:
        refresh.redraw()
    return 0.05 if _asked else None
