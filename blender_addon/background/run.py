"""Reads the order that follows `--` on the command line, renders what it lists, and reports progress.

The order is a JSON object: `blend`, the copy of the file; `report`, the file to report in; `cycles_device`, the kind of
device that the person's Cycles uses ("" for the CPU); `trusted`, whether scripts of the file may run;
`scripts_refused`, whether one was kept from running in the window; and `pictures`, the entries to render, see `frames`,
`depth` and `camera`. The file may be a stranger's, so whatever rendering could do besides making pictures is prevented.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from typing import Any

import bpy

from . import camera, compat, depth, frames
from .report import CannotRender, Report

KINDS = {"frames": frames, "depth": depth, "camera": camera}
_NOT_TRUSTED = (
    "The strips are shown by scripts of the file ({}), which may not run in the background: if you trust the file, "
    "check Preferences > Save & Load > Auto Run Python Scripts, and open the file again; or render these strips "
    "yourself, and use the result in their place."
)


def main() -> None:
    """Render the order; exits with a code other than 0 if that fails."""
    with open(sys.argv[sys.argv.index("--") + 1], encoding="utf-8") as file:
        order = json.load(file)
    if hasattr(os, "nice"):
        os.nice(5)  # the person's window goes first
    report = Report(order["report"], sum(KINDS[entry["kind"]].steps(entry) for entry in order["pictures"]))
    try:
        if not _is_same_file(bpy.data.filepath, order["blend"]):
            bpy.ops.wm.open_mainfile(filepath=order["blend"], load_ui=False, use_scripts=order["trusted"])
        keep_from_writing()
        keep_scripts_out(order["trusted"])
        _use_device(order["cycles_device"])
        bpy.app.handlers.render_write.append(report.step)
        for entry in order["pictures"]:
            KINDS[entry["kind"]].render(entry, report)
        check_scripts(order["scripts_refused"])  # at the end: some scripts run only when a frame is shown
    except CannotRender as refused:
        report.refuse(refused)
        sys.exit(1)
    except (RuntimeError, OSError, LookupError) as error:
        logging.exception("The order could not be done")
        report.fail(str(error).strip().removeprefix("Error: "))
        sys.exit(1)


def _use_device(kind: str) -> None:
    """Set the kind of device: the person's preferences are not loaded here, so that no other add-on runs."""
    cycles: Any = bpy.context.preferences.addons.get("cycles")
    if not kind or cycles is None:
        return
    with contextlib.suppress(TypeError):  # another machine's, or a Blender without that kind
        cycles.preferences.compute_device_type = kind
        cycles.preferences.refresh_devices()


def _is_same_file(one: str, other: str) -> bool:
    return bool(one) and os.path.normcase(os.path.abspath(one)) == os.path.normcase(os.path.abspath(other))


def keep_from_writing() -> None:
    """Mute File Output nodes, which would write files wherever their paths say, at each frame."""
    for tree in (*bpy.data.node_groups, *compat.compositor_trees()):
        for node in tree.nodes:
            if node.type == "OUTPUT_FILE":
                node.mute = True


def keep_scripts_out(trusted: bool) -> None:
    """Remove the style modules of a file that isn't trusted: Freestyle of 4.2 runs them even when scripts may not run.

    Raises CannotRender if one is in use, since the pictures would differ without it.
    """
    if trusted:
        return
    in_use = False
    for scene in bpy.data.scenes:
        for layer in scene.view_layers:
            settings = layer.freestyle_settings
            scripted = [module for module in settings.modules if module.script]
            drawn = scene.render.use_freestyle and layer.use_freestyle and settings.mode == "SCRIPT"
            in_use = in_use or (drawn and any(module.use for module in scripted))
            for module in scripted:
                module.script = None
    if in_use:
        raise CannotRender(_NOT_TRUSTED, "a Freestyle style module")


def check_scripts(were_refused: bool) -> None:
    """Raise CannotRender if a script of the file was kept from running here, but not in the window.

    With `were_refused`, one was kept from running there as well, and the pictures are those that the person sees.
    """
    if bpy.app.autoexec_fail and not were_refused:
        raise CannotRender(_NOT_TRUSTED, bpy.app.autoexec_fail_message[:100])
