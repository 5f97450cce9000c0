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
MOVING = "an orange circle moves right over a night sky"
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


def joins_and_jumps(work: Path, out: Path) -> Iterator[Wait | None]:
    """A take that goes on from the motion of another one, and ends at a picture that has nothing to do with it."""
    scene_name = yield from window.open_film(work, "joins")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    (valley, *_) = shots.SKIES
    scene.sequence_editor.strips.remove(scene.sequence_editor.strips[valley])
    settings = scene.wan_vse
    settings.model_id, settings.quality = "embedded", "STANDARD"
    settings.prompt = settings.gap_prompt = MOVING
    settings.length_mode, settings.length_frames = "FRAMES", shots.HOLE_START - 1
    settings.seed_locked, settings.seed = True, 5
    yield lambda: session.server.status.state == "ready" and session.server.models
    scene.frame_set(1)
    yield from _made(session, scene_name, bpy.ops.wan_vse.generate)
    scene.frame_set(shots.HOLE_START + 12)
    yield from _made(session, scene_name, bpy.ops.wan_vse.fill_gap_here)
    for strip in scene.sequence_editor.strips:
        strip.select = strip == _take_at(scene_name, shots.HOLE_START)
    scene.sequence_editor.active_strip = _take_at(scene_name, shots.HOLE_START)
    window.view_all()
    for _ in range(3):
        yield None
    window.shoot_area(out / "seams_timeline.png", window.timeline())


def _made(session: Any, scene_name: str, ask: Callable[[], set[str]]) -> Iterator[Wait | None]:
    with window.in_timeline():
        result = ask()
    if result != {"FINISHED"}:
        raise RuntimeError(f"The take was not asked for: {result}.")
    yield None
    yield lambda: all(job.state.ended for job in session.queue())
    yield lambda: all(strip.get("wan_vse_role") != "placeholder" for strip in _strips(scene_name))
    yield None


def _strips(scene_name: str) -> Any:
    return bpy.data.scenes[scene_name].sequence_editor.strips


def _take_at(scene_name: str, start: int) -> Any:
    return next(strip for strip in _strips(scene_name) if strip.frame_final_start == start)


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
