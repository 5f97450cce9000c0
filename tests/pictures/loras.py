"""The list of LoRAs with one that fits and one that was made for another model. bpy, on the window's helpers."""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import window

PACKAGE = "bl_ext.user_default.wan_vse"
OTHER_WIDTH = 5120


def story(work: Path, out: Path) -> Iterator[Callable[[], Any] | None]:
    """Two files are on the list, of which the second is refused."""
    _open_by_itself()
    scene_name = yield from window.open_film(work, "film")
    settings = bpy.data.scenes[scene_name].wan_vse
    settings.prompt, settings.model_id, settings.length_mode = (
        "a blue circle on sand, as a blueprint",
        "embedded",
        "GAP",
    )
    settings.task = "TEXT_TO_VIDEO"
    bpy.data.scenes[scene_name].frame_set(80)
    window.fill_window()
    module = importlib.import_module(PACKAGE)
    style = Path(module.__file__).parent / "wan_backend" / "embedded_model" / "loras" / "style.safetensors"
    with window.in_timeline():
        bpy.ops.wan_vse.add_loras(directory=f"{style.parent}/", files=[{"name": style.name}])
        _write_other(work / "film_grain_14b.safetensors")
        bpy.ops.wan_vse.add_loras(directory=f"{work}/", files=[{"name": "film_grain_14b.safetensors"}])
    settings.loras[0].strength = 0.8
    session = importlib.import_module(f"{PACKAGE}.blender_addon.jobs.session").current()
    yield (
        lambda: (
            session.server.status.state == "ready"
            and session.server.plan_query.plan
            and session.server.plan_query.plan.problem
        )
    )
    yield None
    window.shoot_sidebar(out / "sidebar_loras.png")


def _open_by_itself() -> None:
    """Show the fold open: a click on its header can't be made from here."""
    loras = importlib.import_module(f"{PACKAGE}.blender_addon.ui.lora_list")
    loras.CLOSED = False


def _write_other(file: Path) -> None:
    """A LoRA of one layer, for a model of another width."""
    rows, at = {}, 0
    for factor, shape in (("lora_A", [4, OTHER_WIDTH]), ("lora_B", [OTHER_WIDTH, 4])):
        size = 2 * shape[0] * shape[1]
        name = f"diffusion_model.blocks.0.self_attn.q.{factor}.weight"
        rows[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(rows).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head + bytes(at))
