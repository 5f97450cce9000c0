"""Words over time in the window: two text strips above a stretch, and the one take of both. bpy, on its helpers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import window

PACKAGE = "bl_ext.user_default.wan_vse"
WORDS = (
    ("a red circle moves left on sand", 200, 217),
    ("a red circle moves right on sand", 217, 233),
)


def story(work: Path, out: Path) -> Iterator[Callable[[], Any] | None]:
    """The panel lists what is said when, then the take stands below its words. None waits for a redraw."""
    scene_name = yield from window.open_film(work, "words")
    compat = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.compat")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    scene = bpy.data.scenes[scene_name]
    strips = compat.shown_strips(scene)
    for strip in strips:
        strip.select = False
    for text, start, end in WORDS:
        strip = _text_strip(strips, text, start, end)
        strip.text, strip.select = text, True
    scene.frame_set(WORDS[0][1])
    settings = scene.wan_vse
    settings.prompt, settings.model_id, settings.words_over_time = "", "embedded", True
    settings.quality, settings.seed, settings.seed_locked = "STANDARD", 4, True
    window.view_all()
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    yield None
    window.shoot_areas(out / "words_before.png", list(window.main_window().screen.areas))
    window.fill_window()
    yield None
    window.shoot_sidebar(out / "sidebar_words.png")
    window.fill_window()
    with window.in_timeline():
        bpy.ops.wan_vse.generate()
    yield lambda: session.queue() and session.queue()[0].take is not None
    yield lambda: all(strip.type != "COLOR" for strip in compat.shown_strips(scene))
    scene.frame_set(WORDS[1][2] - 2)
    window.view_all()
    yield None
    window.shoot_areas(out / "words_after.png", list(window.main_window().screen.areas))


def _text_strip(strips: Any, text: str, start: int, end: int) -> Any:
    parameters = strips.bl_rna.functions["new_effect"].parameters
    length = {"length": end - start} if "length" in parameters else {"frame_end": end}
    return strips.new_effect(name=text, type="TEXT", channel=4, frame_start=start, **length)
