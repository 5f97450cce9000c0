"""Which job of the queue is shown: the first that runs, until a person chooses another row, or a strip with a job.

A chosen row selects its strip, and a selected strip its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from ...wan_backend.protocol.messages import JobState
from ..operators.refusing import job_of
from ..properties import WanPanelState, on_row_chosen
from ..stopwatch import timed
from ..timeline import compat, identity, untrusted

_chosen = ""
"""The job that a person has chosen; empty where the first running one is to be followed."""
_noted = ""
"""The job of the active strip, as the panel last drew it."""
_by_hand = True
"""False while this module itself changes the chosen row."""


def register() -> None:
    """Follow the rows that are chosen."""
    on_row_chosen.append(_row_chosen)


def unregister() -> None:
    """Follow them no more."""
    global _chosen, _noted
    on_row_chosen.remove(_row_chosen)
    _chosen = _noted = ""
    if bpy.app.timers.is_registered(_follow):
        bpy.app.timers.unregister(_follow)


def show(panel_state: WanPanelState, ids: Sequence[str], before: str) -> None:
    """Choose the row of the job that is to be shown; `before` is the one that was."""
    global _chosen
    if _chosen and _chosen not in ids:
        _chosen = ""
    wanted = _chosen or next(filter(_runs, ids[:1]), "") or before
    index = ids.index(wanted) if wanted in ids else max(0, min(panel_state.active_row, len(ids) - 1))
    _set(panel_state, index)


def note_selection(context: bpy.types.Context) -> None:
    """Have the timer show the job of the active strip, if that is another one than at the last draw."""
    global _noted
    scene = compat.sequencer_scene(context)
    strip = compat.active_strip(scene) if scene is not None else None
    job_id = untrusted.id_in(strip, identity.JOB) if strip is not None and strip.select else ""
    if job_id != _noted:
        _noted = job_id
        if not bpy.app.timers.is_registered(_follow):
            bpy.app.timers.register(_follow, first_interval=0.01)


@timed("timer: shown job")
def _follow() -> None:
    """Show the job of the strip that was selected; the running one again where it has none."""
    global _chosen
    _chosen = _noted
    managers: Any = bpy.data.window_managers
    for manager in managers:
        rows = [row.name for row in manager.wan_vse.rows]
        active = manager.wan_vse.active_row
        show(manager.wan_vse, rows, rows[active] if 0 <= active < len(rows) else "")


def _runs(job_id: str) -> bool:
    job = job_of(job_id)
    return job is not None and not job.state.ended and job.state is not JobState.QUEUED


def _set(panel_state: WanPanelState, index: int) -> None:
    global _by_hand
    if panel_state.active_row == index:
        return
    _by_hand = False
    try:
        panel_state.active_row = index
    finally:
        _by_hand = True


def _row_chosen(panel_state: WanPanelState, context: bpy.types.Context) -> None:
    """A person has clicked on a row: keep to it, and select its strip, if there is one in the shown scene."""
    global _chosen, _noted
    rows: Any = panel_state.rows
    if not _by_hand or not 0 <= panel_state.active_row < len(rows):
        return
    job_id = rows[panel_state.active_row].name
    followed = panel_state.active_row == 0 and _runs(job_id)  # of several that run, the others are a choice
    _chosen = "" if followed else job_id
    scene = compat.sequencer_scene(context)
    if scene is None or scene.library is not None:
        return
    found = next((each.strip for each in identity.marked(scene) if each.job_id == job_id), None)
    if found is not None:
        _noted = job_id
        for strip in compat.all_strips(scene):
            strip.select = strip == found
        scene.sequence_editor.active_strip = found
