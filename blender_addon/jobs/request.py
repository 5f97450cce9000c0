"""What the panel says, as a TakeRequest. Changes nothing; refuses in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy

from ...wan_backend.protocol.messages import TakeRequest


class Refused(Exception):
    """What was asked can't be asked; `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Placement:
    """Where on the timeline a take is to go."""

    channel: int
    start: int
    length_frames: int

    @property
    def end_exclusive(self) -> int:
        """The first frame after it."""
        return self.start + self.length_frames


def length_of(scene: bpy.types.Scene, settings: Any) -> Placement:
    """Where the take would go and how long it would be. Raises Refused."""
    raise NotImplementedError


def prompt_of(scene: bpy.types.Scene, settings: Any) -> str:
    """The prompt, from wherever the settings say. Raises Refused where it is empty or too long."""
    raise NotImplementedError


def build(scene: bpy.types.Scene, settings: Any, preferences: Any) -> TakeRequest:
    """The request that Generate would send now; draws a seed where none is locked. Raises Refused."""
    raise NotImplementedError
