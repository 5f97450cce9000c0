"""Six tasks in the window, each before and after: the film of the demo, cut and asked for by hand. bpy only."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))

import film
import footage
import window

Wait = Callable[[], Any]


def story(work: Path, out: Path) -> Iterator[Wait | None]:
    """Two pictures of each task. None waits for a redraw."""
    bpy.context.preferences.view.ui_scale = 0.78  # each task's panel is seen to its button
    bpy.ops.wm.read_homefile(app_template="Video_Editing")
    yield None
    scene = bpy.context.window_manager.windows[0].workspace.sequencer_scene or bpy.context.scene
    footage.cut(scene, work / "media")
    name = scene.name
    bpy.ops.wm.save_as_mainfile(filepath=str(work / "tasks.blend"))
    window.clear_for_cutting()
    yield None  # Blender crashes where an area is touched before the new layout was drawn
    session = importlib.import_module(f"{film.PACKAGE}.blender_addon.jobs.session").current()
    window.show_sidebar()
    yield None
    window.choose_tab()
    window.view_all()
    yield lambda: session.server.status.state == "ready" and session.server.models
    for step in film.STEPS:
        yield from _task(session, name, step, out)


def _task(session: Any, scene_name: str, step: film.Step, out: Path) -> Iterator[Wait | None]:
    scene = bpy.data.scenes[scene_name]
    start, end = film.PLACES[step.task]
    _select(scene, step.selected)
    scene.frame_set(step.playhead)
    settings = scene.wan_vse
    setattr(settings, film.PROMPT_FIELDS[step.task], step.prompt)
    settings.seed, settings.seed_locked = step.seed, True
    settings.model_id, settings.quality = "embedded", "STANDARD"
    for setting, value in step.settings.items():
        setattr(settings, setting, value)
    if not step.selected or step.task == "extend":
        settings.task = step.task.upper()  # the selection implies another
    if step.task != "text_to_video":
        scene.frame_set((start + end) // 2)
    yield None
    yield lambda: session.server.plan_query.plan and not session.server.thumbnail_query.busy
    for _ in range(3):  # the thumbnails are given to Blender, read, and drawn
        yield None
    window.shoot_areas(out / f"{step.task}_before.png", _areas())
    jobs = len(session.queue())
    with window.in_timeline():
        result = getattr(bpy.ops.wan_vse, step.operator)()
    if result != {"FINISHED"}:
        raise RuntimeError(f"{step.operator} gave {result}.")
    yield lambda: len(session.queue()) > jobs and all(job.state.ended for job in session.queue())
    if session.queue()[0].take is None:
        raise RuntimeError(f"{step.task}: {session.queue()[0].problem}")
    yield lambda: film.take_strip(bpy.data.scenes[scene_name], session.queue()[0])
    scene = bpy.data.scenes[scene_name]
    _select(scene, ())
    scene.frame_set((start + end) // 2)
    yield None
    yield None
    window.shoot_areas(out / f"{step.task}_after.png", _areas())


def _select(scene: bpy.types.Scene, names: tuple[str, ...]) -> None:
    for strip in scene.sequence_editor.strips:
        strip.select = strip.name in names
    scene.sequence_editor.active_strip = scene.sequence_editor.strips[names[0]] if names else None
    window.timeline().tag_redraw()


def _areas() -> list[bpy.types.Area]:
    return list(window.main_window().screen.areas)
