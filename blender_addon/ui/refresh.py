"""Brings what the session knows to the screen: mirrors the queue's rows and asks Blender to draw again.

Called from the session's timer, never from a draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import bpy

from ...wan_backend.protocol.messages import JobStatus, as_searched
from ..jobs import session
from ..jobs.job_list import MAX_ENDED, JobOrder
from ..operators import redrawing
from ..properties import WanPanelState
from ..stopwatch import timed
from . import shown_job, status_bar


@timed("refresh")
def refresh() -> None:
    """Bring the rows up to date and redraw, because something changed."""
    managers: Any = bpy.data.window_managers
    for manager in managers:
        mirror_rows(manager.wan_vse)
        mirror_stale(manager.wan_vse)
    status_bar.refresh()
    redrawing.redraw()


def mirror_rows(panel_state: WanPanelState) -> None:
    """Make the rows the session's jobs: all that have not ended and the newest others; with a search, those found.

    Which of them is shown in full is `shown_job`'s.
    """
    global _mirrored
    now = session.current().order()
    search = as_searched(panel_state.search)
    query = session.current().server.search_query
    query.want(search, now.count)
    found = query.found(search)
    last = _mirrored
    as_left = _are(panel_state.rows, last.ids)
    if last.order is now and (last.search, last.found) == (search, found) and as_left:
        return
    ids, panel_state.left_out = _shown(now, search, found)
    old = last.ids if as_left else [row.name for row in panel_state.rows]
    _mirrored = _Mirrored(now, search, found, ids)
    chosen = old[panel_state.active_row] if 0 <= panel_state.active_row < len(old) else ""
    if ids != old:
        write_rows(panel_state.rows, old, ids)
    shown_job.show(panel_state, ids, chosen)


def mirror_stale(panel_state: WanPanelState) -> None:
    """Make the rows of the list of stale takes what was found."""
    ids = list(session.current().stale.found)
    old = [row.name for row in panel_state.stale_rows]
    if ids != old:
        write_rows(panel_state.stale_rows, old, ids)


@dataclass(frozen=True)
class _Mirrored:
    """What the rows were made from last."""

    order: JobOrder | None = None
    search: str = ""
    found: frozenset[str] = frozenset()
    ids: list[str] = field(default_factory=list)


_mirrored = _Mirrored()


def _shown(now: JobOrder, search: str, found: frozenset[str]) -> tuple[list[str], int]:
    """The ids of the jobs that get a row, in the session's order, and how many of those that would do get none.

    `found` are those that the server has found by the rest of their prompts.
    """
    if not search:
        return now.ids(), now.left_out
    jobs = [job for job in session.current().queue() if job.job_id in found or _has_text(job, search)]
    going_on = {job_id for _, _, job_id in now.going_on}
    ended = [job.job_id for job in jobs if job.job_id not in going_on]
    shown = going_on.union(ended[:MAX_ENDED])
    return [job.job_id for job in jobs if job.job_id in shown], max(0, len(ended) - MAX_ENDED)


def _has_text(job: JobStatus, search: str) -> bool:
    """Whether the job's prompt has the text, as far as it is known here: whole, where the server hasn't got the job."""
    if search in job.summary.title.lower():
        return True
    known = session.current().jobs.request_of(job.job_id)
    if known is None:
        return False
    return any(search in as_searched(text) for text in (known.prompt, *(each.prompt for each in known.words)))


def _moved(old: list[str], ids: list[str]) -> tuple[int, int] | None:
    """From where to where one row was moved, if that is all that changed; a job that begins or ends is moved so."""
    if len(old) != len(ids) or old == ids:
        return None
    first = next(index for index, (was, name) in enumerate(zip(old, ids, strict=True)) if was != name)
    last = next(index for index in range(len(ids) - 1, -1, -1) if old[index] != ids[index])
    if old[first] == ids[last] and old[first + 1 : last + 1] == ids[first:last]:
        return first, last
    if old[last] == ids[first] and old[first:last] == ids[first + 1 : last + 1]:
        return last, first
    return None


def _are(rows: Any, ids: list[str]) -> bool:
    """True if the rows have these ids; a file that was opened may have brought other rows with it."""
    ends = (0, -1) if ids else ()
    return len(rows) == len(ids) and all(rows[end].name == ids[end] for end in ends)


def write_rows(rows: Any, old: list[str], ids: list[str]) -> None:
    """Write the ids into the rows, changing as few rows as possible: each change costs Blender time."""
    moved = _moved(old, ids) if len(rows) == len(old) else None
    if moved is not None:
        rows.move(*moved)
        return
    while len(rows) > len(ids):
        rows.remove(len(rows) - 1)
    for row, was, name in zip(rows, old, ids, strict=False):
        if was != name:
            row.name = name
    for name in ids[len(rows) :]:
        rows.add().name = name
