"""What a render may do beside making pictures, kept from happening: a file may be a stranger's. bpy only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from .report import Refused


def keep_from_writing() -> None:
    """Let no node write files of its own: File Output nodes would, wherever their paths say, at each frame."""
    for tree in _trees():
        for node in tree.nodes:
            if node.type == "OUTPUT_FILE":
                node.mute = True


def check_scripts(were_refused: bool) -> None:
    """Raise Refused where a script of the file wanted to run and may not, though nothing was refused in the window.

    `were_refused`: there it was, too, so that the pictures are those that are seen there.
    """
    if bpy.app.autoexec_fail and not were_refused:
        raise Refused(
            f"What is asked is shown by scripts of the file ({bpy.app.autoexec_fail_message[:100]}), which may not run "
            "in the background: if you trust it, check Preferences > Save & Load > Auto Run Python Scripts, and open "
            "it again; or render these strips yourself, and put that in their place."
        )


def _trees() -> Iterator[Any]:
    yield from bpy.data.node_groups
    for scene in bpy.data.scenes:
        tree = getattr(scene, "node_tree", None) if bpy.app.version < (5, 0, 0) else None
        if tree is not None:
            yield tree
