"""Timeline markers as words over time: a marker's name says what is seen from its frame to the next marker.

Only markers with something to say count. Blender names a new one after its frame (F_24), and one that came without a
name from another program is called Marker; a marker with a camera is there for the camera. One whose name was emptied
ends the words before it.
"""

from __future__ import annotations

import re

import bpy

SAYS_NOTHING = re.compile(r"(F_-?\d+|Marker)(\.\d+)?")


def read(scene: bpy.types.Scene) -> tuple[tuple[int, str], ...]:
    """Frame and words of each marker that counts, in order; of two at one frame, the one that was added last."""
    found = {
        marker.frame: " ".join(marker.name.split())
        for marker in scene.timeline_markers
        if marker.camera is None and SAYS_NOTHING.fullmatch(marker.name) is None
    }
    return tuple(sorted(found.items()))


def within(scene: bpy.types.Scene, start: int, end_exclusive: int) -> list[tuple[int, int, str]]:
    """First frame, last frame and words of each part of [start, end_exclusive) for which a marker speaks."""
    markers = read(scene)
    ends = [frame for frame, _ in markers[1:]] + [end_exclusive]
    parts = [
        (max(frame, start), min(end, end_exclusive) - 1, text)
        for (frame, text), end in zip(markers, ends, strict=False)
        if text
    ]
    return [part for part in parts if part[0] <= part[1]]
