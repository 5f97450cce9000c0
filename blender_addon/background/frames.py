"""The timeline's pictures in a range of frames, as Blender renders them in Standard view at full size. bpy only.

Asked: `scene`, `start`, `end_exclusive`, `strips` (names; none: all that is seen), `folder`, `files`.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import output
from .report import Report

ROLE = "wan_vse_role"
"""As in timeline/identity.py, which can't be imported here."""


def steps(asked: dict[str, Any]) -> int:
    """How many pictures are written for it."""
    return int(asked["end_exclusive"]) - int(asked["start"])


def render(asked: dict[str, Any], report: Report) -> None:
    """Render what is asked. Raises RuntimeError."""
    scene = bpy.data.scenes[asked["scene"]]
    mutes = show_only(scene, asked["strips"])
    scene.render.use_sequencer = True
    scene.render.resolution_percentage = 100
    output.set_view(scene, "Standard")
    output.set_file(scene, "PNG", "RGB", "8")
    numbers = range(asked["start"], asked["end_exclusive"])
    partial = output.partial_folder(asked)
    files = output.render_frames(scene, numbers, partial)
    output.settle(asked, partial, [files[number] for number in numbers])
    for muted, was in mutes:
        muted.mute = was


def show_only(scene: bpy.types.Scene, names: list[str]) -> list[tuple[Any, bool]]:
    """Mute the strips that are not named, unmute the others; gives all whose mute changed, with what it was.

    An adjustment strip shows what lies below it, so that stays. Placeholders have nothing to show yet.
    """
    editor = scene.sequence_editor
    owner = editor.meta_stack[-1] if len(editor.meta_stack) else editor
    strips = owner.strips if hasattr(owner, "strips") else owner.sequences
    chosen = [strip for strip in strips if strip.name in names]
    adjusting = any(strip.type == "ADJUSTMENT" for strip in chosen)
    highest = max((strip.channel for strip in chosen), default=0)
    wanted = [(strip, False) for strip in chosen] + [(owner.channels[strip.channel], False) for strip in chosen]
    seen = [s for s in strips if not names or s in chosen or (adjusting and s.channel < highest)]
    seen = [s for s in seen if s.get(ROLE) != "placeholder"]
    wanted += [(s, True) for s in strips if s not in seen]
    changed = [(muted, muted.mute) for muted, mute in wanted if muted.mute != mute]
    for muted, was in changed:
        muted.mute = not was
    return changed
