"""Kept pictures in the window: two image strips and two markers over the frames of a take. bpy, on its helpers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import window

PACKAGE = "bl_ext.user_default.wan_vse"
START, FRAMES = 200, 33
PICTURES = (("Valley at dawn", 206, 3), ("Ridge in the evening", 224, 4))
MARKERS = ((START, "hills in the morning"), (216, "the evening comes"))


def story(work: Path, out: Path) -> Iterator[Callable[[], Any] | None]:
    """The panel lists what is kept where, and what is said when. None waits for a redraw."""
    scene_name = yield from window.open_film(work, "kept")
    compat = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.compat")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    strips = compat.shown_strips(scene)
    for name, start, channel in PICTURES:
        strip = strips.new_image(f"{name}.001", str(work / f"{name}.png"), channel, start, fit_method="FILL")
        compat.set_handles(strip, start, start + 6)
    for strip in strips:
        strip.select = False
    for frame, name in MARKERS:
        scene.timeline_markers.new(name, frame=frame)
    scene.frame_set(START)
    settings = scene.wan_vse
    settings.task = "TEXT_TO_VIDEO"
    settings.prompt, settings.model_id, settings.quality = "", "embedded", "DRAFT"
    settings.length_mode, settings.length_frames = "FRAMES", FRAMES
    settings.keep_pictures = settings.words_over_time = settings.words_of_markers = True
    window.view_all()
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    yield None
    window.fill_window()
    yield None
    window.shoot_sidebar(out / "sidebar_kept.png")
    window.fill_window()
