"""Reads many strips at once: as columns of numbers, the selected ones, those of some types, and all of a scene.

Two thousand strips are asked for at every redraw, so each property of all is read in one call (foreach_get). Frames are
those of the scene, and ends are exclusive. A collection may be an empty tuple, as of a scene without strips.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import bpy

from . import compat
from .compat import Collection, Strip

_FEW = 60
"""Up to this many strips are fetched by index, for which Blender walks from the first strip; more, in one walk."""


@dataclass(frozen=True)
class Columns:
    """Strips as columns of numbers, in the order of their collection: two thousand take well under a millisecond.

    The arrays are the standard library's: a Blender that was built by a distribution may come without NumPy.
    """

    starts: array[int]
    ends_exclusive: array[int]
    channels: array[int]
    mutes: list[bool]
    overlays: list[bool]
    """True for sound, text and adjustment strips, which accompany footage but are none."""
    kinds: array[int]
    """Blender's own numbers of the strips' types."""

    def overlapping(self, start: int, end_exclusive: int) -> list[int]:
        """The indices of the strips that cover any frame of [start, end_exclusive)."""
        edges = enumerate(zip(self.starts, self.ends_exclusive, strict=True))
        return [index for index, (first, end) in edges if first < end_exclusive and end > start]


def columns(collection: Collection) -> Columns:
    """Start, end, channel, mute and type of every strip in the collection; each is read in one call (foreach_get)."""
    mutes = [False] * len(collection)
    if mutes:
        collection.foreach_get("mute", mutes)
    left, right = compat.HANDLES
    overlays = _numbers_of_kinds("SOUND", "TEXT", "ADJUSTMENT")
    types = _column(collection, "type")
    starts, ends, channels = (_column(collection, name) for name in (left, right, "channel"))
    return Columns(starts, ends, channels, mutes, [kind in overlays for kind in types], types)


def _column(collection: Collection, name: str) -> array[int]:
    values = array("i", bytes(array("i").itemsize * len(collection)))
    if len(collection):
        collection.foreach_get(name, values)
    return values


def _numbers_of_kinds(*names: str) -> set[int]:
    """Blender's own numbers of those types, which `foreach_get` gives."""
    kind: Any = compat.STRIP_TYPE.bl_rna.properties["type"]
    return {kind.enum_items[name].value for name in names}


def of_kinds(collection: Collection, *names: str) -> Iterator[Strip]:
    """The strips of those types ("IMAGE"), in one quick walk."""
    wanted = _numbers_of_kinds(*names)
    return itertools.compress(collection, [kind in wanted for kind in _column(collection, "type")])


def selected(collection: Collection) -> list[int]:
    """The indices of the selected strips."""
    flags = [False] * len(collection)
    if flags:
        collection.foreach_get("select", flags)
    return [index for index, flag in enumerate(flags) if flag]


def selected_strips(scene: bpy.types.Scene, limit: int | None = None) -> list[Strip]:
    """The selected strips of the timeline that is shown, or the first `limit` of them."""
    collection = compat.shown_strips(scene)
    indices = selected(collection)[:limit]
    if len(indices) <= _FEW:
        return [collection[index] for index in indices]
    flags = [False] * len(collection)
    for index in indices:
        flags[index] = True
    return list(itertools.compress(collection, flags))


def walk(scene: bpy.types.Scene) -> Iterator[tuple[Strip, Collection]]:
    """Every strip of the scene, also inside meta strips, with the collection that it is in."""
    editor = scene.sequence_editor
    waiting = [] if editor is None else [compat.strips(editor)]
    while waiting:
        collection = waiting.pop()
        for strip in collection:
            yield strip, collection
            if strip.type == "META":
                waiting.append(compat.strips(strip))
