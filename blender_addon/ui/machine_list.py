"""The preferences' list of machines: which one makes takes, what a test found, and the line to the one that is used."""

from __future__ import annotations

from typing import Literal

import bpy

from ...wan_backend.protocol.transfer import LinkStatus
from ..jobs import session
from ..preferences import WanMachine, WanPreferences
from . import paragraph


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, preferences: WanPreferences) -> None:
    """A row for each machine, then the fields of the one that is used."""
    layout.label(text="Takes Are Made On")
    rows = layout.column(align=True)
    _draw_row(rows, preferences, 0)
    for number in range(1, len(preferences.machines) + 1):
        _draw_row(rows, preferences, number)
    layout.operator("wan_vse.add_machine", text="Add Machine", icon="ADD")
    _draw_found(layout, context)


def _draw_row(rows: bpy.types.UILayout, preferences: WanPreferences, number: int) -> None:
    used = preferences.used_machine == number
    columns = rows.split(factor=0.84, align=True)
    row = columns.row(align=True)
    icon: Literal["RADIOBUT_ON", "RADIOBUT_OFF"] = "RADIOBUT_ON" if used else "RADIOBUT_OFF"
    if number == 0:
        row.operator("wan_vse.use_machine", text="This Machine", icon=icon, depress=used).number = 0
    else:
        machine = preferences.machines[number - 1]
        row.operator("wan_vse.use_machine", text="", icon=icon, depress=used).number = number
        fields = row.split(factor=0.25, align=True)
        fields.prop(machine, "name", text="")
        fields.prop(machine, "command", text="", placeholder="ssh box wan-backend serve")
    buttons = columns.row(align=True)
    buttons.operator("wan_vse.test_machine", text="Test").number = number
    if number:
        buttons.operator("wan_vse.remove_machine", text="", icon="X").number = number


def draw_shared_folders(layout: bpy.types.UILayout, machine: WanMachine, number: int) -> None:
    """The folders that this machine and the one that is used both see."""
    layout.label(text="Folders That Both Machines See")
    for index, pair in enumerate(machine.pairs):
        row = layout.row(align=True)
        row.prop(pair, "near", text="", placeholder="Here")
        row.label(text="", icon="ARROW_LEFTRIGHT")
        row.prop(pair, "far", text="", placeholder="There")
        remove = row.operator("wan_vse.remove_path_pair", text="", icon="X")
        remove.number, remove.pair = number, index
    layout.operator("wan_vse.add_path_pair", text="Add Shared Folder", icon="ADD").number = number


def draw_link(layout: bpy.types.UILayout, context: bpy.types.Context, link: LinkStatus | None) -> None:
    """Why there is no line to the machine that is used, or what is on its way; nothing if all is well."""
    if link is None or not link.sentence:
        return
    paragraph.draw(layout, context, link.sentence, "SORTTIME" if link.connected else "UNLINKED")
    if link.total_bytes:
        layout.progress(factor=link.done_bytes / link.total_bytes, type="BAR", text="")


def _draw_found(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    test = session.current().machine_test
    if test.found is None:
        return
    box = layout.box()
    if test.busy and not test.found.lines:
        box.label(text="Connecting...", icon="SORTTIME")
    last = len(test.found.lines) - 1
    for index, line in enumerate(test.found.lines):
        is_wrong = not test.found.good and index == last
        column = box.column()
        column.alert = is_wrong
        paragraph.draw(column, context, line, "ERROR" if is_wrong else "CHECKMARK")
    if test.busy and test.found.lines:
        box.label(text="Testing...", icon="SORTTIME")
