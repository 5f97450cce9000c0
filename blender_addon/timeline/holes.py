"""Which stretch of the timeline is empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy

from . import compat


@dataclass(frozen=True)
class Hole:
    """An empty stretch between two strips, or between the scene's edge and a strip."""

    start: int
    end_exclusive: int

    @property
    def length_frames(self) -> int:
        """How many frames are empty."""
        return self.end_exclusive - self.start


def hole_at(scene: bpy.types.Scene, frame: int, strips: compat.Columns | None = None) -> Hole | None:
    """The hole around `frame`; None where a strip covers it, or where nothing bounds it on either side.

    Strips that are muted or lie in a muted channel don't count, nor do sound, text and adjustment strips. Where no
    strip bounds the hole on one side, the scene's frame range does; where that doesn't either, there is no hole.
    `strips` are those that are shown, where the caller has read them already.
    """
    strips = strips or compat.columns(compat.shown_strips(scene))
    muted = muted_channels(scene)
    rows = zip(strips.starts, strips.ends_exclusive, strips.channels, strips.mutes, strips.overlays, strict=True)
    seen = [row[:2] for row in rows if not (row[3] or row[4] or row[2] in muted)]
    if any(first <= frame < end for first, end in seen):
        return None
    start = max((end for _, end in seen if end <= frame), default=scene.frame_start)
    end = min((first for first, _ in seen if first > frame), default=scene.frame_end + 1)
    if not start <= frame < end:
        return None
    return Hole(start, end)


def muted_channels(scene: bpy.types.Scene) -> set[int]:
    """The channels that the preview leaves out."""
    return closed_channels(compat.shown_owner(scene))


def closed_channels(owner: Any) -> set[int]:
    """The channels of a sequence editor or a meta strip that the preview leaves out."""
    return set() if owner is None else {number for number, channel in enumerate(owner.channels) if channel.mute}
