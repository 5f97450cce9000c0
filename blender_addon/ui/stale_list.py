"""Takes whose sources have changed: a list that goes to their strips, the button that makes them anew, and the report.

The rows hold jobs; `refresh` writes them. A draw shows what the ticks have found.
"""

from __future__ import annotations

import time
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .. import properties
from ..jobs import rebuild_report, session
from ..jobs.rebuild_run import State
from ..jobs.rebuilding import Rebuilding
from ..operators import rebuild_stale
from ..properties import WanPanelState, panel_state_of
from . import paragraph

ROWS, MOST_ROWS = 3, 6
ICON: Any = "FILE_REFRESH"
MAX_UNKNOWN = 2


class WAN_VSE_UL_stale(bpy.types.UIList):
    """Rows of `window_manager.wan_vse.stale_rows`, which hold the jobs of takes."""

    bl_idname = "WAN_VSE_UL_stale"

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
        """One take: its strip, and what has changed."""
        stale = session.current().stale.found.get(item.name)
        if stale is None:
            return  # the rows are written a moment later
        split = layout.split(factor=0.36, align=True)
        split.label(text=stale.strip, icon="TIME" if stale.waits else ICON, translate=False)
        row = split.row(align=True)
        row.label(text=stale.reason, translate=False)
        row.operator("wan_vse.show_stale", text="", icon="VIEWZOOM", emboss=False).job_id = stale.job_id

    def draw_filter(self, context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
        """There is nothing to choose from."""

    def filter_items(self, context: bpy.types.Context, data: bpy.types.AnyType, property_name: str) -> tuple[Any, Any]:
        """All rows, as they come."""
        return [], []


def register() -> None:
    """Let a click on a row go to its strip."""
    properties.on_stale_row_chosen.append(_chosen)


def unregister() -> None:
    """End that."""
    properties.on_stale_row_chosen.clear()


def _chosen(panel_state: WanPanelState, context: bpy.types.Context) -> None:
    if 0 <= panel_state.active_stale < len(panel_state.stale_rows):
        operators: Any = bpy.ops
        if operators.wan_vse.show_stale.poll():
            job_id = panel_state.stale_rows[panel_state.active_stale].name
            operators.wan_vse.show_stale("EXEC_DEFAULT", True, job_id=job_id)


def has_something() -> bool:
    """Whether there is anything to show."""
    current = session.current()
    return bool(current.stale.found or current.stale.unknown or current.rebuilding.entries)


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The button first, as the list below it may be cut off in a small window; how the last run went; the list."""
    current = session.current()
    panel_state = panel_state_of(context)
    count = len(rebuild_stale.to_rebuild())
    if count:
        words = iface_("Rebuild 1 Stale Take...") if count == 1 else iface_("Rebuild {} Stale Takes...").format(count)
        layout.operator("wan_vse.rebuild_stale", text=words, icon=ICON, translate=False)
    _draw_run(layout, context, current.rebuilding)
    if current.stale.found:
        layout.template_list(
            WAN_VSE_UL_stale.bl_idname,
            "",
            panel_state,
            "stale_rows",
            panel_state,
            "active_stale",
            rows=ROWS,
            maxrows=MOST_ROWS,
        )
        index = panel_state.active_stale
        name = panel_state.stale_rows[index].name if 0 <= index < len(panel_state.stale_rows) else ""
        chosen = current.stale.found.get(name)
        if chosen is not None:
            paragraph.draw(layout, context, f"{chosen.strip}: {chosen.reason}", "BLANK1", 4, translate=False)
    for sentence in list(current.stale.unknown.values())[:MAX_UNKNOWN]:
        paragraph.draw(layout, context, sentence, "QUESTION", 3, translate=False)
    more = len(current.stale.unknown) - MAX_UNKNOWN
    if more > 0:
        layout.label(text=iface_("and {} more that can't be looked at").format(more), icon="BLANK1", translate=False)


def _draw_run(layout: bpy.types.UILayout, context: bpy.types.Context, run: Rebuilding) -> None:
    """How making them anew goes, or went."""
    entries = run.entries
    if not entries:
        return
    if run.busy:
        done = sum(entry.ended for entry in entries)
        row = layout.row(align=True)
        if run.waits:
            begins = time.strftime("%H:%M", time.localtime(run.begins))
            words = "1 take is rebuilt from {1} on" if len(entries) == 1 else "{} takes are rebuilt from {} on"
            row.label(text=iface_(words).format(len(entries), begins), icon="TIME", translate=False)
        else:
            words = iface_("Rebuilt {} of {}").format(done, len(entries))
            row.progress(factor=done / len(entries), type="BAR", text=words, translate=False)
        if run.count(State.WAITS):
            row.operator("wan_vse.stop_rebuilding", text="", icon="X")
        return
    failed = run.count(State.FAILED) + run.count(State.SKIPPED)
    words = rebuild_report.summary(entries)
    paragraph.draw(layout, context, words, "ERROR" if failed else "CHECKMARK", 3, translate=False)
    layout.operator("wan_vse.open_rebuild_report", text="Open Report", icon="TEXT")


def draw_of_take(layout: bpy.types.UILayout, context: bpy.types.Context, job_id: str) -> None:
    """For a take that is selected: what has changed since, and the button that makes it anew."""
    stale = session.current().stale.found.get(job_id)
    if stale is None:
        return
    box = layout.box()
    paragraph.draw(box, context, iface_("Stale: {}").format(stale.reason), ICON, 4, translate=False)
    if not stale.waits:
        again: Any = box.operator("wan_vse.rebuild_stale", text="Rebuild", icon="LOOP_BACK")
        again.job_id = job_id
