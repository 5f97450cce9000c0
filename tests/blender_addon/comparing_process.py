"""A Blender of its own that compares takes, undoes and saves meanwhile, and goes on until it is killed. Run by
test_comparing_killed.py.

    python comparing_process.py PACKAGE BLEND

Says on stderr, one line of JSON, when it has saved BLEND while comparing.
"""

from __future__ import annotations

import importlib
import json
import sys

import bpy


def main() -> None:
    import addon_utils  # Blender puts it on the path when bpy is imported

    package, blend = sys.argv[1:]
    addon_utils.enable(package, default_set=True)
    bpy.ops.wm.open_mainfile(filepath=blend)
    scene = bpy.context.scene
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    compare, comparison, pictures, compat = (
        importlib.import_module(f"{package}.blender_addon.{name}")
        for name in ("operators.compare_takes", "ui.comparison", "ui.compared_pictures", "timeline.compat")
    )
    bpy.ops.ed.undo_push(message="Before")
    assert bpy.ops.wan_vse.compare_takes() == {"FINISHED"}
    said = False
    while True:
        found = compare.strip_of(compare.shown)
        for side in comparison.sides(*found, compare.shown, scene.frame_current):
            assert pictures.pixels(side.picture) is not None
        if said:
            continue
        compat.active_strip(scene).mute = True
        bpy.ops.ed.undo_push(message="Mute")
        assert bpy.ops.ed.undo() == {"FINISHED"}
        scene = bpy.context.scene
        assert compare.shown is not None and not compat.active_strip(scene).mute
        bpy.ops.wm.save_mainfile()
        sys.stderr.write(json.dumps({"second": compare.shown.second}) + "\n")
        sys.stderr.flush()
        said = True


main()
