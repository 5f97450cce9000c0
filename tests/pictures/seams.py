"""A gap that is filled with handles: how its ends join, the frames under its trims, and the worst seam retried. bpy."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
PROMPT = "the sun moves over the hills"
HANDLE = 12
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "seams")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    window.view_all()
    scene = bpy.data.scenes[scene_name]
    scene.frame_set(shots.HOLE_START + 12)
    settings = scene.wan_vse
    settings.gap_prompt, settings.model_id, settings.quality, settings.handles = PROMPT, "embedded", "DRAFT", True
    settings.task = "FILL_GAP"
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    window.fill_window()
    yield None
    window.shoot_sidebar(out / "seams_plan.png")
    window.fill_window()
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.fill_gap()
    yield lambda: session.queue() and session.queue()[0].take is not None
    yield lambda: _take(scene_name) is not None
    _select(scene_name)
    for _ in range(3):
        yield None
    window.shoot_area(out / "seams_timeline.png", window.timeline())
    yield from _slipped(scene_name, out)
    with window.in_timeline():
        bpy.ops.wan_vse.retry_worst_seam(count=2)
    yield None
    window.fill_window()
    yield None
    yield lambda: all(job.take is not None for job in session.queue()) and len(session.queue()) >= 2
    for _ in range(4):
        yield None
    yield lambda: all(job.state.ended for job in session.queue())
    for _ in range(4):
        yield None
    window.shoot_sidebar(out / "seams_panel.png")
    window.fill_window()
    yield None


def _slipped(scene_name: str, out: Path) -> Iterator[Wait | None]:
    """The take above its neighbors with both ends pulled out, so that it overlaps them; then as it was."""
    strip = _take(scene_name)
    channel = strip.channel
    strip.channel = channel + 1
    _pull(strip, HANDLE)
    for _ in range(2):
        yield None
    window.shoot_area(out / "seams_handles.png", window.timeline())
    strip = _take(scene_name)
    _pull(strip, -HANDLE)
    strip.channel = channel
    yield None


def _pull(strip: Any, frames: int) -> None:
    left, right = (
        ("left_handle", "right_handle") if hasattr(strip, "left_handle") else ("frame_final_start", "frame_final_end")
    )
    setattr(strip, left, getattr(strip, left) - frames)
    setattr(strip, right, getattr(strip, right) + frames)


def _take(scene_name: str) -> Any:
    strips = bpy.data.scenes[scene_name].sequence_editor.strips
    return next((strip for strip in strips if strip.get("wan_vse_role") == "take"), None)


def _select(scene_name: str) -> None:
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = strip == _take(scene_name)
    scene.sequence_editor.active_strip = _take(scene_name)
    window.timeline().tag_redraw()
