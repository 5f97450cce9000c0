"""A LoRA trained from drawn landscapes: the panel, the training, what it has kept. bpy, on the window's helpers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import shots
import window

PACKAGE = "bl_ext.user_default.wan_vse"
STEPS = 48
LANDSCAPES = {
    "Dawn": ((0.86, 0.62, 0.48), (0.30, 0.42, 0.62)),
    "Morning": ((0.90, 0.80, 0.66), (0.40, 0.58, 0.78)),
    "Noon": ((0.82, 0.90, 0.94), (0.24, 0.48, 0.82)),
    "Haze": ((0.84, 0.82, 0.78), (0.60, 0.64, 0.70)),
    "Storm": ((0.44, 0.46, 0.50), (0.16, 0.18, 0.24)),
    "Evening": ((0.90, 0.45, 0.28), (0.16, 0.14, 0.34)),
    "Dusk": ((0.52, 0.30, 0.46), (0.10, 0.10, 0.28)),
    "Night": ((0.16, 0.20, 0.34), (0.02, 0.03, 0.10)),
}
APART = 18


def story(work: Path, out: Path) -> Iterator[Callable[[], Any] | None]:
    """Eight pictures with text strips above them become a LoRA."""
    _open_first("WAN_VSE_PT_queue", "WAN_VSE_PT_training")
    scene_name = yield from window.open_film(work, "film")
    scene = bpy.data.scenes[scene_name]
    _lay_out(scene, work)
    window.view_all()
    settings = scene.wan_vse
    settings.model_id, settings.seed, settings.seed_locked = "embedded", 7, True
    with window.in_timeline():
        bpy.ops.wan_vse.choose_clips()
    training = settings.training
    training.name, training.trigger, training.steps = "Paper Hills", "paprhl", STEPS
    training.sample_prompt = "paprhl, a red circle moves left"
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    yield lambda: session.server.status.state == "ready" and session.server.training_plan_query.plan
    yield None
    window.fill_window()
    yield None
    window.shoot_sidebar(out / "sidebar_train.png")
    with window.in_timeline():
        result = bpy.ops.wan_vse.train_lora()
    if result != {"FINISHED"}:
        raise RuntimeError(f"Train LoRA gave {result}.")
    yield None
    yield lambda: _training_of(session) is not None and len(_training_of(session).kept) >= 2
    yield None
    yield None  # the pictures are read by timers
    window.shoot_sidebar(out / "sidebar_training.png")
    yield lambda: session.queue()[0].state.ended
    if session.queue()[0].problem is not None:
        raise RuntimeError(session.queue()[0].problem.sentence)
    yield None
    yield None
    window.shoot_sidebar(out / "sidebar_trained.png")
    window.fill_window()
    yield None


def _training_of(session: Any) -> Any:
    jobs = session.queue()
    return jobs[0].training if jobs else None


def _lay_out(scene: bpy.types.Scene, work: Path) -> None:
    """A still for each landscape, its caption above it, and all stills selected."""
    strips = scene.sequence_editor.strips
    for strip in list(strips):
        strips.remove(strip)
    compat = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.compat")
    for number, (name, sky) in enumerate(LANDSCAPES.items()):
        start = 1 + APART * number
        path = shots.draw(work, name, *sky)
        strip = strips.new_image(name, str(path), 1, start, fit_method="FILL")
        strip.frame_final_end, strip.select = start + APART, True
        text = compat.new_text(strips, f"{name} caption", 2, start, APART)
        text.text, text.mute, text.select = f"hills at {name.lower()}", True, False
    scene.frame_end = APART * len(LANDSCAPES)


def _open_first(*names: str) -> None:
    """Have these panels open and the others closed, before any of them is drawn: no header can be clicked from here."""
    sidebar = importlib.import_module(f"{PACKAGE}.blender_addon.ui.sidebar")
    for one in reversed(sidebar.CLASSES):
        bpy.utils.unregister_class(one)
    for one in sidebar.CLASSES:
        one.bl_options = set() if one.__name__ in names else {"DEFAULT_CLOSED"}
        bpy.utils.register_class(one)
