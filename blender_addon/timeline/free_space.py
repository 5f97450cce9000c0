"""What is free on the timeline: channels for a take, and gaps between strips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bpy

from . import compat, strip_columns

HIGHEST_CHANNEL = 128
"""Blender has no channel above this one."""

ChannelSpan = tuple[int, int, int]
"""Channel, first frame, and the first frame after it."""


def first_free_channel(
    scene: bpy.types.Scene, start: int, end_exclusive: int, lowest: int = 1, also: Iterable[ChannelSpan] = ()
) -> int | None:
    """The lowest channel from `lowest` with nothing in [start, end_exclusive); None if all are taken.

    Channels that are locked or muted are skipped: nobody could touch or see the take there. `also` are spans that are
    about to be taken.
    """
    taken = taken_channels(compat.shown_strips(scene), start, end_exclusive)
    taken |= {channel for channel, first, end in also if first < end_exclusive and end > start}
    owner = compat.shown_owner(scene)
    for channel in range(lowest, HIGHEST_CHANNEL + 1):
        if channel not in taken and not _closed(owner, channel):
            return channel
    return None


def taken_channels(collection: compat.Collection, start: int, end_exclusive: int) -> set[int]:
    """The channels with a strip in [start, end_exclusive)."""
    strips = strip_columns.columns(collection)
    return {strips.channels[index] for index in strips.overlapping(start, end_exclusive)}


def channel_aside(collection: compat.Collection, start: int, end_exclusive: int) -> int:
    """A free channel to trim a strip on: on its own channel, Blender would bump it to another while it is too long."""
    taken = taken_channels(collection, start, end_exclusive)
    return next((channel for channel in range(HIGHEST_CHANNEL, 0, -1) if channel not in taken), HIGHEST_CHANNEL)


def _closed(owner: Any, channel: int) -> bool:
    channels = () if owner is None else owner.channels
    if channel >= len(channels):
        return False
    return bool(channels[channel].lock or channels[channel].mute)


@dataclass(frozen=True)
class Gap:
    """An empty stretch between two strips, or between the scene's edge and a strip."""

    start: int
    end_exclusive: int
    before_strip: bool = False
    """Whether a strip ends it; if not, the scene's range does."""

    @property
    def length_frames(self) -> int:
        """How many frames are empty."""
        return self.end_exclusive - self.start


def gap_at(scene: bpy.types.Scene, frame: int, strips: strip_columns.Columns | None = None) -> Gap | None:
    """The gap around `frame`; None if a strip covers it, or if nothing bounds it on either side.

    Strips that are muted or lie on a muted channel don't count, nor do sound, text and adjustment strips. If no
    strip bounds the gap on one side, the scene's frame range does. `strips` are the shown ones, if the caller has read
    them already.
    """
    strips = strips or strip_columns.columns(compat.shown_strips(scene))
    muted = muted_channels(scene)
    rows = zip(strips.starts, strips.ends_exclusive, strips.channels, strips.mutes, strips.overlays, strict=True)
    seen = [row[:2] for row in rows if not (row[3] or row[4] or row[2] in muted)]
    if any(first <= frame < end for first, end in seen):
        return None
    start = max((end for _, end in seen if end <= frame), default=scene.frame_start)
    next_start = min((first for first, _ in seen if first > frame), default=None)
    end = scene.frame_end + 1 if next_start is None else next_start
    if not start <= frame < end:
        return None
    return Gap(start, end, next_start is not None)


def gap_to_fit(scene: bpy.types.Scene, frame: int, strips: strip_columns.Columns | None = None) -> Gap | None:
    """The gap around `frame` that a take fits by itself: one before a strip. What follows the last strip is open."""
    gap = gap_at(scene, frame, strips)
    return gap if gap is not None and gap.before_strip else None


def muted_channels(scene: bpy.types.Scene) -> set[int]:
    """The channels of the timeline that is shown which the preview leaves out."""
    return closed_channels(compat.shown_owner(scene))


def closed_channels(owner: Any) -> set[int]:
    """The channels of a sequence editor or a meta strip that the preview leaves out."""
    return set() if owner is None else {number for number, channel in enumerate(owner.channels) if channel.mute}
