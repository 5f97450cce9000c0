"""From strips and a range of the scene to the Sources that a take is made from. Changes nothing.

A plain movie or image strip is read straight from its media; whatever else is to be rendered (by jobs.rendering).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import bpy

from ...wan_backend.protocol.media import frame_file
from ...wan_backend.protocol.messages import Role, Source


class Unusable(Exception):
    """What was asked for can't be a source; `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Wanted:
    """What the backend has to see, in frames of the scene."""

    role: Role
    start: int
    end_exclusive: int
    strip_names: tuple[str, ...] = ()
    """Of the timeline that is shown; none: the composite of the range."""
    depth: bool = False
    """True: how far away things are in the one scene strip that is named."""

    @property
    def frames(self) -> int:
        """How many frames it is."""
        return self.end_exclusive - self.start


def source_or_render(scene: bpy.types.Scene, wanted: Wanted, folder: str) -> tuple[Source, bool]:
    """The Source as it will be, and whether it must be rendered first. Raises Unusable.

    `folder` is the job's own: what is rendered goes into a folder in it that is named like the role.
    """
    files = [frame_file(index) for index in range(wanted.frames)]
    target = os.path.join(folder, wanted.role.value)
    return Source(wanted.role, target, files, frames=len(files), rendered=True), True
