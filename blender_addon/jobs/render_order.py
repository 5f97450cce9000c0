"""What a Blender in the background is told to render, and how it is started. See blender_addon/background/run.py."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import bpy

from ...wan_backend.protocol.messages import Source
from ...wan_backend.storage import private_files
from ..backend.command import BackendCommand
from ..timeline import compat, footage, strip_media
from ..timeline.footage import FootageRange
from . import trust

OUR_ENGINES = frozenset({"BLENDER_EEVEE", "BLENDER_EEVEE_NEXT", "BLENDER_WORKBENCH", "CYCLES"})
"""Those that Blender brings along; for any other the artist's add-ons have to be there too."""
SCRUBBED = ("PYTHONHOME", "PYTHONPATH")
BACKGROUND = Path(__file__).resolve().parents[1]
"""The folder that holds the package `background`."""


def write(folder: Path, scene: bpy.types.Scene, wanted: list[tuple[FootageRange, Source]], job_id: str) -> Path:
    """Save the copy of the open file and the order into `folder`; gives the order's file.

    Raises OSError, RuntimeError and footage.Unusable. Nothing of the open file changes; Blender remaps relative paths
    in the copy.
    """
    copy, order = folder / "copy.blend", folder / "order.json"
    last = sorted(wanted, key=lambda one: one[0].depth)  # depth leaves its scene in the copy as no other needs it
    pictures = [{**_picture(scene, what, source), "job": job_id} for what, source in last]
    told = {
        "blend": str(copy),
        "report": str(folder / "report.json"),
        "cycles_device": _cycles_device(),
        "trusted": trust.may_run_scripts(),
        "scripts_refused": bpy.app.autoexec_fail,
        "pictures": pictures,
    }
    bpy.ops.wm.save_as_mainfile(filepath=str(copy), copy=True, check_existing=False, compress=False)
    private_files.make_private(copy)
    private_files.write_text(order, json.dumps(told))
    return order


def command(order: Path) -> BackendCommand:
    """What to start; where Blender is a Python module, Python with that module."""
    script = f"import sys; sys.path.insert(0, {str(BACKGROUND)!r}); from background import run; run.main()"
    environment = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
    if not bpy.app.binary_path:
        return BackendCommand([sys.executable, "-c", f"import bpy; {script}", "--", str(order)], environment)
    trusted = json.loads(order.read_text("utf-8"))["trusted"]  # another file may be open by now
    arguments = [bpy.app.binary_path, "--background", "-noaudio"]
    if all(scene.render.engine in OUR_ENGINES for scene in bpy.data.scenes):
        arguments.append("--factory-startup")
    arguments += ["--enable-autoexec" if trusted is True else "--disable-autoexec", str(order.with_name("copy.blend"))]
    arguments += ["--python-exit-code", "7", "--python-expr", script, "--", str(order)]
    return BackendCommand(arguments, environment)


def _picture(scene: bpy.types.Scene, wanted: FootageRange, source: Source) -> dict[str, Any]:
    place = {"folder": source.folder, "files": source.files}
    if not wanted.depth:
        span = {"start": wanted.start, "end_exclusive": wanted.end_exclusive}
        seen = footage.seen_with(scene, wanted)
        shown = {"strips": list(wanted.strip_names), "alone": seen.alone, "plays": seen.files}
        return {"kind": "frames", "scene": scene.name, **shown, **span, **place}
    strips: Any = compat.shown_strips(scene)
    strip = strips[wanted.strip_names[0]]
    frames = strip_media.frames_of_scene(strip, wanted.frames)
    shots = itertools.groupby(frames, lambda frame: strip_media.camera_of(strip, frame))
    layer = getattr(strip, "view_layer", None)
    return {
        "kind": "depth",
        "scene": strip.scene.name,
        "camera": strip.scene_camera.name if strip.scene_camera else "",
        "layer": layer if isinstance(layer, str) else getattr(layer, "name", ""),
        "shots": [list(shot) for _, shot in shots],
        **place,
    }


def _cycles_device() -> str:
    cycles: Any = bpy.context.preferences.addons.get("cycles")
    kind = "NONE" if cycles is None else cycles.preferences.compute_device_type
    return "" if kind == "NONE" else kind
