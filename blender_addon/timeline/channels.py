"""Which channel is free."""

from __future__ import annotations

import bpy

from . import compat

HIGHEST = 128
"""Blender has no channel above it."""


def first_free(scene: bpy.types.Scene, start: int, end_exclusive: int, lowest: int = 1) -> int | None:
    """The lowest channel from `lowest` where nothing lies in [start, end_exclusive); None where all are taken.

    Channels that are locked or muted are passed over: a take is not to land where nobody may touch or see it.
    """
    taken = {
        strip.channel
        for strip in compat.shown_strips(scene)
        if compat.start(strip) < end_exclusive and compat.end_exclusive(strip) > start
    }
    owner = compat.shown_owner(scene)
    for channel in range(lowest, HIGHEST + 1):
        if channel not in taken and not _closed(owner, channel):
            return channel
    return None


def _closed(owner: object, channel: int) -> bool:
    channels = () if owner is None else owner.channels
    if channel >= len(channels):
        return False
    return channels[channel].lock or channels[channel].mute
