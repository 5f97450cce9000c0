"""Which channel is free."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy

from . import compat

HIGHEST = 128
"""Blender has no channel above it."""


Place = tuple[int, int, int]
"""Channel, start and end_exclusive."""


def first_free(
    scene: bpy.types.Scene, start: int, end_exclusive: int, lowest: int = 1, also: Iterable[Place] = ()
) -> int | None:
    """The lowest channel from `lowest` where nothing lies in [start, end_exclusive); None where all are taken.

    Channels that are locked or muted are passed over: a take is not to land where nobody may touch or see it.
    `also` are places that are about to be taken.
    """
    taken = taken_channels(compat.shown_strips(scene), start, end_exclusive)
    taken |= {channel for channel, first, end in also if first < end_exclusive and end > start}
    owner = compat.shown_owner(scene)
    for channel in range(lowest, HIGHEST + 1):
        if channel not in taken and not _closed(owner, channel):
            return channel
    return None


def taken_channels(collection: compat.Collection, start: int, end_exclusive: int) -> set[int]:
    """The channels where something lies in [start, end_exclusive)."""
    strips = compat.columns(collection)
    return {strips.channels[index] for index in strips.overlapping(start, end_exclusive)}


def _closed(owner: Any, channel: int) -> bool:
    channels = () if owner is None else owner.channels
    if channel >= len(channels):
        return False
    return channels[channel].lock or channels[channel].mute
