"""A queue that was paused before Blender was quit is paused in the next Blender, which says so; two stories for two.

Makes no pictures, unless CLICKS_PICTURES names a folder for them. bpy, on the window's helpers.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
STILL_SECONDS = 4.0
Wait = Callable[[], Any]


def pause(work: Path, out: Path) -> Iterator[Wait | None]:
    """Ask for two takes, hold one, pause the queue, save, and quit."""
    bpy.ops.wm.read_homefile(app_template="Video_Editing")
    yield None
    scene_name = shots.lay_out(work).name
    bpy.ops.wm.save_as_mainfile(filepath=str(work / "paused.blend"))
    yield from _open_sidebar()
    session = _module("jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    scene.frame_set(shots.HOLE_START + 12)
    settings = scene.wan_vse
    settings.prompt, settings.model_id, settings.quality = "a white star", "embedded", "DRAFT"
    yield lambda: session.server.status.state == "ready" and session.server.models
    with window.in_timeline():
        _check(bpy.ops.wan_vse.fill_gap_here() == {"FINISHED"}, "the first take was asked for")
    yield None
    (first,) = (job.job_id for job in session.queue())
    scene.frame_set(10)
    with window.in_timeline():
        _check(bpy.ops.wan_vse.generate() == {"FINISHED"}, "the second take was asked for")
    yield None
    (second,) = (job.job_id for job in session.queue() if job.job_id != first)
    with window.in_timeline():
        bpy.ops.wan_vse.hold_job(job_id=second)
        bpy.ops.wan_vse.pause_queue()
    yield lambda: [str(session.jobs.get(job).state.value) for job in (first, second)] == ["queued", "queued"]
    yield lambda: session.jobs.get(second).hold.value == "person"
    yield None
    (work / "paused.json").write_text(json.dumps([first, second]))
    _shoot("paused")
    bpy.ops.wm.save_mainfile()


def reopened(work: Path, out: Path) -> Iterator[Wait | None]:
    """Open the film again: nothing is begun, and the panel and the status bar say why; then resume."""
    bpy.ops.wm.open_mainfile(filepath=str(work / "paused.blend"))
    yield None
    yield from _open_sidebar(cleared=True)
    first, second = json.loads((work / "paused.json").read_text())
    session, status_bar = _module("jobs.session").current(), _module("ui.status_bar")
    yield lambda: session.server.status.state == "ready" and session.server.listed and session.jobs.get(second)
    _check(session.server.paused, "the queue is paused")
    until = time.monotonic() + STILL_SECONDS
    yield lambda: time.monotonic() > until
    states = [session.jobs.get(job).state.value for job in (first, second)]
    _check(states == ["queued", "queued"], f"nothing was begun, not {states}")
    _check(session.jobs.get(second).hold.value == "person", "the held job is held")
    _check(status_bar.going_on() == "The queue is paused", f"the status bar says {status_bar.going_on()!r}")
    yield None
    _shoot("reopened")
    with window.in_timeline():
        bpy.ops.wan_vse.pause_queue()
    yield lambda: session.jobs.get(first).state.value != "queued"
    _check(session.jobs.get(second).hold.value == "person", "the held job is still held")
    session.cancel(first)
    session.cancel(second)
    yield lambda: all(session.jobs.get(job).state.ended for job in (first, second))


def _open_sidebar(cleared: bool = False) -> Iterator[Wait | None]:
    if not cleared:
        window.clear_for_cutting()
    yield None  # Blender crashes where an area is touched before the new layout was drawn
    window.show_sidebar()
    yield None
    window.choose_tab()
    window.view_all()


def _module(name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.blender_addon.{name}")


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def _shoot(name: str) -> None:
    folder = os.environ.get("CLICKS_PICTURES")
    if folder:
        subprocess.run(["import", "-window", "root", str(Path(folder, f"{name}.png"))], check=True)
