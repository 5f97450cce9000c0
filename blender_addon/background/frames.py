"""Renders the timeline's pictures in a range of frames, with the Standard view at full size.

The order's entry has: `scene`; `start`; `end_exclusive`; `strips` (names; empty for all that the preview shows);
`alone` (without the strips below them); `plays` (folders and names of the files that are shown); `folder`; `files`.
"""

from __future__ import annotations

import os
from typing import Any

import bpy
import imbuf

from . import compat, output
from .report import CannotRender, Report

ROLE = "wan_vse_role"
"""A copy of identity.ROLE: this process doesn't import the add-on."""
NAMES_SHOWN = 3


def steps(entry: dict[str, Any]) -> int:
    """How many pictures are written for the order's entry."""
    return int(entry["end_exclusive"]) - int(entry["start"])


def render(entry: dict[str, Any], report: Report) -> None:
    """Render the order's entry. Raises RuntimeError."""
    scene = bpy.data.scenes[entry["scene"]]
    for folder, names in entry["plays"]:
        _check_there(folder, names)
    _check_read(scene, entry["plays"])
    mutes = show_only(scene, entry["strips"], entry["alone"])
    scene.render.use_sequencer = True
    scene.render.resolution_percentage = 100
    output.set_view(scene, "Standard")
    output.set_file(scene, "PNG", "RGB", "8")
    numbers = range(entry["start"], entry["end_exclusive"])
    partial = output.partial_folder(entry)
    files = output.render_frames(scene, numbers, partial)
    output.move_into_place(entry, partial, [files[number] for number in numbers])
    for muted, was in mutes:
        muted.mute = was


def show_only(scene: bpy.types.Scene, names: list[str], alone: bool = False) -> list[tuple[Any, bool]]:
    """Mute all strips but the named ones and, unless `alone`, those below them; without names, mute none.

    Returns all whose mute changed, with its former value: strips, channels, and curves that would unmute a strip.
    Placeholders are always muted: they have nothing to show yet.
    """
    editor = scene.sequence_editor
    owner = editor.meta_stack[-1] if len(editor.meta_stack) else editor
    strips = compat.strips(owner)
    chosen = [strip for strip in strips if strip.name in names]
    highest = max((strip.channel for strip in chosen), default=0)
    wanted = [(strip, False) for strip in chosen] + [(owner.channels[strip.channel], False) for strip in chosen]
    seen = [s for s in strips if not names or s in chosen or (s.channel < highest and not alone)]
    seen = [s for s in seen if s.get(ROLE) != "placeholder"]
    hidden = [s for s in strips if s not in seen]
    wanted += [(s, True) for s in hidden] + [(curve, True) for curve in _mute_curves(scene, hidden)]
    changed = [(muted, muted.mute) for muted, mute in wanted if muted.mute != mute]
    for muted, was in changed:
        muted.mute = not was
    return changed


def _mute_curves(scene: bpy.types.Scene, strips: list[Any]) -> list[Any]:
    """The curves and drivers that animate the mute of those strips."""
    animation = scene.animation_data
    if animation is None:
        return []
    ends = tuple(f'["{bpy.utils.escape_identifier(strip.name)}"].mute' for strip in strips)
    return [curve for curve in (*compat.curves(animation), *animation.drivers) if curve.data_path.endswith(ends)]


def _check_there(folder: str, names: list[str]) -> None:
    """Refuse missing files: Blender shows a missing picture in violet, or crashes."""
    lost = [name for name in names if not _is_file(os.path.join(folder, name))]
    if lost:
        more = len(lost) - NAMES_SHOWN
        first = ", ".join(lost[:NAMES_SHOWN])
        if more > 0:
            raise CannotRender(
                "{} and {} more can't be found in {}: put them back there, or find them with File > External Data > "
                "Find Missing Files.",
                *(first, more, folder),
            )
        raise CannotRender(
            "{} can't be found in {}: put it back there, or find it with File > External Data > Find Missing Files.",
            *(first, folder),
        )


def _check_read(scene: Any, plays: list[tuple[str, list[str]]]) -> None:
    """Refuse unreadable pictures, which Blender shows black or not at all."""
    pictures = _pictures_of(scene)
    for folder, names in plays:
        for name in names:
            path = os.path.join(folder, name)
            if os.path.normcase(path) in pictures and not _can_be_read(path):
                raise CannotRender(
                    "{} in {} can't be read by Blender, or is damaged: open it in another program, save it as PNG or "
                    "JPEG, and use that in its place.",
                    *(name, folder),
                )


def _pictures_of(scene: Any) -> set[str]:
    """The files of all image strips of the scene."""
    found = set()
    for strip in compat.all_strips(scene.sequence_editor):
        if strip.type == "IMAGE":
            folder = os.path.abspath(bpy.path.abspath(strip.directory or "//", library=scene.library))
            found |= {os.path.normcase(os.path.join(folder, element.filename)) for element in strip.elements}
    return found


def _can_be_read(path: str) -> bool:
    if not compat.SHOWS_ANIMATED_WEBP and _is_animated_webp(path):
        return False
    try:
        imbuf.load(path).free()
    except (OSError, RuntimeError, ValueError):
        return False
    return True


def _is_animated_webp(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(21)
    except OSError:
        return False
    return start[8:16] == b"WEBPVP8X" and len(start) > 20 and bool(start[20] & 2)


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path) and os.path.getsize(path) > 0
    except (OSError, ValueError):
        return False
