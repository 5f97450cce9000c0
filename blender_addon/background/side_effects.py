"""What a render may do beside making pictures, kept from happening: a file may be a stranger's. bpy only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .report import Refused

_NOT_TRUSTED = (
    "What is asked is shown by scripts of the file ({}), which may not run in the background: if you trust it, check "
    "Preferences > Save & Load > Auto Run Python Scripts, and open it again; or render these strips yourself, and put "
    "that in their place."
)


def keep_from_writing() -> None:
    """Let no node write files of its own: File Output nodes would, wherever their paths say, at each frame."""
    for tree in _trees():
        for node in tree.nodes:
            if node.type == "OUTPUT_FILE":
                node.mute = True


def keep_scripts_out(trusted: bool) -> None:
    """Let no render run scripts of a file that isn't trusted: Freestyle of 4.2 runs its style modules all the same.

    Raises Refused where one is in use, as the pictures would be other ones without.
    """
    if trusted:
        return
    in_use = False
    for scene in bpy.data.scenes:
        for layer in scene.view_layers:
            settings = getattr(layer, "freestyle_settings", None)
            scripted = [module for module in settings.modules if module.script] if settings is not None else []
            drawn = scene.render.use_freestyle and layer.use_freestyle and settings.mode == "SCRIPT"
            in_use = in_use or (drawn and any(module.use for module in scripted))
            for module in scripted:
                module.script = None
    if in_use:
        raise Refused(_NOT_TRUSTED.format("a Freestyle style module"))


def check_scripts(were_refused: bool) -> None:
    """Raise Refused where a script of the file wanted to run and may not, though nothing was refused in the window.

    `were_refused`: there it was, too, so that the pictures are those that are seen there.
    """
    if bpy.app.autoexec_fail and not were_refused:
        raise Refused(_NOT_TRUSTED.format(bpy.app.autoexec_fail_message[:100]))


def _trees() -> Iterator[Any]:
    yield from bpy.data.node_groups
    for scene in bpy.data.scenes:
        tree = getattr(scene, "node_tree", None) if bpy.app.version < (5, 0, 0) else None
        if tree is not None:
            yield tree
