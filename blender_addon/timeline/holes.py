"""Which stretch of the timeline is empty."""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np

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


def hole_at(scene: bpy.types.Scene, frame: int) -> Hole | None:
    """The hole around `frame`; None where a strip covers it, or where nothing bounds it on either side.

    Strips that are muted, lie in a muted channel or only sound don't count. Where no strip bounds the hole on
    one side, the scene's frame range does; where that doesn't either, there is no hole to fill.
    """
    strips = compat.columns(compat.shown_strips(scene))
    seen = ~(strips.mutes | strips.sounds | np.isin(strips.channels, _muted_channels(scene)))
    starts, ends = strips.starts[seen], strips.ends_exclusive[seen]
    if np.any((starts <= frame) & (frame < ends)):
        return None
    before, after = ends[ends <= frame], starts[starts > frame]
    start = int(before.max()) if before.size else scene.frame_start
    end = int(after.min()) if after.size else scene.frame_end + 1
    if not start <= frame < end:
        return None
    return Hole(start, end)


def _muted_channels(scene: bpy.types.Scene) -> list[int]:
    owner = compat.shown_owner(scene)
    return [] if owner is None else [number for number, channel in enumerate(owner.channels) if channel.mute]
