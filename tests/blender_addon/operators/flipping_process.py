"""A Blender of its own that flips through a strip's takes, and saves now and then, until it is killed.

    python flipping_process.py PACKAGE BLEND SEED

Says a line for each step: `flipped JOB`, and `saving JOB` and `saved JOB` around a save. Run by
test_killed_while_flipping.py.
"""

from __future__ import annotations

import random
import sys

import bpy


def say(*words: str) -> None:
    sys.stderr.write(" ".join(words) + "\n")
    sys.stderr.flush()


def main() -> None:
    import addon_utils  # Blender puts it on the path when bpy is imported

    package, blend, seed = sys.argv[1:]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable(package, default_set=True)
    bpy.ops.wm.open_mainfile(filepath=blend)
    scene = bpy.context.scene
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    chance = random.Random(int(seed))
    while True:
        assert bpy.ops.wan_vse.flip_take(direction=chance.choice(("NEXT", "PREVIOUS"))) == {"FINISHED"}
        shown = scene.sequence_editor.active_strip["wan_vse_job"]
        say("flipped", shown)
        if chance.random() < 0.4:
            say("saving", shown)
            bpy.ops.wm.save_mainfile()
            say("saved", shown)


if __name__ == "__main__":
    main()
