"""The pictures of a live look, as icons for the panel: read by a timer, one at a time, and shown one after another.

They play a few times at the take's own speed and then rest. Only sidebars are drawn again for it.
"""

from __future__ import annotations

import time
from typing import Any

import bpy
import bpy.utils.previews

from ...wan_backend.protocol.looks import LookResult
from ..jobs import session
from ..operators import redrawing
from ..stopwatch import timed
from . import live_preview_icon

ROUNDS = 3
"""So often the pictures play before they rest at the middle one."""
LEAST_SECONDS = 0.1
"""From one picture to the next: a panel isn't drawn more often for it."""

_kept: Any = None
"""Blender's own collection of previews, by file; those of the look that is shown."""
_shown: LookResult | None = None
_to_read: list[str] = []
_began = 0.0
"""When the pictures that are shown were all there."""


def register() -> None:
    """Create the collection of previews."""
    global _kept
    _kept = bpy.utils.previews.new()


def unregister() -> None:
    """Remove it, with all pictures."""
    global _kept
    for timer in (_read, _turn):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    forget()
    if _kept is not None:
        bpy.utils.previews.remove(_kept)
        _kept = None


def forget() -> None:
    """Let the pictures go."""
    global _shown
    _shown = None
    _to_read.clear()
    if _kept is not None:
        _kept.clear()


def icon_of(seen: LookResult) -> int:
    """The icon of the picture that is its turn now; 0 while none is read. Safe in a draw."""
    if _kept is None or bpy.app.background:
        return 0
    if seen is not _shown:
        want(seen)
    files = [file for file in (_shown.pictures if _shown is not None else ()) if file in _kept]
    return int(_kept[files[turn_of(len(files), time.monotonic() - _began, _apart())]].icon_id) if files else 0


def want(seen: LookResult) -> None:
    """Have a timer read these pictures; those of the look before go once one of them is there. Safe in a draw."""
    global _shown
    _shown = seen
    _to_read[:] = seen.pictures
    if not bpy.app.timers.is_registered(_read):
        bpy.app.timers.register(_read, first_interval=0.0)


def turn_of(count: int, seconds: float, apart: float) -> int:
    """Which of `count` pictures is shown so long after the first one; the middle one at last."""
    turn = int(seconds / apart)
    return turn % count if 0 <= turn < ROUNDS * count else count // 2


def _apart() -> float:
    """Seconds from one picture to the next, at the take's own speed as far as it may be."""
    if _shown is None:
        return LEAST_SECONDS
    asked = _shown.request
    return max(LEAST_SECONDS, asked.length_frames / float(asked.frame_rate.exact()) / max(1, len(_shown.pictures)))


@timed("timer: look")
def _read() -> float | None:
    """Read one picture of the newest look."""
    global _began
    if _kept is None or not _to_read:
        return None
    file = _to_read.pop(0)
    picture = live_preview_icon.pixels_of(file)
    if picture is not None:
        live_preview_icon.show(_kept, file, picture)
    if _to_read:
        return 0.0
    for old in [file for file in _kept if _shown is None or file not in _shown.pictures]:
        del _kept[old]
    _began = time.monotonic()
    _redraw()
    if not bpy.app.timers.is_registered(_turn):
        bpy.app.timers.register(_turn, first_interval=_apart())
    return None


def _turn() -> float | None:
    """Draw the next picture; None once they rest, or nobody looks."""
    live = session.current().live
    if _shown is None or not live.is_on:
        return None
    rests = bool(live.rests) or time.monotonic() - _began > ROUNDS * len(_shown.pictures) * _apart()
    _redraw()
    return None if rests else _apart()


def _redraw() -> None:
    redrawing.redraw_sidebars()
