"""A model is downloaded from a hub on this machine: what is said before, meanwhile and when it fails."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import window  # noqa: E402

from tests.wan_backend.downloads import fake_hub  # noqa: E402
from tests.wan_backend.library import tiny_folder  # noqa: E402

PACKAGE = "bl_ext.user_default.wan_vse"
MODEL, REPO = "wan2.1-vace-1.3b", "Wan-AI/Wan2.1-VACE-1.3B-diffusers"
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
VALUES = 40_000_000
"""Of 4 bytes: far less than the real one, so that the picture is made in a minute."""


def story(work: Path, out: Path) -> Iterator[Callable[[], Any] | None]:
    """None waits for a redraw."""
    hub = _hub(work)
    hub.accept(work / "cache")
    os.environ["HF_ENDPOINT"], os.environ["HF_HUB_CACHE"] = hub.url, str(work / "cache")
    bpy.context.preferences.system.use_online_access = True
    scene_name = yield from window.open_film(work, "download")
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    session.restart()  # with the hub of this story
    window.fill_window()
    yield lambda: session.server.status.state == "ready" and session.server.model(MODEL)
    settings = bpy.data.scenes[scene_name].wan_vse
    settings.prompt, settings.model_id = "fog rolling over a pine forest at dawn", MODEL
    settings.task = "TEXT_TO_VIDEO"
    yield lambda: session.server.plan_query.plan
    yield None
    window.main_window().cursor_warp(500, 500)
    with window.in_timeline():
        bpy.ops.wan_vse.download_model("INVOKE_DEFAULT", model=MODEL)
    yield lambda: MODEL in session.server.downloads.plans
    yield None
    window.shoot_area(out / "download_dialog.png", window.timeline())
    subprocess.run(["xdotool", "key", "Return"], check=True)
    yield lambda: session.server.downloads.status(MODEL) and session.server.downloads.status(MODEL).seconds_left
    yield lambda: session.server.downloads.status(MODEL).done_bytes > VALUES
    window.shoot_sidebar(out / "download_running.png")
    bpy.ops.wan_vse.pause_download(model=MODEL)
    yield lambda: session.server.downloads.status(MODEL).state == "paused"
    hub.status[REPO] = 503
    bpy.ops.wan_vse.resume_download(model=MODEL)
    yield lambda: session.server.downloads.status(MODEL).state == "failed"
    yield None
    window.shoot_sidebar(out / "download_failed.png")
    del hub.status[REPO]
    hub.slow_seconds = 0.0
    bpy.ops.wan_vse.resume_download(model=MODEL)
    yield lambda: session.server.model(MODEL).here
    yield None
    hub.close()


def _hub(work: Path) -> fake_hub.FakeHub:
    made = fake_hub.FakeHub()
    tiny_folder.write(work / "hub", "WanVACEPipeline", layers=30, heads=12)
    made.add(REPO, work / "hub", LICENSE__txt=b"Apache License 2.0")
    made.repos[REPO][TRANSFORMER] = tiny_folder.safetensors(VALUES)
    made.slow_seconds = 0.003
    return made
