"""Which takes a task makes of what is selected: their frames, their channel and the footage that they need.

Takes over what they are made from come first (text, image, restyle, previs), then takes beside it (fill gap, extend).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import bpy

from ...wan_backend.protocol.messages import MAX_TAKE_FRAMES, Role, Task
from . import compat, free_space, scene_format
from .footage import FootageRange
from .selection import MOST, Picked, Selection, around

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
class Target:
    """One take: frames [start, end_exclusive) on `channel`."""

    task: Task
    start: int
    end_exclusive: int
    channel: int
    wanted: tuple[FootageRange, ...] = ()
    prompt: str = ""
    """Where a text strip gives it."""
    sources: tuple[Picked, ...] = field(default=(), compare=False)
    """The strips that it is made from, as they were."""

    @property
    def length_frames(self) -> int:
        """How many frames it makes."""
        return self.end_exclusive - self.start


def _quoted(strips: Iterable[Picked]) -> str:
    """The strips' names for a sentence."""
    return " and ".join(f"'{strip.name}'" for strip in strips)


def _check(selection: Selection) -> None:
    """Raises NoAim for what no task can work with."""
    if selection.count > MOST:
        raise NoAim(f"{selection.count} strips are selected: select at most {MOST}.")


def _check_length(target: Target) -> None:
    """Raises NoAim for a take that is too long to be made: before anything is looked at, rendered or sent for it.

    A take that may be shorter than what it covers is left to its plan, which has a button for that.
    """
    if target.task in MAY_BE_SHORTER or target.length_frames <= MAX_TAKE_FRAMES:
        return
    if target.task is Task.FILL_GAP:
        what, instead = "The hole has", "make it shorter"
    elif target.task is Task.EXTEND:
        what, instead = "The part to be made has", "ask for fewer, or pull the strip's handle back"
    elif not target.sources:
        what, instead = "The preview range has", "make it shorter"
    elif len(target.sources) == 1:
        what, instead = f"{_quoted(target.sources)} covers", "cut the strip (K), and select a part of it"
    else:
        what, instead = "The selected strips cover", "select fewer, or shorter ones"
    raise NoAim(f"{what} {target.length_frames:,} frames, and a take has at most {MAX_TAKE_FRAMES:,}: {instead}.")


def _check_place(target: Target) -> None:
    """Raises NoAim for a take that would reach to where Blender has no frames."""
    if target.end_exclusive - 1 > scene_format.LAST_FRAME:
        raise NoAim(
            f"The take would reach past frame {scene_format.LAST_FRAME:,}, Blender's last: ask for fewer frames, or "
            "move the strips to the left."
        )
    if target.start < scene_format.FIRST_FRAME:
        raise NoAim(
            f"The take would begin before frame {scene_format.FIRST_FRAME:,}, Blender's first: ask for fewer frames, "
            "or move the strips to the right."
        )


def _check_seen(strips: Iterable[Picked]) -> None:
    """Raises NoAim for a strip that the preview doesn't show."""
    for strip in strips:
        if strip.muted:
            raise NoAim(f"'{strip.name}' or its channel is muted: unmute it, or select another strip.")


def _free_channel(
    scene: bpy.types.Scene, start: int, end_exclusive: int, above: int, others: Iterable[Target] = ()
) -> int:
    """The first channel above `above` that is free there. Raises NoAim."""
    also = [(target.channel, target.start, target.end_exclusive) for target in others]
    channel = free_space.first_free_channel(scene, start, end_exclusive, above + 1, also)
    if channel is None and above >= free_space.HIGHEST_CHANNEL:
        raise NoAim(
            f"Every channel above channel {above} is beyond Blender's highest: move the strip to a lower channel."
        )
    if channel is None:
        where = f"above channel {above} " if above else ""
        raise NoAim(f"Every channel {where}is taken, locked or muted at frame {start}: make room there.")
    return channel


def _own_channel(scene: bpy.types.Scene, start: int, end_exclusive: int, strips: Iterable[Picked]) -> int:
    """The channel of one of the strips if it is free there, else the first free one above. Raises NoAim."""
    numbers = [strip.channel for strip in strips]
    for number in numbers:
        if free_space.first_free_channel(scene, start, end_exclusive, number) == number:
            return number
    return _free_channel(scene, start, end_exclusive, max(numbers))


def find_targets(scene: bpy.types.Scene, selection: Selection, task: Task, wishes: Wishes) -> list[Target]:
    """One aim for each take, at least one. Raises NoAim with what to do. Text: one for each text strip."""
    _check(selection)
    made = _made(scene, selection, task, wishes)
    for one in made:
        _check_length(one)
        _check_place(one)
    return made


def _made(scene: bpy.types.Scene, selection: Selection, task: Task, wishes: Wishes) -> list[Target]:
    if task is Task.IMAGE_TO_VIDEO:
        return _over_picture(scene, selection, wishes)
    if task is Task.RESTYLE:
        return _over_footage(scene, selection)
    if task is Task.PREVIS:
        return _over_scene_strips(scene, selection)
    if task is Task.FILL_GAP:
        return _into_gap(scene, selection, wishes)
    if task is Task.EXTEND:
        return _beside_strip(scene, selection, wishes)
    return _from_texts(scene, selection)


