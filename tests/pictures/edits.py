"""An edit in the window: a shot and a still as reference picture, by a small random model. bpy, on its helpers."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import window

PACKAGE = "bl_ext.user_default.wan_vse"
ROOT = Path(__file__).resolve().parents[2]
SHOT, START, FRAMES = "Coast", 200, 12
MAKE = (
    "import sys, pathlib; from tests.wan_backend.loading.small_checkpoints import write_renderer as write; "
    "write(pathlib.Path(sys.argv[1]), num_layers=30, num_attention_heads=12, attention_head_dim=6)"
)


def story(work: Path, out: Path) -> Iterator[Callable[[], Any] | None]:
    """The panel with what is selected. None waits for a redraw."""
    models = work / "edit-models"
    python = os.environ["WAN_VSE_BACKEND_PYTHON"]
    around = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([python, "-c", MAKE, models / "Bernini-R-1.3B-Diffusers"], check=True, env=around, cwd=ROOT)
    bpy.context.preferences.addons[PACKAGE].preferences.models_folder = str(models)
    scene_name = yield from window.open_film(work, "edits")
    compat = importlib.import_module(f"{PACKAGE}.blender_addon.timeline.compat")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    thumbnails = importlib.import_module(f"{PACKAGE}.blender_addon.ui.thumbnail_icons")
    scene = bpy.data.scenes[scene_name]
    strips = compat.shown_strips(scene)
    shot = strips.new_image(SHOT, str(work / "Valley at dawn.png"), 1, START, fit_method="FILL")
    for _ in range(1, FRAMES):
        shot.elements.append("Valley at dawn.png")
    compat.set_handles(shot, START, START + FRAMES)
    still = strips.new_image("Evening", str(work / "Ridge in the evening.png"), 1, START + 40, fit_method="FILL")
    compat.set_handles(still, START + 40, START + 52)
    for strip in strips:
        strip.select = strip in (shot, still)
    scene.sequence_editor.active_strip = shot
    scene.frame_set(START)
    settings = scene.wan_vse
    settings.task = "EDIT"
    settings.edit_prompt = "Make it evening, with the sky of the reference image. All else remains unchanged."
    settings.model_id, settings.quality, settings.seed, settings.seed_locked = "bernini-r-1.3b", "DRAFT", 4, True
    window.view_all()
    yield lambda: session.server.status.state == "ready" and session.server.plan_query.plan
    yield lambda: session.server.plan_query.plan.problem is None
    yield None
    window.fill_window()
    yield lambda: len(thumbnails._kept or ()) >= 3  # the shot's first and last picture, and the reference
    yield None
    window.shoot_sidebar(out / "edit_panel.png")
    window.fill_window()
