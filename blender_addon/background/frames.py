"""The timeline's pictures in a range of frames, as Blender renders them in Standard view at full size. bpy only.

Asked: `scene`, `start`, `end_exclusive`, `strips` (names; none: all that is seen), `folder`, `files`.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import output
from .report import Report


def steps(asked: dict[str, Any]) -> int:
    """How many pictures are written for it."""
    return int(asked["end_exclusive"]) - int(asked["start"])


def render(asked: dict[str, Any], report: Report) -> None:
    """Render what is asked. Raises RuntimeError."""
    scene = bpy.data.scenes[asked["scene"]]
    show_only(scene, asked["strips"])
    scene.render.use_sequencer = True
    scene.render.resolution_percentage = 100
    output.set_view(scene, "Standard")
    output.set_file(scene, "PNG", "RGB", "8")
    numbers = range(asked["start"], asked["end_exclusive"])
    partial = output.partial_folder(asked)
    files = output.render_frames(scene, numbers, partial)
    output.settle(asked, partial, [files[number] for number in numbers])


def show_only(scene: bpy.types.Scene, names: list[str]) -> None:
    """Mute the strips that are not named; an adjustment strip shows what lies below it, so that stays."""
    if not names:
        return
    editor = scene.sequence_editor
    owner = editor.meta_stack[-1] if len(editor.meta_stack) else editor
    strips = owner.strips if hasattr(owner, "strips") else owner.sequences
    chosen = [strip for strip in strips if strip.name in names]
    adjusting = any(strip.type == "ADJUSTMENT" for strip in chosen)
    highest = max(strip.channel for strip in chosen)
    for strip in strips:
        if strip in chosen:
            strip.mute = False
            owner.channels[strip.channel].mute = False
        elif not adjusting or strip.channel >= highest:
            strip.mute = True