def _from_texts(scene: bpy.types.Scene, selection: Selection) -> list[Target]:
    """One take for each text strip, as long as the strip. Raises NoAim."""
    if not selection.texts:
        raise NoAim("Select the text strips that hold the prompts: each gets a take.")
    empty = next((strip for strip in selection.texts if not strip.text), None)
    if empty is not None:
        raise NoAim(f"The text strip '{empty.name}' is empty: write in it what is to be seen.")
    targets: list[Target] = []
    for strip in selection.texts:
        channel = _free_channel(scene, strip.start, strip.end_exclusive, 0, targets)
        targets.append(Target(Task.TEXT_TO_VIDEO, strip.start, strip.end_exclusive, channel, prompt=strip.text))
    return targets


def _over_picture(scene: bpy.types.Scene, selection: Selection, wishes: Wishes) -> list[Target]:
    """A take that starts on the selected picture, and ends on the second one where two are selected. Raises NoAim."""
    strips = selection.footage
    if not strips:
        raise NoAim("Select the strip with the picture: an image, or one that has the playhead on the frame you want.")
    if len(strips) > 2:
        raise NoAim(f"{len(strips)} strips are selected: select the first picture, and the last one where you want it.")
    _check_seen(strips)
    first = strips[0]
    frame = _picture_frame(first, selection.frame)
    wanted = [FootageRange(Role.FIRST, frame, frame + 1, (first.name,))]
    end = first.end_exclusive if wishes.as_long_as_strip and first.end_exclusive - frame > 1 else None
    if len(strips) == 2:
        last = strips[1]
        at = last.end_exclusive - 1 if last.is_still else last.start
        wanted.append(FootageRange(Role.LAST, at, at + 1, (last.name,)))
        end = at + 1 if at > frame else end
    end = end or frame + wishes.length_frames
    channel = _free_channel(scene, frame, end, max(strip.channel for strip in strips))
    return [Target(Task.IMAGE_TO_VIDEO, frame, end, channel, tuple(wanted), sources=strips)]


def _over_footage(scene: bpy.types.Scene, selection: Selection) -> list[Target]:
    """A take over each selected strip. Raises NoAim.

    Strips that overlap in time get one take together, of what the preview shows there.
    """
    if not selection.footage:
        return [_composite(scene)]
    _check_seen(selection.footage)
    targets: list[Target] = []
    for group in _groups(selection.footage):
        start, end = group[0].start, max(strip.end_exclusive for strip in group)
        top = max(strip.channel for strip in group)
        names = (group[0].name,) if len(group) == 1 else ()
        channel = _free_channel(scene, start, end, top, targets)
        wanted = (FootageRange(Role.FOOTAGE, start, end, names),)
        targets.append(Target(Task.RESTYLE, start, end, channel, wanted, sources=group))
    return targets


def _over_scene_strips(scene: bpy.types.Scene, selection: Selection) -> list[Target]:
    """A take over each selected scene strip; a selected picture says what it looks like. Raises NoAim."""
    shots = [strip for strip in selection.footage if strip.type == "SCENE"]
    looks = [strip for strip in selection.footage if strip.type != "SCENE"]
    if not shots:
        raise NoAim("Select a scene strip: its depth and its camera's move are what the take follows.")
    if len(looks) > 1:
        raise NoAim(f"{len(looks)} pictures are selected beside the scene strip: select one for the look, or none.")
    _check_seen(selection.footage)
    targets: list[Target] = []
    for shot in shots:
        wanted = [FootageRange(Role.DEPTH, shot.start, shot.end_exclusive, (shot.name,), depth=True)]
        if looks:
            frame = _picture_frame(looks[0], selection.frame)
            wanted.append(FootageRange(Role.LOOK, frame, frame + 1, (looks[0].name,)))
        channel = _free_channel(scene, shot.start, shot.end_exclusive, shot.channel, targets)
        place = (shot.start, shot.end_exclusive, channel)
        targets.append(Target(Task.PREVIS, *place, tuple(wanted), sources=(shot, *looks)))
    return targets


def _picture_frame(strip: Picked, playhead: int) -> int:
    """The frame that is meant: that of the playhead where it stands on the strip, else the first."""
    if strip.is_still or not strip.start <= playhead < strip.end_exclusive:
        return strip.start
    return playhead


def _composite(scene: bpy.types.Scene) -> Target:
    if not scene.use_preview_range:
        raise NoAim("Select the strips to restyle, or set a preview range (P) around the frames.")
    start, end = scene.frame_preview_start, scene.frame_preview_end + 1
    strips = compat.columns(compat.shown_strips(scene))
    there = strips.overlapping(start, end)
    if not there:
        raise NoAim(f"There is no strip in the preview range, frames {start} to {end - 1}: move it over strips.")
    channel = _free_channel(scene, start, end, max(strips.channels[index] for index in there))
    return Target(Task.RESTYLE, start, end, channel, (FootageRange(Role.FOOTAGE, start, end),))


