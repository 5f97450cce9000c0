"""Live: a look at what the panel describes, beside the words, and what lands of it. bpy, on the window's helpers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
PROMPT = "an orange circle rises in the sky, the camera pans right"
TRIES = 5
Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """None waits for a redraw."""
    scene_name = yield from window.open_film(work, "live")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    window.view_all()
    scene = bpy.data.scenes[scene_name]
    scene.frame_set(shots.HOLE_START + 12)
    settings = scene.wan_vse
    settings.prompt, settings.model_id, settings.length_mode = PROMPT, "embedded", "GAP"
    settings.task = "TEXT_TO_VIDEO"
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    window.fill_window()
    yield None
    for _ in range(TRIES):  # a machine that is busy is called too slow
        bpy.context.window_manager.wan_vse.live = True
        yield lambda: session.live.is_of_shown or session.live.sentence
        if session.live.is_of_shown:
            break
        bpy.context.window_manager.wan_vse.live = False
        yield None
    yield None
    yield None  # its pictures are read, and drawn
    window.shoot_sidebar(out / "live.png")
    yield from _what_is_not_looked_at(session, scene_name, out)
    yield lambda: session.live.is_of_shown
    window.fill_window()
    yield None
    with window.in_timeline():
        result = bpy.ops.wan_vse.land_look()
    if result != {"FINISHED"}:
        raise RuntimeError(f"What was seen did not land: {result}.")
    yield lambda: session.queue()[0].take is not None
    yield None
    bpy.context.window_manager.wan_vse.live = False


def _what_is_not_looked_at(session: Any, scene_name: str, out: Path) -> Iterator[Wait | None]:
    """Footage that Blender would first have to render; then as before."""
    scene = bpy.data.scenes[scene_name]
    (name, *_) = shots.SKIES
    strip = scene.sequence_editor.strips[name]
    modifier = strip.modifiers.new("Brighter", "BRIGHT_CONTRAST")
    strip.select, scene.sequence_editor.active_strip = True, strip
    scene.wan_vse.restyle_prompt, scene.wan_vse.task = "a watercolor of hills", "RESTYLE"
    yield lambda: session.live.sentence
    for _ in range(2):
        yield None
    window.shoot_sidebar(out / "live_sentence.png")
    strip.modifiers.remove(modifier)
    strip.select, scene.sequence_editor.active_strip = False, None
    scene.wan_vse.task = "TEXT_TO_VIDEO"
    yield None
