"""Brings what the tracker knows to the screen: mirrors the queue's rows and asks Blender to draw again.

Called from the tracker's timer, never from a draw.
"""

from __future__ import annotations

import bpy

from ..jobs import tracker
from ..stopwatch import timed

_AREAS = {"SEQUENCE_EDITOR", "PREFERENCES"}


@timed("refresh")
def refresh() -> None:
    """Something changed."""
    for manager in bpy.data.window_managers:
        mirror_rows(manager.wan_vse)
    redraw()


def redraw() -> None:
    """Ask Blender to draw again what shows anything of ours."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type in _AREAS:
                    area.tag_redraw()


def mirror_rows(session: bpy.types.PropertyGroup) -> None:
    """Let the rows be the tracker's jobs. The chosen job stays chosen; a new one is chosen as it comes."""
    ids = [job.job_id for job in tracker.get().jobs()]
    old = [row.name for row in session.rows]
    if ids == old:
        return
    chosen = old[session.active_row] if 0 <= session.active_row < len(old) else ""
    session.rows.clear()
    for job_id in ids:
        session.rows.add().name = job_id
    if ids and ids[0] not in old:
        session.active_row = 0
    elif chosen in ids:
        session.active_row = ids.index(chosen)
    else:
        session.active_row = max(0, min(session.active_row, len(ids) - 1))
