"""Two gaps that are filled: how their ends join, the frames under the trims, and the worst seam retried. bpy."""

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
MOON_PROMPT, MOON_SEED = "a yellow circle moves right over a night sky", 11
MOONS = (("Moon left", 145, 169), ("Moon right", 193, 217))
"""Two shots of one movie, behind the film, with a gap between them that the model knows how to fill."""
HANDLE = 12
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "seams")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    _lay_moons(scene, work / "media" / "moon.mp4")
    window.view_all()
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
    _select(scene_name, shots.HOLE_START)
    yield None
    yield from _slipped(scene_name, out)
    yield from _fill_between_moons(session, scene_name)
    _select(scene_name, MOONS[0][2])
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.retry_worst_seam(count=3)
    yield None
    window.fill_window()
    yield None
    seam_retry = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.seam_retry")
    yield lambda: (retry := seam_retry.of(_take(scene_name, MOONS[0][2]))) is not None and retry.end
    yield lambda: all(job.state.ended for job in session.queue())
    for _ in range(4):
        yield None
    window.shoot_sidebar(out / "seams_panel.png")
    window.fill_window()
    for _ in range(3):
        yield None
    window.shoot_area(out / "seams_timeline.png", window.timeline())


def _lay_moons(scene: bpy.types.Scene, movie: Path) -> None:
    for name, start, end in MOONS:
        strip = scene.sequence_editor.strips.new_movie(name, str(movie), 1, MOONS[0][1], fit_method="FILL")
        if start > MOONS[0][1]:
            strip.frame_final_start = start
        strip.frame_final_end, strip.select = end, False
    scene.frame_end = MOONS[-1][2] - 1


def _fill_between_moons(session: Any, scene_name: str) -> Iterator[Wait | None]:
    """The second gap, in more steps: its footage moves as the model makes it move."""
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = strip.name in {name for name, _, _ in MOONS}
    settings = scene.wan_vse
    settings.gap_prompt, settings.quality = MOON_PROMPT, "STANDARD"
    settings.seed, settings.seed_locked = MOON_SEED, True
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.fill_gap()
    yield lambda: len(session.queue()) == 2 and all(job.take is not None for job in session.queue())
    yield lambda: _take(scene_name, MOONS[0][2]) is not None
    bpy.data.scenes[scene_name].wan_vse.seed_locked = False


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


def _take(scene_name: str, start: int = shots.HOLE_START) -> Any:
    """The take in the gap that begins there, also while it is pulled out over its handles."""
    strips = bpy.data.scenes[scene_name].sequence_editor.strips
    takes = [strip for strip in strips if strip.get("wan_vse_role") == "take"]
    return next((strip for strip in takes if strip.frame_final_start in (start, start - HANDLE)), None)


def _select(scene_name: str, start: int) -> None:
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = strip == _take(scene_name, start)
    scene.sequence_editor.active_strip = _take(scene_name, start)
    window.timeline().tag_redraw()
