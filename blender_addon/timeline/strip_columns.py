"""Reads many strips at once: as columns of numbers, the selected ones, those of some types, and all of a scene.

Two thousand strips are asked for at every redraw, so each property of all is read in one call (foreach_get). Frames are
those of the scene, and ends are exclusive. A collection may be an empty tuple, as of a scene without strips.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import bpy

from . import compat
from .compat import Collection, Strip

_SLICE_PER_STRIP = 50
"""Strips are fetched from one slice, unless it would hold this many times more than wanted: each strip in it is made
an object, while for a single index Blender walks from the first strip, but in C."""


@dataclass(frozen=True)
class Columns:
    """Strips as columns of numbers, in the order of their collection: two thousand take well under a millisecond.

    The arrays are the standard library's: a Blender that was built by a distribution may come without NumPy.
    """

    starts: array[int]
    ends_exclusive: array[int]
    channels: array[int]
    mutes: list[bool]
    kinds: array[int]
    """Blender's own numbers of the strips' types."""

    @cached_property
    def overlays(self) -> list[bool]:
        """True for sound, text and adjustment strips, which accompany footage but are none."""
        overlays = _numbers_of_kinds("SOUND", "TEXT", "ADJUSTMENT")
        return [kind in overlays for kind in self.kinds]

    def overlapping(self, start: int, end_exclusive: int) -> list[int]:
        """The indices of the strips that cover any frame of [start, end_exclusive)."""
        edges = enumerate(zip(self.starts, self.ends_exclusive, strict=True))
        return [index for index, (first, end) in edges if first < end_exclusive and end > start]


def columns(collection: Collection) -> Columns:
    """Start, end, channel, mute and type of every strip in the collection; each is read in one call (foreach_get)."""
    count = len(collection)  # asked once: Blender counts them
    mutes = [False] * count
    if count:
        collection.foreach_get("mute", mutes)
    starts, ends, channels, kinds = (_column(collection, count, name) for name in (*compat.HANDLES, "channel", "type"))
    return Columns(starts, ends, channels, mutes, kinds)


def places(collection: Collection) -> tuple[array[int], array[int], array[int], array[int]]:
    """Start, exclusive end, channel and type of every strip: what `columns` has, as far as it tells where they are."""
    count = len(collection)
    starts, ends, channels, kinds = (_column(collection, count, name) for name in (*compat.HANDLES, "channel", "type"))
    return starts, ends, channels, kinds


def contents(collection: Collection) -> tuple[array[int], array[int], array[int]]:
    """Where the media of every strip begins, and how many frames are held before and after (`compat.held_frames`).

    A single picture isn't held: it lasts as long as its strip.
    """
    count = len(collection)
    begins, *offsets = (_rounded(collection, count, name) for name in (compat.CONTENT_START, *compat.OFFSETS))
    lengths = _column(collection, count, compat.CONTENT_FRAMES)
    before, after = (
        array("i", [max(0, -frames) if length > 1 else 0 for frames, length in zip(column, lengths, strict=True)])
        for column in offsets
    )
    return begins, before, after


def _rounded(collection: Collection, count: int, name: str) -> array[int]:
    values = array("f", bytes(array("f").itemsize * count))
    if count:
        collection.foreach_get(name, values)
    return array("i", map(round, values))


def _column(collection: Collection, count: int, name: str) -> array[int]:
    values = array("i", bytes(array("i").itemsize * count))
    if count:
        collection.foreach_get(name, values)
    return values


def _numbers_of_kinds(*names: str) -> set[int]:
    """Blender's own numbers of those types, which `foreach_get` gives."""
    kind: Any = compat.STRIP_TYPE.bl_rna.properties["type"]
    return {kind.enum_items[name].value for name in names}


def of_kinds(collection: Collection, *names: str) -> list[Strip]:
    """The strips of those types ("IMAGE"). No other strip is made an object."""
    wanted = _numbers_of_kinds(*names)
    kinds = _column(collection, len(collection), "type")
    return fetch(collection, [index for index, kind in enumerate(kinds) if kind in wanted])


def selected(collection: Collection) -> list[int]:
    """The indices of the selected strips."""
    flags = [False] * len(collection)
    if flags:
        collection.foreach_get("select", flags)
    return list(itertools.compress(range(len(flags)), flags))


def selected_strips(scene: bpy.types.Scene, limit: int | None = None) -> list[Strip]:
    """The selected strips of the timeline that is shown, or the first `limit` of them."""
    collection = compat.shown_strips(scene)
    return fetch(collection, selected(collection)[:limit])


def fetch(collection: Collection, indices: list[int]) -> list[Strip]:
    """The strips at those indices, which rise."""
    if not indices:
        return []
    first, end = indices[0], indices[-1] + 1
    if end - first > _SLICE_PER_STRIP * len(indices):
        return [collection[index] for index in indices]
    strips = collection[first:end]
    return [strips[index - first] for index in indices]


def walk(scene: bpy.types.Scene) -> Iterator[tuple[Strip, Collection]]:
    """Every strip of the scene, also inside meta strips, with the collection that it is in."""
    for collection in collections(scene):
        for strip in collection:
            yield strip, collection


def carrying(collection: Collection, key: str) -> list[Strip]:
    """The strips with a custom property of that name: of thousands, mostly none or a few have one."""
    return [strip for strip in collection if key in strip]


def collections(scene: bpy.types.Scene) -> Iterator[Collection]:
    """The scene's own timeline, and the inside of each of its meta strips."""
    waiting = [compat.top_strips(scene)]
    while waiting:
        collection = waiting.pop()
        if len(collection):
            yield collection
            waiting += [compat.strips(meta) for meta in of_kinds(collection, "META")]
