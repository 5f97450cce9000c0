"""Thumbnails of takes on the disk: their first, middle and last picture as icons. A draw only asks for them.

Blender reads the files in threads of its own, once an icon of theirs is drawn. Of a movie it shows one frame alone,
whichever is asked for.
"""

from __future__ import annotations

import os
from typing import Any

import bpy
import bpy.utils.previews

from ...wan_backend.protocol.media import MOVIE_FILES, frame_file
from ...wan_backend.protocol.takes import MAX_TAKE_FRAMES
from ..operators import redrawing
from ..stopwatch import timed

MAX_KEPT = 600
"""All pictures are dropped once there are more than this."""
AT_ONCE = 4
"""At most this many files are handed to Blender in a tick of the timer."""
_TICK_SECONDS = 0.05

_kept: Any = None
"""Blender's own collection of previews, by path."""
_asked: dict[str, None] = {}
"""The paths that the timer is to load, in order."""
_missing: set[str] = set()
"""Paths that were not there; they are not looked for at each draw."""


def register() -> None:
    """Create the collection of previews."""
    global _kept
    _kept = bpy.utils.previews.new()


def unregister() -> None:
    """Remove the collection, with all pictures."""
    global _kept
    if bpy.app.timers.is_registered(_load):
        bpy.app.timers.unregister(_load)
    forget()
    if _kept is not None:
        bpy.utils.previews.remove(_kept)
        _kept = None


def forget() -> None:
    """Look anew for what was asked for and not there."""
    _asked.clear()
    _missing.clear()


def icon_of(folder: str, first_file: str, frames: int, is_movie: bool, which: str = "first") -> int:
    """The icon of a take's "first", "middle" or "last" picture; 0 until it is loaded, or if there is none.

    Safe in a draw: no file is looked at, nothing waits.
    """
    if _kept is None or bpy.app.background:
        return 0
    path = picture_path(folder, first_file, frames, is_movie, which)
    if path in _kept:
        return int(_kept[path].icon_id)
    if path and path not in _asked and path not in _missing and len(_asked) < MAX_KEPT:
        _asked[path] = None
        if not bpy.app.timers.is_registered(_load):
            bpy.app.timers.register(_load, first_interval=0.01)
    return 0


def picture_path(folder: str, first_file: str, frames: int, is_movie: bool, which: str = "first") -> str:
    """The file that shows that picture of the take; empty for what can't be a take's."""
    if not folder or not os.path.isabs(folder) or "\0" in folder:
        return ""
    if is_movie:
        return os.path.join(folder, first_file) if first_file in MOVIE_FILES.values() else ""
    last = min(max(frames, 1), MAX_TAKE_FRAMES) - 1
    index = {"first": 0, "middle": last // 2, "last": last}[which]
    return os.path.join(folder, frame_file(index)) if first_file == frame_file(0) else ""


@timed("timer: take thumbnails")
def _load() -> float | None:
    """Hand some of the paths to Blender, which reads the files later in threads of its own."""
    if _kept is None:
        return None
    if len(_kept) > MAX_KEPT:
        _kept.clear()
    loaded = False
    for path in list(_asked)[:AT_ONCE]:
        del _asked[path]
        if os.path.isfile(path):
            kind = "MOVIE" if path.endswith(tuple(MOVIE_FILES.values())) else "IMAGE"
            _kept.load(path, path, kind)
            loaded = True
        else:
            _missing.add(path)
    if loaded:
        redrawing.redraw()
    return _TICK_SECONDS if _asked else None
