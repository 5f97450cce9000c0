"""The add-on can be enabled and disabled any number of times, and leaves nothing behind."""

from __future__ import annotations

import addon_utils
import bpy


def traces() -> set[str]:
    """The names of the add-on that Blender knows."""
    found = {name for name in dir(bpy.types) if "wan_vse" in name.lower() or "wanvse" in name.lower()}
    if hasattr(bpy.types.Scene, "wan_vse"):
        found.add("scene.wan_vse")
    for menu in (bpy.types.SEQUENCER_MT_strip, bpy.types.SEQUENCER_MT_add):
        for function in getattr(menu.draw, "_draw_funcs", []):
            if "wan_vse" in function.__module__:
                found.add(f"{menu.__name__}: {function.__name__}")
    return found


def test_three_times_on_and_off(scene, extension: str) -> None:
    on = traces()
    assert {"WAN_VSE_OT_generate", "scene.wan_vse"} <= on
    for _ in range(3):
        addon_utils.disable(extension)
        assert traces() == set()
        addon_utils.enable(extension, default_set=True)
        assert traces() == on


def test_a_register_that_fails_leaves_nothing(scene, extension: str, addon, monkeypatch) -> None:
    import pytest

    addon_utils.disable(extension)
    package = addon("ui").__package__.rpartition(".")[0]
    root = __import__("importlib").import_module(package)

    def broken() -> None:
        raise RuntimeError("No")

    with monkeypatch.context() as patch:
        patch.setattr(root.ui, "register", broken)
        with pytest.raises(RuntimeError):
            root.register()
        assert traces() == set()
    addon_utils.enable(extension, default_set=True)
