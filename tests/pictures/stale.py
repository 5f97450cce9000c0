"""Takes whose sources have changed: marked, listed, made anew, reported. bpy, on the window's helpers."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
PROMPT = "clouds drift over the hills"
VALLEY, RIDGE = shots.SKIES
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "stale")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    settings = scene.wan_vse
    settings.model_id, settings.quality, settings.image_prompt = "embedded", "DRAFT", PROMPT
    settings.as_long_as_strip, settings.length_mode, settings.length_frames = False, "FRAMES", 24
    window.view_all()
    scene.frame_set(shots.HOLE_START)
    yield None
    window.timeline().tag_redraw()  # the sidebar's tab was chosen after it was drawn
    yield lambda: session.server.status.state == "ready" and session.server.models
    for name in shots.SKIES:
        yield from _take_of(session, scene_name, name)
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = False
    scene.sequence_editor.active_strip = None
    window.view_all()
    (work / f"{VALLEY}.png").write_bytes((work / f"{RIDGE}.png").read_bytes())  # the picture was painted anew
    scene.sequence_editor.strips[RIDGE].use_flip_x = True
    yield lambda: len(session.stale.found) == 2
    bpy.context.window_manager.wan_vse.active_stale = 0  # which goes to its strip
    for _ in range(3):
        yield None
    window.shoot_area(out / "stale_timeline.png", window.timeline())
    window.fill_window()
    yield None
    yield None
    window.shoot_sidebar(out / "stale_panel.png")
    window.fill_window()
    yield None
    area = window.timeline()
    window.main_window().cursor_warp(area.x + area.width // 3, area.y + area.height // 2)
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.rebuild_stale("INVOKE_DEFAULT")
    yield None
    window.shoot_area(out / "stale_question.png", area)
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.rebuild_stale("EXEC_DEFAULT")
    yield from _resumed(session, work, out)
    yield lambda: session.rebuilding.report and not session.stale.found
    for _ in range(3):
        yield None
    window.fill_window()
    yield None
    yield None
    window.shoot_sidebar(out / "stale_report.png")
    window.fill_window()
    yield None


def _take_of(session: Any, scene_name: str, name: str) -> Iterator[Wait | None]:
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = strip.name == name
        if strip.select:
            scene.sequence_editor.active_strip = strip
            scene.frame_set(strip.frame_final_start)
    jobs = len(session.queue())
    yield None
    yield _can_be_asked
    with window.in_timeline():
        result = bpy.ops.wan_vse.animate_picture()
    if result != {"FINISHED"}:
        raise RuntimeError(f"The take was not asked for: {result}.")
    yield lambda: len(session.queue()) > jobs and all(job.take is not None for job in session.queue())
    yield None
    yield None  # it has landed


def _resumed(session: Any, work: Path, out: Path) -> Iterator[Wait | None]:
    """The film is closed while its takes are rebuilt, and opened again: the run goes on."""
    yield lambda: any(entry.ended for entry in session.rebuilding.entries)
    yield None
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(app_template="Video_Editing")
    yield None
    bpy.ops.wm.open_mainfile(filepath=str(work / "stale.blend"))
    yield None
    yield lambda: session.rebuilding.entries and session.server.listed
    window.show_sidebar()
    yield None
    window.choose_tab()
    yield None
    window.fill_window()
    yield None
    yield None
    window.shoot_sidebar(out / "stale_resumed.png")
    window.fill_window()
    yield None


def _can_be_asked() -> bool:
    with window.in_timeline():
        return bool(bpy.ops.wan_vse.animate_picture.poll())
