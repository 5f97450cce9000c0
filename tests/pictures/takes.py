"""Takes of one place: three of a gap, flipped, compared, browsed. bpy, on the window's helpers."""

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
PROMPT = "an orange circle rises in the sky, the camera pans right"
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "takes")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    yield from three_takes(session, scene_name)
    yield from _shown(scene_name, out)
    yield from _compared(out)
    yield from _pie(out)
    yield from _browsed(session, out)


def three_takes(session: Any, scene_name: str) -> Iterator[Wait | None]:
    """Three drafts for the gap."""
    window.view_all()
    scene = bpy.data.scenes[scene_name]
    scene.frame_set(shots.HOLE_START + 12)
    settings = scene.wan_vse
    settings.prompt, settings.model_id, settings.length_mode = PROMPT, "embedded", "GAP"
    settings.quality = "DRAFT"
    settings.task = "TEXT_TO_VIDEO"
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    yield from _make(session, lambda: bpy.ops.wan_vse.generate())
    _select_take(scene_name)
    yield None
    yield from _make(session, lambda: bpy.ops.wan_vse.new_take(count=2))


def _make(session: Any, ask: Callable[[], set[str]]) -> Iterator[Wait | None]:
    jobs = len(session.queue())
    with window.in_timeline():
        result = ask()
    if result != {"FINISHED"}:
        raise RuntimeError(f"The take was not asked for: {result}.")
    yield lambda: len(session.queue()) > jobs and all(job.take is not None for job in session.queue())
    yield None
    yield None  # they have landed


def _shown(scene_name: str, out: Path) -> Iterator[Wait | None]:
    """One of three, starred; its panel and the timeline."""
    _select_take(scene_name)
    with window.in_timeline():
        bpy.ops.wan_vse.flip_take(direction="PREVIOUS")
        bpy.ops.wan_vse.mark_take(mark="star")
    for _ in range(3):  # the thumbnails are read, and drawn
        yield None
    window.shoot_area(out / "takes_timeline.png", window.timeline())
    window.fill_window()
    yield None
    yield None
    window.shoot_sidebar(out / "takes_panel.png")
    window.fill_window()
    yield None


def _compared(out: Path) -> Iterator[Wait | None]:
    with window.in_timeline():
        bpy.ops.wan_vse.compare_takes(kind="WIPE")
    for _ in range(3):  # its pictures are read at the ticks
        yield None
    window.shoot_area(out / "takes_compare.png", _preview())
    with window.in_timeline():
        bpy.ops.wan_vse.compare_takes(kind="WIPE")
    yield None


def _pie(out: Path) -> Iterator[Wait | None]:
    area = window.timeline()
    window.main_window().cursor_warp(area.x + area.width // 2, area.y + area.height // 2)
    yield None
    subprocess.run(["xdotool", "key", "shift+q"], check=True)
    yield None
    window.shoot_area(out / "takes_pie.png", area)
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    yield None


def _browsed(session: Any, out: Path) -> Iterator[Wait | None]:
    with window.in_timeline():
        bpy.ops.wan_vse.browse_takes("INVOKE_DEFAULT")
    yield None
    shown = session.server.filmstrips
    for _ in range(4):  # the filmstrips are made, and drawn
        yield None
    preview = _preview()
    window.main_window().cursor_warp(preview.x + 120, preview.y + preview.height - 160)
    yield None
    yield lambda: shown.version
    for _ in range(80):  # the other takes' filmstrips, of which each redraw shows one more
        for area in window.main_window().screen.areas:
            area.tag_redraw()
        yield None
    window.shoot_area(out / "takes_browser.png", preview)
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    yield None


def _preview() -> bpy.types.Area:
    return next(area for area in window.main_window().screen.areas if area != window.timeline())


def _select_take(scene_name: str) -> None:
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = bool(strip.get("wan_vse_job")) and strip.type != "COLOR"
        if strip.select:
            scene.sequence_editor.active_strip = strip
    window.timeline().tag_redraw()
