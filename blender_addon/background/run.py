"""Reads the order that follows `--` on the command line, does it, and says how far it is.

The order is a JSON object: `blend`, the copy; `report`, the file to report in; `cycles_device`, the kind of device
that the artist's Cycles uses ("" for the processor); `trusted`, whether scripts of the file may run, and
`scripts_refused`, whether one was kept from running in the window; `pictures`, a list of what to render, see `frames`
and `depth`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from typing import Any

import bpy

from . import depth, frames, side_effects
from .report import Refused, Report

KINDS = {"frames": frames, "depth": depth}


def main() -> None:
    """Do the order; leaves with another exit code than 0 where that fails."""
    with open(sys.argv[sys.argv.index("--") + 1], encoding="utf-8") as file:
        order = json.load(file)
    if hasattr(os, "nice"):
        os.nice(5)  # the artist's window goes first
    report = Report(order["report"], sum(KINDS[asked["kind"]].steps(asked) for asked in order["pictures"]))
    try:
        if not _is_same_file(bpy.data.filepath, order["blend"]):
            bpy.ops.wm.open_mainfile(filepath=order["blend"], load_ui=False, use_scripts=order["trusted"])
        side_effects.keep_from_writing()
        side_effects.keep_scripts_out(order["trusted"])
        _use_device(order["cycles_device"])
        bpy.app.handlers.render_write.append(report.step)
        for asked in order["pictures"]:
            KINDS[asked["kind"]].render(asked, report)
        side_effects.check_scripts(order["scripts_refused"])
    except Refused as refused:
        report.refuse(str(refused))
        sys.exit(1)
    except (RuntimeError, OSError, LookupError) as error:
        logging.exception("The order could not be done")
        report.fail(str(error).strip().removeprefix("Error: "))
        sys.exit(1)


def _use_device(kind: str) -> None:
    """The artist's own settings are not loaded here, so that no other add-on runs; this one is taken over."""
    cycles: Any = bpy.context.preferences.addons.get("cycles")
    if not kind or cycles is None:
        return
    with contextlib.suppress(TypeError):  # another machine's, or a Blender without that kind
        cycles.preferences.compute_device_type = kind
        cycles.preferences.refresh_devices()


def _is_same_file(one: str, other: str) -> bool:
    return bool(one) and os.path.normcase(os.path.abspath(one)) == os.path.normcase(os.path.abspath(other))
