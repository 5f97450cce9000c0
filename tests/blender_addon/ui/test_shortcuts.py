"""The keys: none is Blender's own in the sequencer, a person can change them, and none stays behind."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import bpy
import pytest

MODIFIERS = ("ctrl", "alt", "shift", "oskey")
ELSEWHERE = ("Window", "Screen", "Screen Editing", "View2D", "Markers", "Frames", "Animation", "Preview")


def blenders_keys() -> list[tuple[str, frozenset[str]]]:
    """Key and modifiers of each item that Blender's default keymap has where the sequencer is."""
    folder = Path(bpy.utils.system_resource("SCRIPTS"), "presets", "keyconfig", "keymap_data")
    spec = importlib.util.spec_from_file_location("blender_default", folder / "blender_default.py")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = []
    for name, _, content in module.generate_keymaps(module.Params()):
        if "Sequence" in name or name.startswith(ELSEWHERE):
            for _, event, *_ in content["items"]:
                found.append((event["type"], frozenset(key for key in MODIFIERS if event.get(key) in (True, 1))))
    assert len(found) > 100
    return found


def test_no_key_is_blenders_own(addon, scene) -> None:
    taken = blenders_keys()
    for each in addon("ui.shortcuts").SHORTCUTS:
        assert (each.key, frozenset(each.modifiers)) not in taken, each
    assert ("G", frozenset({"shift"})) in taken


def test_every_key_calls_an_operator_with_its_own_properties(addon, scene) -> None:
    shortcuts = addon("ui.shortcuts")
    for each in (*shortcuts.SHORTCUTS, *shortcuts._WHILE_COMPARING):
        kind = getattr(bpy.ops.wan_vse, each.operator.partition(".")[2]).get_rna_type()
        assert {name for name, _ in each.values} <= set(kind.properties.keys())


def test_the_keys_go_with_the_add_on(addon, scene) -> None:
    shortcuts = addon("ui.shortcuts")
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is None:
        pytest.skip("This Blender has no keymap for add-ons without a window")
    ours = lambda: [i for m in configuration.keymaps for i in m.keymap_items if i.idname.startswith("wan_vse.")]  # noqa: E731
    count = len(ours())
    assert count == len(shortcuts.SHORTCUTS) + len(shortcuts._WHILE_COMPARING)
    shortcuts.unregister()
    assert ours() == []
    shortcuts.register()
    assert len(ours()) == count
