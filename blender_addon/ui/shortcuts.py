"""The add-on's keys in the sequencer, in the timeline and in the preview: a keymap that a person can change.

None of them is a key that Blender's own keymap uses there, in any version from 4.2 on (a test asks each). What a person
changes in Blender's preferences or in the add-on's holds, also after the add-on was off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import bpy
import rna_keymap_ui

from ..timeline import compat


class Shortcut(NamedTuple):
    """A key with its modifiers, and the operator that it calls with some of its properties."""

    operator: str
    key: str
    modifiers: tuple[str, ...] = ("shift",)
    values: tuple[tuple[str, str | int], ...] = ()


SHORTCUTS = (
    Shortcut("wan_vse.flip_take", "COMMA", values=(("direction", "PREVIOUS"),)),
    Shortcut("wan_vse.flip_take", "PERIOD", values=(("direction", "NEXT"),)),
    Shortcut("wan_vse.new_take", "N"),
    Shortcut("wan_vse.compare_takes", "V"),
    Shortcut("wan_vse.fill_gap_here", "F"),
    Shortcut("wan_vse.drag_extension", "E"),
    Shortcut("wan_vse.pie", "Q"),
    Shortcut("wan_vse.browse_takes", "T"),
    Shortcut("wan_vse.make_shown", "RET", ("ctrl",)),
    Shortcut("wan_vse.land_look", "RET"),
)
"""Shift with , . N V F E Q T and Enter, and Ctrl with Enter."""

_WHILE_COMPARING = (
    Shortcut("wan_vse.compare_border", "MOUSEMOVE", ()),
    Shortcut("wan_vse.compare_next", "RIGHT_ARROW", (), (("step", 1),)),
    Shortcut("wan_vse.compare_next", "LEFT_ARROW", (), (("step", -1),)),
    Shortcut("wan_vse.compare_end", "ESC", ()),
)
"""They let Blender have their key unless takes are compared."""

_added: list[tuple[Any, Any]] = []
"""The keymap and the item of each shortcut."""


def register() -> None:
    """Add the keys to Blender's keymap for add-ons."""
    configurations = bpy.context.window_manager.keyconfigs
    if configurations.addon is None:
        return
    keymap = configurations.addon.keymaps.new(name=compat.sequencer_keymap(), space_type="SEQUENCE_EDITOR")
    items: Any = keymap.keymap_items
    for each in (*SHORTCUTS, *_WHILE_COMPARING):
        happens = "ANY" if each.key == "MOUSEMOVE" else "PRESS"
        item = items.new(each.operator, each.key, happens, **dict.fromkeys(each.modifiers, True))
        for name, value in each.values:
            setattr(item.properties, name, value)
        _added.append((keymap, item))


def unregister() -> None:
    """Remove the keys."""
    for keymap, item in _added:
        keymap.keymap_items.remove(item)
    _added.clear()


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The keys as Blender shows and changes them."""
    box = layout.box()
    box.label(text="Shortcuts")
    configuration = context.window_manager.keyconfigs.user
    column = box.column()
    for keymap, item in in_use(configuration):
        column.context_pointer_set("keymap", keymap)
        rna_keymap_ui.draw_kmi([], configuration, keymap, item, column, 0)


def in_use(configuration: Any) -> Iterator[tuple[Any, Any]]:
    """The items as a person may have changed them, with their keymap, in the order of `SHORTCUTS`."""
    keymap = configuration.keymaps.get(compat.sequencer_keymap()) if configuration is not None else None
    if keymap is None:
        return
    ours = {each.operator for each in SHORTCUTS}
    for item in keymap.keymap_items:
        if item.idname in ours:
            yield keymap, item
