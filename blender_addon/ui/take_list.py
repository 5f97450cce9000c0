"""The takes of the selected strip as a list, newest first; a click shows one in place.

Blender draws the rows that are seen, so that hundreds of takes cost no more than a few. The rows hold ids alone: a draw
notes which they should be, and a timer writes them, since no draw may.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import TakeRequest
from .. import properties
from ..operators import redrawing
from ..properties import WanPanelState, panel_state_of
from ..stopwatch import timed
from ..timeline import compat, strip_takes, untrusted
from . import gone_takes, take_thumbnails, take_words

PANEL = "wan_vse_take_list"
ROWS, MOST_ROWS = 3, 8
MAX_KNOWN = 4000
_MARK_ICONS: dict[str, Any] = {strip_takes.STAR: "SOLO_ON", strip_takes.REJECT: "CANCEL"}

_takes: dict[str, tuple[int, strip_takes.KeptTake]] = {}
"""By job, the number of each take that is listed (1 for the oldest), and the take."""
_shown = ""
"""The job of the one that the strip shows."""
_requests: dict[str, TakeRequest] = {}
"""What takes were asked for, which never changes."""


class WAN_VSE_UL_takes(bpy.types.UIList):
    """Rows of `window_manager.wan_vse.take_rows`, which hold the jobs of takes."""

    bl_idname = "WAN_VSE_UL_takes"

    def draw_item(
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: bpy.types.AnyType,
        item: bpy.types.PropertyGroup,
        icon: int,
        active_data: bpy.types.AnyType,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        """One take: its number and picture, what it was made with, its mark, its date."""
        found = _takes.get(item.name)
        if found is None:
            return  # the rows are written a moment later
        number, take = found
        media = gone_takes.media_of(take)
        row = layout.row(align=True)
        if media is not None and media.is_gone:
            row.alert = True
            row.label(text=iface_("{}  files are gone").format(number), icon="ERROR", translate=False)
        else:
            picture = take_thumbnails.icon_of(take.folder, take.first_file, take.frames, take.is_movie)
            words = f"{number}  {facts(_request(context, take.job_id))}"
            if picture:
                row.label(text=words, icon_value=picture, translate=False)
            else:
                row.label(text=words, icon="BLANK1", translate=False)
        if take.mark or take.note:
            marks = row.row(align=True)
            marks.alignment = "RIGHT"
            if take.note:
                marks.label(text="", icon="TEXT")
            if take.mark:
                marks.label(text="", icon=_MARK_ICONS[take.mark])
        if media is not None and media.made:
            aside = row.row()
            aside.alignment = "RIGHT"
            aside.label(text=take_words.date(media.made), translate=False)

    def draw_filter(self, context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
        """There is nothing to choose from."""

    def filter_items(self, context: bpy.types.Context, data: bpy.types.AnyType, property_name: str) -> tuple[Any, Any]:
        """All rows, as they come."""
        return [], []


def register() -> None:
    """Let a click on a row show its take."""
    properties.on_take_row_chosen.append(_chosen)


def unregister() -> None:
    """End that, and the timer."""
    properties.on_take_row_chosen.clear()
    if bpy.app.timers.is_registered(_write_rows):
        bpy.app.timers.unregister(_write_rows)
    _takes.clear()
    _requests.clear()


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, takes: tuple[strip_takes.KeptTake, ...]) -> None:
    """The fold with the list; its header says how many there are."""
    header, body = layout.panel(PANEL, default_closed=True)
    words = iface_("1 Take") if len(takes) == 1 else iface_("{} Takes").format(len(takes))
    header.label(text=words, translate=False)
    if body is None:
        return
    panel_state = panel_state_of(context)
    note(takes, _job_shown(context))
    may_wait = bpy.app.background or bpy.app.timers.is_registered(_write_rows)
    if not may_wait and not _are_written(panel_state):
        bpy.app.timers.register(_write_rows, first_interval=0.0)
    body.template_list(
        WAN_VSE_UL_takes.bl_idname,
        "",
        panel_state,
        "take_rows",
        panel_state,
        "active_take",
        rows=ROWS,
        maxrows=MOST_ROWS,
    )


def note(takes: tuple[strip_takes.KeptTake, ...], shown_job: str) -> None:
    """These are the takes to list, newest first, of which one is shown."""
    global _shown
    _shown = shown_job
    if list(_takes) != [take.job_id for take in takes] or any(_takes[take.job_id][1] is not take for take in takes):
        _takes.clear()
        _takes.update({take.job_id: (len(takes) - index, take) for index, take in enumerate(takes)})


def facts(made: TakeRequest | None) -> str:
    """ "draft, seed 7"; empty where that isn't known."""
    if made is None:
        return ""
    return iface_("{}, seed {}").format(iface_(made.quality.value.capitalize()).lower(), made.seed)


def _request(context: bpy.types.Context, job_id: str) -> TakeRequest | None:
    """What the take was asked for. It is read from the strip once."""
    known = _requests.get(job_id)
    strip = None if known is not None else compat.active_strip(compat.sequencer_scene(context))
    if strip is None:
        return known
    text = strip_takes.request_text(strip, job_id)
    made = untrusted.request(text) if text else None
    if made is not None:
        if len(_requests) >= MAX_KNOWN:
            _requests.clear()
        _requests[job_id] = made
    return made


def _job_shown(context: bpy.types.Context) -> str:
    strip = compat.active_strip(compat.sequencer_scene(context))
    index = strip_takes.shown_index(strip) if strip is not None else None
    return "" if strip is None or index is None else strip_takes.takes_of(strip)[index].job_id


def _are_written(panel_state: WanPanelState) -> bool:
    rows, ids = panel_state.take_rows, list(_takes)
    if len(rows) != len(ids) or not ids:
        return len(rows) == len(ids)
    if any(rows[end].name != ids[end] for end in (0, len(ids) // 2, -1)):
        return False
    return _row_of_shown() < 0 or panel_state.active_take == _row_of_shown()


def _row_of_shown() -> int:
    return next((index for index, job_id in enumerate(_takes) if job_id == _shown), -1)


@timed("timer: list of takes")
def _write_rows() -> None:
    """Let the rows, and which of them is chosen, be what the last draw wanted."""
    managers: Any = bpy.data.window_managers
    for manager in managers:
        write_rows(manager.wan_vse)
    redrawing.redraw()


def write_rows(panel_state: WanPanelState) -> None:
    """Write the ids into the rows; the chosen one is that which is shown."""
    rows, ids = panel_state.take_rows, list(_takes)
    while len(rows) > len(ids):
        rows.remove(len(rows) - 1)
    for row, job_id in zip(rows, ids, strict=False):
        if row.name != job_id:
            row.name = job_id
    for job_id in ids[len(rows) :]:
        rows.add().name = job_id
    index = _row_of_shown()
    if index >= 0 and panel_state.active_take != index:
        panel_state.active_take = index


def _chosen(panel_state: WanPanelState, context: bpy.types.Context) -> None:
    """A row was clicked: show its take. What the timer wrote is shown already."""
    if not 0 <= panel_state.active_take < len(panel_state.take_rows):
        return
    job_id = panel_state.take_rows[panel_state.active_take].name
    if job_id == _shown or job_id not in _takes:
        return
    operators: Any = bpy.ops
    if operators.wan_vse.show_kept_take.poll():
        operators.wan_vse.show_kept_take("EXEC_DEFAULT", True, job_id=job_id)
