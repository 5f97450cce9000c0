"""Three gaps that are filled: how their ends join, the frames under the trims, and the worst seam retried. bpy."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
PROMPT = "the sun moves over the hills"


class Parted(NamedTuple):
    """Two shots of one movie, behind the film, with a gap between them that the model knows how to fill."""

    movie: str
    start: int
    prompt: str
    seed: int

    @property
    def gap(self) -> int:
        """Where the gap begins."""
        return self.start + PART

    @property
    def end(self) -> int:
        """Where the second shot ends."""
        return self.start + 3 * PART


PART = 24
MOON = Parted("moon", 145, "a yellow circle moves right over a night sky", 11)
PAN = Parted("pan", 217, "a blue circle rests on sand, the camera pans right", 3)
HANDLE = 12
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "seams")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
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
    for parted in (MOON, PAN):
        _lay(bpy.data.scenes[scene_name], work / "media" / f"{parted.movie}.mp4", parted)
    window.view_all()
    yield None
    for parted in (PAN, MOON):
        yield from _fill_between(session, scene_name, parted)
    bpy.data.scenes[scene_name].wan_vse.seed_locked = False
    _select(scene_name, MOON.gap)
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.retry_worst_seam(count=3)
    yield None
    window.fill_window()
    yield None
    seam_retry = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.seam_retry")
    yield lambda: (retry := seam_retry.of(_take(scene_name, MOON.gap))) is not None and retry.end
    yield lambda: all(job.state.ended for job in session.queue())
    for _ in range(4):
        yield None
    window.shoot_sidebar(out / "seams_panel.png")
    window.fill_window()
    for _ in range(3):
        yield None
    window.shoot_area(out / "seams_timeline.png", window.timeline())


def _lay(scene: bpy.types.Scene, movie: Path, parted: Parted) -> None:
    for start in (parted.start, parted.gap + PART):
        strip = scene.sequence_editor.strips.new_movie(
            parted.movie.capitalize(), str(movie), 1, parted.start, fit_method="FILL"
        )
        if start > parted.start:
            strip.frame_final_start = start
        strip.frame_final_end, strip.select = start + PART, False
    scene.frame_end = parted.end - 1


def _fill_between(session: Any, scene_name: str, parted: Parted) -> Iterator[Wait | None]:
    """A further gap, in more steps: its footage moves as the model makes it move."""
    scene = bpy.data.scenes[scene_name]
    for strip in scene.sequence_editor.strips:
        strip.select = strip.frame_final_end == parted.gap or strip.frame_final_start == parted.gap + PART
    settings = scene.wan_vse
    settings.gap_prompt, settings.quality = parted.prompt, "STANDARD"
    settings.seed, settings.seed_locked = parted.seed, True
    yield None
    with window.in_timeline():
        bpy.ops.wan_vse.fill_gap()
    yield lambda: all(job.take is not None for job in session.queue())
    yield lambda: _take(scene_name, parted.gap) is not None


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
