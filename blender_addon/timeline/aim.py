"""What a task is aimed at: which frames it makes, where they go and what has to be seen for it. Changes nothing.

The rules of each task are in aim_over (text, image, restyle, previs) and aim_beside (fill gap, extend).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import bpy

from ...wan_backend.protocol.messages import MAX_TAKE_FRAMES, Task
from . import channels, length
from .footage import Wanted
from .selection import MOST, Picked, Selection

MOST_KEPT = 17
"""So many of the model's frames are at most kept of a neighbour: enough to show its motion."""

MAY_BE_SHORTER = frozenset({Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO})
"""The others are as long as what they are made from, or as the place that they fill."""


class NoAim(Exception):
    """The task can't be done with what is selected; `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Wishes:
    """What the panel says that matters to a task's aim."""

    length_frames: int = 72
    """For takes whose length nothing on the timeline gives."""
    as_long_as_strip: bool = True
    """Image to video: to the end of the picture's strip."""
    extend_frames: int = 24
    backward: bool = False
    model_rate: Fraction = Fraction(16)
    scene_rate: Fraction = Fraction(24)

    @property
    def neighbour_frames(self) -> int:
        """How many of the scene's frames of a neighbour the model may want to see."""
        return math.ceil((MOST_KEPT - 1) * self.scene_rate / self.model_rate) + 1


@dataclass(frozen=True)
class Aim:
    """One take: frames [start, end_exclusive) on `channel`."""

    task: Task
    start: int
    end_exclusive: int
    channel: int
    wanted: tuple[Wanted, ...] = ()
    prompt: str = ""
    """Where a text strip gives it."""
    sources: tuple[Picked, ...] = field(default=(), compare=False)
    """The strips that it is made from, as they were."""

    @property
    def length_frames(self) -> int:
        """How many frames it makes."""
        return self.end_exclusive - self.start


def quoted(strips: Iterable[Picked]) -> str:
    """The strips' names for a sentence."""
    return " and ".join(f"'{strip.name}'" for strip in strips)


def check(selection: Selection) -> None:
    """Raises NoAim for what no task can work with."""
    if selection.count > MOST:
        raise NoAim(f"{selection.count} strips are selected: select at most {MOST}.")


def check_length(aim: Aim) -> None:
    """Raises NoAim for a take that is too long to be made: before anything is looked at, rendered or sent for it.

    A take that may be shorter than what it covers is left to its plan, which has a button for that.
    """
    if aim.task in MAY_BE_SHORTER or aim.length_frames <= MAX_TAKE_FRAMES:
        return
    if aim.task is Task.FILL_GAP:
        what, instead = "The hole has", "make it shorter"
    elif aim.task is Task.EXTEND:
        what, instead = "The part to be made has", "ask for fewer, or pull the strip's handle back"
    elif not aim.sources:
        what, instead = "The preview range has", "make it shorter"
    elif len(aim.sources) == 1:
        what, instead = f"{quoted(aim.sources)} covers", "cut the strip (K), and select a part of it"
    else:
        what, instead = "The selected strips cover", "select fewer, or shorter ones"
    raise NoAim(f"{what} {aim.length_frames:,} frames, and a take has at most {MAX_TAKE_FRAMES:,}: {instead}.")


def check_place(aim: Aim) -> None:
    """Raises NoAim for a take that would reach to where Blender has no frames."""
    if aim.end_exclusive - 1 > length.LAST_FRAME:
        raise NoAim(
            f"The take would reach past frame {length.LAST_FRAME:,}, Blender's last: ask for fewer frames, or move the "
            "strips to the left."
        )
    if aim.start < length.FIRST_FRAME:
        raise NoAim(
            f"The take would begin before frame {length.FIRST_FRAME:,}, Blender's first: ask for fewer frames, or move "
            "the strips to the right."
        )


def check_seen(strips: Iterable[Picked]) -> None:
    """Raises NoAim for a strip that the preview doesn't show."""
    for strip in strips:
        if strip.muted:
            raise NoAim(f"'{strip.name}' or its channel is muted: unmute it, or select another strip.")


def free_channel(scene: bpy.types.Scene, start: int, end_exclusive: int, above: int, others: Iterable[Aim] = ()) -> int:
    """The first channel above `above` that is free there. Raises NoAim."""
    also = [(aim.channel, aim.start, aim.end_exclusive) for aim in others]
    channel = channels.first_free(scene, start, end_exclusive, above + 1, also)
    if channel is None and above >= channels.HIGHEST:
        raise NoAim(
            f"Every channel above channel {above} is beyond Blender's highest: move the strip to a lower channel."
        )
    if channel is None:
        where = f"above channel {above} " if above else ""
        raise NoAim(f"Every channel {where}is taken, locked or muted at frame {start}: make room there.")
    return channel


def own_channel(scene: bpy.types.Scene, start: int, end_exclusive: int, strips: Iterable[Picked]) -> int:
    """The channel of one of the strips if it is free there, else the first free one above. Raises NoAim."""
    numbers = [strip.channel for strip in strips]
    for number in numbers:
        if channels.first_free(scene, start, end_exclusive, number) == number:
            return number
    return free_channel(scene, start, end_exclusive, max(numbers))
