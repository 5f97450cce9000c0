"""What animates strips: curves and drivers name the strip that they change, and tracks may change any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

from . import compat
from .compat import Strip


def is_animated(scene: bpy.types.Scene, strip: Strip, of: str = "") -> bool:
    """True if curves, drivers or tracks may change anything of the strip over time; or only its property `of`."""
    animation = scene.animation_data
    if animation is None:
        return False
    path = f'["{bpy.utils.escape_identifier(strip.name)}"]' + (f".{of}" if of else "")
    paths = [curve.data_path for curve in (*compat.curves(scene), *animation.drivers)]
    return len(animation.nla_tracks) > 0 or any(p.startswith("sequence_editor.") and path in p for p in paths)


def keyed_mutes(scene: bpy.types.Scene) -> list[str]:
    """The data paths of the mutes of strips and channels that are animated."""
    animation = scene.animation_data
    if animation is None:
        return []
    drivers = [curve for curve in animation.drivers if curve.data_path.endswith("].mute")]
    curves = [curve for curve in compat.curves(scene) if curve.data_path.endswith("].mute")]
    return [curve.data_path for curve in (*curves, *drivers) if curve.data_path.startswith("sequence_editor.")]


def give_curves(scene: bpy.types.Scene, old: Strip, new: Strip) -> None:
    """Let the curves that change `old` change `new` instead."""
    old_path, new_path = (f'["{bpy.utils.escape_identifier(strip.name)}"]' for strip in (old, new))
    for curve in compat.curves(scene):
        if curve.data_path.startswith("sequence_editor.") and old_path in curve.data_path:
            curve.data_path = curve.data_path.replace(old_path, new_path, 1)


@contextmanager
def unmoved(scene: bpy.types.Scene, strip: Strip) -> Iterator[None]:
    """Meanwhile the curves that change the strip are those of none: Blender moves them along with a strip's media."""
    path = f'["{bpy.utils.escape_identifier(strip.name)}"]'
    its = [curve for curve in compat.curves(scene) if path in curve.data_path]
    its = [curve for curve in its if curve.data_path.startswith("sequence_editor.")]
    paths = [curve.data_path for curve in its]
    for curve in its:
        curve.data_path = _NOBODYS  # the path of a strip is found anywhere in it
    try:
        yield
    finally:
        for curve, kept in zip(its, paths, strict=True):
            curve.data_path = kept


_NOBODYS = "wan_vse_unmoved"
