"""A Blender of its own that rebuilds stale takes until it is killed. Run by test_killed_rebuild.py.

    python rebuilding_process.py PACKAGE BLEND FOLDER

Makes a take of each picture in FOLDER, saves BLEND, paints the pictures anew, and rebuilds. Says, as one JSON line,
which processes there are and what became of each take, once the first one has come anew and the second is being made.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bpy
from editor_process import children_of, opened, say

FRAMES = 9


def main() -> None:
    package, blend, folder = sys.argv[1:]
    scene, session, compat = opened(package)
    session.server.want()
    _until(session, lambda: session.server.models)
    panel = scene.wan_vse
    panel.model_id, panel.quality, panel.image_prompt = "embedded", "DRAFT", "clouds drift"
    panel.as_long_as_strip, panel.length_mode, panel.length_frames = False, "FRAMES", FRAMES
    for number, picture in enumerate(sorted(Path(folder).glob("*.png"))):
        strips = compat.strips(scene.sequence_editor)
        still = compat.new_image(strips, picture.stem, str(picture), 1, 1 + 40 * number)
        compat.set_handles(still, 1 + 40 * number, 1 + 40 * number + FRAMES)
        for strip in strips:
            strip.select = strip.name == picture.stem
        assert bpy.ops.wan_vse.animate_picture() == {"FINISHED"}
    count = len(list(Path(folder).glob("*.png")))
    _until(session, lambda: len(_takes(compat, scene)) == count)
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    _until(session, lambda: all(job.settled for job in session.queue()))
    made = {strip["wan_vse_job"] for strip in _takes(compat, scene)}
    for picture in Path(folder).glob("*.png"):
        _paint(picture)
    session.stale.look_again()
    _until(session, lambda: len(session.stale.found) == count)
    session.rebuild(list(session.stale.found.values()))
    working = {"preparing", "loading", "denoising", "decoding"}
    _until(
        session,
        lambda: (
            any(entry.state.value == "rebuilt" for entry in session.rebuilding.entries)
            and any(job.state.value in working for job in session.queue())
        ),
    )
    entries = [(entry.stale.strip, entry.state.value) for entry in session.rebuilding.entries]
    server = session.server.connection._child.pid
    say(made=sorted(made), entries=entries, processes=[os.getpid(), server, *children_of(server)])
    while True:
        session.tick()
        time.sleep(0.005)


def _takes(compat, scene) -> list:
    return [strip for strip in compat.all_strips(scene) if strip.get("wan_vse_role") == "take"]


def _until(session, condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(min(0.05, session.tick()))


def _paint(picture: Path) -> None:
    image = bpy.data.images.load(str(picture))
    image.pixels = [0.2, 0.8, 0.4, 1.0] * (image.size[0] * image.size[1])
    image.save()
    bpy.data.images.remove(image)
    os.utime(picture, (time.time() - 100,) * 2)


if __name__ == "__main__":
    main()
