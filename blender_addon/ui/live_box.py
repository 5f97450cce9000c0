"""Live: a small draft of the take that the panel shows, while it is being described. Off until a person turns it on."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..jobs import session
from ..operators.snapshot import Snapshot
from ..properties import WanSettings, panel_state_of
from . import look_icons, paragraph, plan_box

UNITS = 6.0
"""The picture's side, in rows of the panel."""
LINES = 4
"""Beside the picture, below the button."""


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, settings: WanSettings, seen: Snapshot) -> None:
    """The option; and the look at what the panel shows, with why there is none, and what landing it means."""
    live = session.current().live
    row = layout.row(align=True)
    row.prop(panel_state_of(context), "live", icon="HIDE_OFF" if live.is_on else "HIDE_ON", toggle=True)
    if not live.is_on:
        return
    takes = seen.takes
    shown = takes.planned[0] if takes.planned and not takes.refusal else None
    live.show(shown, settings.seed_locked, context.window.as_pointer() if context.window else 0)
    another = row.row(align=True)
    another.enabled = not settings.seed_locked
    another.operator("wan_vse.another_look", text="", icon="FILE_REFRESH")
    picture = look_icons.icon_of(live.seen) if live.seen is not None else 0
    words = layout
    if picture:
        row = layout.row()
        side = row.row()
        side.enabled = live.is_of_shown
        side.template_icon(icon_value=picture, scale=UNITS)
        words = row.column()
        words.operator("wan_vse.land_look", text=iface_("Land"), icon="IMPORT", translate=False)
    beside = plan_box.width_beside(context, UNITS) if picture else None
    lines = [_line(len(takes.planned))]
    paragraph.draw_lines(words, context, lines, LINES if picture else 1, beside, most=LINES)


def _line(places: int) -> tuple[str, Any]:
    """One sentence: what is looked at, or why nothing is."""
    live = session.current().live
    if live.rests:
        return live.rests, "PAUSE"
    if live.sentence:
        return live.sentence, "INFO"
    if not live.is_of_shown:
        return iface_("Looking...") if live.busy else iface_("Live shows a place with words."), "SORTTIME"
    if live.seen is not None and not live.seen.whole:
        return iface_("Only the beginning: the whole take will differ"), "INFO"
    if places > 1:
        return iface_("The first of {} places").format(places), "NONE"
    return iface_("This very take lands"), "NONE"
