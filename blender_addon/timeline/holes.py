"""Which stretch of the timeline is empty."""

from __future__ import annotations

from dataclasses import dataclass

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


def hole_at(scene: bpy.types.Scene, frame: int) -> Hole | None:
    """The hole around `frame`; None where a strip covers it, or where nothing bounds it on either side.

    Strips that are muted, lie in a muted channel or only sound don't count. Where no strip bounds the hole on
    one side, the scene's frame range does; where that doesn't either, there is no hole to fill.
    """
    left, right = scene.frame_start, scene.frame_end + 1
    before: list[int] = []
    after: list[int] = []
    for strip in compat.shown_strips(scene):
        if not is_seen(scene, strip):
            continue
        start, end = compat.start(strip), compat.end_exclusive(strip)
        if start <= frame < end:
            return None
        if end <= frame:
            before.append(end)
        else:
            after.append(start)
    start = max(before) if before else left
    end = min(after) if after else right
    if not start <= frame < end:
        return None
    return Hole(start, end)


def is_seen(scene: bpy.types.Scene, strip: compat.Strip) -> bool:
    """True where the strip is part of the picture."""
    if strip.type == "SOUND" or strip.mute:
        return False
    channels = compat.shown_owner(scene).channels
    return not (strip.channel < len(channels) and channels[strip.channel].mute)