def _groups(strips: tuple[Picked, ...]) -> list[tuple[Picked, ...]]:
    """Strips, in the order of their starts, by whether they overlap in time."""
    groups: list[list[Picked]] = []
    end = None
    for strip in strips:
        if end is None or strip.start >= end:
            groups.append([])
            end = strip.end_exclusive
        groups[-1].append(strip)
        end = max(end, strip.end_exclusive)
    return [tuple(group) for group in groups]


def _into_gap(scene: bpy.types.Scene, selection: Selection, wishes: Wishes) -> list[Target]:
    """A take that is exactly the hole between two selected strips, or around the playhead. Raises NoAim."""
    left, right = _sides(scene, selection)
    _check_seen((left, right))
    for strip in (left, right):
        if strip.waits:
            raise NoAim(f"'{strip.name}' is still being made: wait for its take, then fill the gap.")
        if strip.type == "ADJUSTMENT":
            raise NoAim(f"'{strip.name}' has no picture of its own: select the strips at both sides of the hole.")
    start, end = left.end_exclusive, right.start
    if start > right.start:
        overlap = f"{_quoted((left, right))} overlap: there is no hole between them."
        raise NoAim(f"{overlap} Move one of them away, or cut it shorter.")
    if start == right.start:
        raise NoAim(f"{_quoted((left, right))} touch: there is no hole between them. Pull them apart, or use Extend.")
    wanted = (_before(left, start, wishes), _after(right, end, wishes))
    channel = _own_channel(scene, start, end, (left, right))
    return [Target(Task.FILL_GAP, start, end, channel, wanted, sources=(left, right))]


def _beside_strip(scene: bpy.types.Scene, selection: Selection, wishes: Wishes) -> list[Target]:
    """A take that goes on from the strip's end, or leads up to its start. Raises NoAim.

    Where a handle was pulled past the media, so that Blender holds a picture, the held part is what is made.
    """
    if len(selection.footage) != 1:
        which = "Select the strip" if not selection.footage else "Select one strip only: the one"
        raise NoAim(f"{which} that is to be longer.")
    strip = selection.footage[0]
    _check_seen((strip,))
    if strip.type == "ADJUSTMENT":
        raise NoAim(f"'{strip.name}' has no picture of its own: select the strip that is to be longer.")
    backward = goes_backward(strip, wishes.backward)
    held = strip.held_before if backward else strip.held_after
    frames = held or wishes.extend_frames
    if backward:
        end = strip.shown_start
        start = end - frames
        wanted = _after(strip, end, wishes)
    else:
        start = strip.shown_end
        end = start + frames
        wanted = _before(strip, start, wishes)
    if backward and start < 0 <= strip.start:  # who has strips before frame 0 works there, too
        raise NoAim(_no_room_before(strip.start))
    channel = _free_channel(scene, start, end, strip.channel) if held else _own_channel(scene, start, end, (strip,))
    return [Target(Task.EXTEND, start, end, channel, (wanted,), sources=(strip,))]


def goes_backward(strip: Picked, wished: bool) -> bool:
    """The side that is held; where both are or none is, the one that the panel says."""
    if bool(strip.held_before) != bool(strip.held_after):
        return bool(strip.held_before)
    return wished


def _no_room_before(start: int) -> str:
    """Of a strip that is to be extended to before frame 0, which a film doesn't show."""
    if start == 0:
        return "No frame lies before the strip, as it begins at frame 0: move the strip to the right to make room."
    lies = "Only 1 frame lies" if start == 1 else f"Only {start} frames lie"
    return f"{lies} before the strip: extend it by {start} at most, or move the strip to the right to make room."


def _sides(scene: bpy.types.Scene, selection: Selection) -> tuple[Picked, Picked]:
    strips = selection.footage
    if len(strips) == 2:
        return strips[0], strips[1]
    if strips:
        raise NoAim("Select the two strips at both sides of the hole, or none with the playhead in the hole.")
    hole, left, right = around(scene, selection.frame)
    if hole is None:
        raise NoAim("There is no hole under the playhead: move it into one, or select the strips at both sides.")
    if left is None or right is None:
        side = "before" if left is None else "after"
        raise NoAim(f"There is no strip {side} the hole: use Extend, or Text to fill it.")
    return left, right


def _before(strip: Picked, end: int, wishes: Wishes) -> FootageRange:
    """As much of `strip` before `end` as the model looks at, a held picture too, as the preview shows it."""
    return FootageRange(Role.BEFORE, max(strip.start, end - wishes.neighbour_frames), end, (strip.name,))


def _after(strip: Picked, start: int, wishes: Wishes) -> FootageRange:
    return FootageRange(Role.AFTER, start, min(strip.end_exclusive, start + wishes.neighbour_frames), (strip.name,))
