"""A Blender of its own that asks for a take and then works until it is killed. Run by test_kill.py.

    python editor_process.py PACKAGE BLEND STATE SAVE

Asks in BLEND, saves it before, after or not (SAVE is "before" or "after" the asking), and says, one JSON line each,
which processes there are and when the job is in STATE ("landed": its take is on the timeline).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

import bpy


def say(**values: object) -> None:
    sys.stderr.write(json.dumps(values) + "\n")
    sys.stderr.flush()


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def opened(package: str):
    """An empty film of 160x96 with the add-on: its scene, the session, and the add-on's `compat`."""
    import addon_utils  # Blender puts it on the path when bpy is imported

    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable(package, default_set=True)
    scene = bpy.context.scene
    scene.sequence_editor_create()
    for workspace in bpy.data.workspaces:
        if hasattr(workspace, "sequencer_scene"):
            workspace.sequencer_scene = scene
    scene.render.resolution_x, scene.render.resolution_y = 160, 96
    session = importlib.import_module(f"{package}.blender_addon.jobs.session").current()
    return scene, session, importlib.import_module(f"{package}.blender_addon.timeline.compat")


def main() -> None:
    package, blend, wanted_state, save = sys.argv[1:]
    scene, session, compat = opened(package)
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    session.server.want()
    while not session.server.models:
        session.tick()
        time.sleep(0.01)
    scene.frame_set(33)
    settings = scene.wan_vse
    settings.prompt, settings.model, settings.length_frames, settings.resolution = "fog", "embedded", 17, "exact"
    settings.quality = "DRAFT" if wanted_state == "landed" else "BEST"  # long enough to be killed in its steps
    assert bpy.ops.wan_vse.generate() == {"FINISHED"}
    if save == "after":
        bpy.ops.wm.save_mainfile()
    (job,) = session.queue()
    server = session.server.connection._child.pid
    told = False
    while True:
        session.tick()
        time.sleep(0.005)
        landed = any(strip.get("wan_vse_role") == "take" for strip in compat.all_strips(scene))
        state = "landed" if landed else session.jobs.get(job.job_id).state.value
        if state == wanted_state and not told:
            told = True
            say(job_id=job.job_id, processes=[os.getpid(), server, *children_of(server)])


if __name__ == "__main__":
    main()
