"""Values of Blender's data as digests take them, and the curves that move them: nothing here follows the playhead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bpy

from . import compat

_DIGITS = 5
"""Blender keeps numbers in 32 bits: further digits may differ from one reading to the next."""
IdKey = tuple[str, str]
"""A data-block's name, and the file that it is linked from: two of one name may come from two files."""
TRANSFORMS = (
    "location", "rotation_euler", "rotation_quaternion", "rotation_axis_angle", "rotation_mode", "scale",
    "delta_location", "delta_rotation_euler", "delta_scale",
)  # fmt: skip


def plain(value: Any) -> object:
    """A value of Blender's as a digest takes it."""
    if isinstance(value, float):
        return 0.0 if abs(value) < 10**-_DIGITS else float(f"{value:.{_DIGITS}g}")
    if isinstance(value, str | bool | int) or value is None:
        return value
    try:
        return [plain(each) for each in value]
    except TypeError:
        return str(compat.part(value, "name") or "")


def id_key(thing: bpy.types.ID) -> IdKey:
    """What the data-block is found again by."""
    return thing.name, thing.library.filepath if thing.library is not None else ""


def found_again(collection: Any, key: IdKey) -> Any:
    """The data-block of that key in a collection of bpy.data; None if it is gone."""
    return collection.get((key[0], key[1] or None))


def told(owner: Any, names: Sequence[str], without: set[str]) -> list[object]:
    """Name and value of those that the owner has, but for those in `without`."""
    there = ((name, compat.part(owner, name)) for name in names if name not in without)
    return [[name, plain(value)] for name, value in there if value is not None]


def moving(owner: Any) -> set[str]:
    """The properties whose values follow the playhead."""
    data = compat.part(owner, "animation_data")
    if data is None:
        return set()
    paths = [curve.data_path for curve in (*compat.curves_of(data), *data.drivers)]
    tracks = [strip.action for track in data.nla_tracks for strip in track.strips if strip.action is not None]
    return {*paths, *(TRANSFORMS if tracks else ())}


def curves(owner: Any, frames: Sequence[int]) -> list[object]:
    """What moves the owner, in those frames: curves, drivers and tracks."""
    data = compat.part(owner, "animation_data")
    if data is None:
        return []
    values: list[object] = [
        [curve.data_path, curve.array_index, [plain(curve.evaluate(frame)) for frame in frames]]
        for curve in compat.curves_of(data)
    ]
    values += [[each.data_path, each.array_index, each.driver.expression] for each in data.drivers]
    for track in data.nla_tracks:
        places = [
            [strip.name, plain(strip.frame_start), plain(strip.frame_end), plain(strip.scale)] for strip in track.strips
        ]
        values.append([track.mute, places])
    return values
