"""Where the takes of a click go: their frames and channel, and the footage that a task makes them from.

If a task can't be done, a sentence is returned that says why and what to do. Nothing is changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import MAX_REFERENCES, MAX_TAKE_FRAMES, Role, Task
from . import compat, free_space, scene_format, strip_columns
from .footage import FootageRange, too_long
from .selection import MAX_STRIPS, Selection, StripSummary, around

MAX_NEIGHBOR_FRAMES = 17
"""At most this many frames, at the model's rate, are kept of a neighbor: enough to show its motion."""

FIT, ONLY_GAP, PREVIEW_RANGE = "GAP", "ONLY_GAP", "RANGE"
"""Lengths: that of the gap under the playhead, if there is one; that of the gap, or no take; and the preview range."""
MAY_BE_SHORTER = frozenset({Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO})
"""A take of any other task is as long as what it is made from, or as the gap that it fills."""


@dataclass(frozen=True)
class TargetSettings:
    """The panel's settings that a target depends on; rates are in frames per second."""

    length_frames: int = 72
    """In frames of the scene, for takes whose length nothing on the timeline sets."""
    as_long_as_strip: bool = True
    """Image to video: to the end of the picture's strip."""
    extend_frames: int = 24
    backward: bool = False
    handle_frames: int = 0
    """How many of a neighbor's frames are wanted as a handle."""
    follows_camera: bool = False
    """Previs: by the scene's camera, in place of its depth."""
    model_rate: Fraction = Fraction(16)
    scene_rate: Fraction = Fraction(24)

    @property
    def neighbor_frames(self) -> int:
        """How many of the scene's frames of a neighbor the model may need, or a handle."""
        return max(math.ceil((MAX_NEIGHBOR_FRAMES - 1) * self.scene_rate / self.model_rate) + 1, self.handle_frames)


@dataclass(frozen=True)
class Target:
    """One take: frames [start, end_exclusive) of the scene, on `channel`."""

    task: Task
    start: int
    end_exclusive: int
    channel: int
    wanted: tuple[FootageRange, ...] = ()
    prompt: str = ""
    """That of the text strip that the take is made for; empty for the panel's prompt."""
    sources: tuple[StripSummary, ...] = field(default=(), compare=False)
    """The strips that the take is made from, as they were."""
    kept: tuple[StripSummary, ...] = field(default=(), compare=False)
    """The strips of the pictures that it keeps at chosen frames."""

    @property
    def length_frames(self) -> int:
        """How many frames the take has."""
        return self.end_exclusive - self.start


def find_targets(
    scene: bpy.types.Scene, selection: Selection, task: Task, settings: TargetSettings
) -> list[Target] | str:
    """A target for each take, at least one; or why there is none. Text strips get a take each."""
    if selection.count > MAX_STRIPS:
        return iface_("{} strips are selected: select at most {}.").format(selection.count, MAX_STRIPS)
    targets = _targets_of_task(scene, selection, task, settings)
    if isinstance(targets, str):
        return targets
    refusals = (_length_refusal(target) or _place_refusal(target) for target in targets)
    return next(filter(None, refusals), targets)


def at_playhead(scene: bpy.types.Scene, settings: Any) -> Target | str:
    """The target of a take of a prompt alone, or why there is none: at the playhead, or the gap around it.

    `settings` are the panel's, which say how long it is.
    """
    found = _range_at_playhead(scene, settings)
    if isinstance(found, str):
        return found
    start, frames = found
    if frames < 1:
        return "A take needs at least one frame: set its length."
    if frames > MAX_TAKE_FRAMES:
        return too_long(frames)
    if start + frames - 1 > scene_format.LAST_FRAME:
        last = f"{scene_format.LAST_FRAME:,}"
        return iface_("The take would reach past frame {}, Blender's last: move the playhead to the left.").format(last)
    channel = free_space.first_free_channel(scene, start, start + frames)
    if channel is None:
        return "Every channel is taken, locked or muted at the playhead: make room there, or move the playhead."
    return Target(Task.TEXT_TO_VIDEO, start, start + frames, channel)


def over_text_strips(scene: bpy.types.Scene, selection: Selection) -> Target | str:
    """The target of one take over all selected text strips, from the first one's start to the last one's end."""
    start = min(strip.start for strip in selection.texts)
    end = max(strip.end_exclusive for strip in selection.texts)
    channel = _free_channel(scene, start, end, 0)
    if isinstance(channel, str):
        return channel
    target = Target(Task.TEXT_TO_VIDEO, start, end, channel)
    return (
        too_long(target.length_frames) if target.length_frames > MAX_TAKE_FRAMES else _place_refusal(target) or target
    )


def _range_at_playhead(scene: bpy.types.Scene, settings: Any) -> tuple[int, int] | str:
    """The first frame and the number of frames that the panel's length means; or why there are none."""
    start, gap = scene.frame_current, None
    if settings.length_mode == ONLY_GAP:
        gap = free_space.gap_at(scene, start)
        if gap is None:
            return "There is no gap under the playhead: move it into a gap."
    elif settings.length_mode == FIT:
        gap = free_space.gap_to_fit(scene, start)
    elif settings.length_mode == PREVIEW_RANGE:
        if not scene.use_preview_range:
            return "No preview range is set: press P on the timeline to draw one, or choose another length."
        return scene.frame_preview_start, scene.frame_preview_end + 1 - scene.frame_preview_start
    if gap is not None:
        return gap.start, min(gap.length_frames, MAX_TAKE_FRAMES)  # no model fills a longer one
    if settings.length_mode == "SECONDS":
        return start, scene_format.frames_of(settings.length_seconds, scene_format.rate_of(scene))
    return start, settings.length_frames


def _targets_of_task(
    scene: bpy.types.Scene, selection: Selection, task: Task, settings: TargetSettings
) -> list[Target] | str:
    if task is Task.IMAGE_TO_VIDEO:
        return _from_picture(scene, selection, settings)
    if task is Task.RESTYLE:
        return _over_footage(scene, selection.footage, task)
    if task is Task.EDIT:
        return _edited(scene, selection)
    if task is Task.PREVIS:
        return _over_scene_strips(scene, selection, settings)
    if task is Task.FILL_GAP:
        return _into_gap(scene, selection, settings)
    if task is Task.EXTEND:
        return _beside_strip(scene, selection, settings)
    return _for_text_strips(scene, selection)


def _length_refusal(target: Target) -> str:
    """Why a take is too long to be made; known before anything is read, rendered or sent for it.

    A take that may be shorter than what it covers is left to its plan, which has a button for that.
    """
    if target.task in MAY_BE_SHORTER or target.length_frames <= MAX_TAKE_FRAMES:
        return ""
    lengths = target.length_frames, MAX_TAKE_FRAMES
    if len(target.sources) == 1 and target.task is not Task.EXTEND:
        words = "{} covers {:,} frames, and a take has at most {:,}: cut the strip (K), and select a part of it."
        return iface_(words).format(_quote(target.sources), *lengths)
    if target.task is Task.FILL_GAP:
        words = "The gap has {:,} frames, and a take has at most {:,}: make it shorter."
    elif target.task is Task.EXTEND:
        words = (
            "The new part has {:,} frames, and a take has at most {:,}: ask for fewer, or pull the strip's handle back."
        )
    elif not target.sources:
        words = "The preview range has {:,} frames, and a take has at most {:,}: make it shorter."
    else:
        words = (
            "The selected strips cover {:,} frames, and a take has at most {:,}: select fewer strips, or shorter ones."
        )
    return iface_(words).format(*lengths)


def _place_refusal(target: Target) -> str:
    """Why a take can't be there: it would reach beyond Blender's first or last frame."""
    if target.end_exclusive - 1 > scene_format.LAST_FRAME:
        return iface_(
            "The take would reach past frame {:,}, Blender's last: ask for fewer frames, or move the "
            "strips to the left."
        ).format(scene_format.LAST_FRAME)
    if target.start < scene_format.FIRST_FRAME:
        return iface_(
            "The take would begin before frame {:,}, Blender's first: ask for fewer frames, or move the"
            " strips to the right."
        ).format(scene_format.FIRST_FRAME)
    return ""


def _muted_refusal(strips: Iterable[StripSummary]) -> str:
    """Why a strip among them can't be used: the preview doesn't show it."""
    muted = next((strip for strip in strips if strip.muted), None)
    return (
        ""
        if muted is None
        else iface_("'{}' or its channel is muted: unmute it, or select another strip.").format(muted.name)
    )


def _quote(strips: Iterable[StripSummary]) -> str:
    """The strips' names, for a sentence."""
    return iface_(" and ").join(f"'{strip.name}'" for strip in strips)


def _free_channel(
    scene: bpy.types.Scene, start: int, end_exclusive: int, above: int, others: Iterable[Target] = ()
) -> int | str:
    """The first channel above `above` that is free there, besides what the other targets take; or why there is none."""
    also = [(target.channel, target.start, target.end_exclusive) for target in others]
    channel = free_space.first_free_channel(scene, start, end_exclusive, above + 1, also)
    if channel is not None:
        return channel
    if above >= free_space.HIGHEST_CHANNEL:
        return iface_(
            "Every channel above channel {} is beyond Blender's highest: move the strip to a lower channel."
        ).format(above)
    if above:
        words = "Every channel above channel {} is taken, locked or muted at frame {}: make room there."
        return iface_(words).format(above, start)
    return iface_("Every channel is taken, locked or muted at frame {}: make room there.").format(start)


def _own_channel(scene: bpy.types.Scene, start: int, end_exclusive: int, strips: Iterable[StripSummary]) -> int | str:
    """The channel of one of the strips if it is free there, else the first free one above; or why there is none."""
    numbers = [strip.channel for strip in strips]
    for number in numbers:
        if free_space.first_free_channel(scene, start, end_exclusive, number) == number:
            return number
    return _free_channel(scene, start, end_exclusive, max(numbers))


def _for_text_strips(scene: bpy.types.Scene, selection: Selection) -> list[Target] | str:
    """A take for each text strip, as long as the strip."""
    if not selection.texts:
        return "Select the text strips that hold the prompts: each gets a take."
    empty = next((strip for strip in selection.texts if not strip.text), None)
    if empty is not None:
        return iface_("The text strip '{}' is empty: write what the take shows.").format(empty.name)
    targets: list[Target] = []
    for strip in selection.texts:
        channel = _free_channel(scene, strip.start, strip.end_exclusive, 0, targets)
        if isinstance(channel, str):
            return channel
        targets.append(Target(Task.TEXT_TO_VIDEO, strip.start, strip.end_exclusive, channel, prompt=strip.text))
    return targets


def _from_picture(scene: bpy.types.Scene, selection: Selection, settings: TargetSettings) -> list[Target] | str:
    """A take that starts on the selected picture, and ends on the second one if two are selected."""
    strips = selection.footage
    if not strips:
        return "Select the strip with the picture: an image, or a strip with the playhead on the frame you want."
    if len(strips) > 2:
        return iface_("{} strips are selected: select the first picture, and the last one where you want it.").format(
            len(strips)
        )
    muted = _muted_refusal(strips)
    if muted:
        return muted
    first = strips[0]
    frame = _picture_frame(first, selection.frame)
    wanted = [FootageRange(Role.FIRST, frame, frame + 1, (first.name,))]
    end = first.end_exclusive if settings.as_long_as_strip and first.end_exclusive - frame > 1 else None
    if len(strips) == 2:
        last = strips[1]
        at = last.end_exclusive - 1 if last.is_still else last.start
        wanted.append(FootageRange(Role.LAST, at, at + 1, (last.name,)))
        end = at + 1 if at > frame else end
    end = end or frame + settings.length_frames
    channel = _free_channel(scene, frame, end, max(strip.channel for strip in strips))
    if isinstance(channel, str):
        return channel
    return [Target(Task.IMAGE_TO_VIDEO, frame, end, channel, tuple(wanted), sources=strips)]


def _edited(scene: bpy.types.Scene, selection: Selection) -> list[Target] | str:
    """A take over each selected strip; stills that are selected along with them are reference pictures of all.

    Muted ones count: the film needn't show them.
    """
    footage = tuple(strip for strip in selection.footage if not strip.is_still) or selection.footage
    pictures = tuple(strip for strip in selection.footage if strip not in footage)
    if len(pictures) > MAX_REFERENCES:
        words = "{} pictures are selected along with the footage: an edit takes at most {} as references."
        return iface_(words).format(len(pictures), MAX_REFERENCES)
    found = _over_footage(scene, footage, Task.EDIT)
    if isinstance(found, str):
        return found
    references = tuple(
        FootageRange(Role.REFERENCE, strip.start, strip.start + 1, (strip.name,), at_frame=number)
        for number, strip in enumerate(pictures, 1)
    )
    return [replace(each, wanted=each.wanted + references, sources=each.sources + pictures) for each in found]


def _over_footage(scene: bpy.types.Scene, strips: tuple[StripSummary, ...], task: Task) -> list[Target] | str:
    """A take over each of these strips.

    Strips that overlap in time get one take together, of what the preview shows there. Without a selection, the take
    covers the preview range.
    """
    if not strips:
        return _over_preview_range(scene, task)
    muted = _muted_refusal(strips)
    if muted:
        return muted
    targets: list[Target] = []
    for group in _groups(strips):
        start, end = group[0].start, max(strip.end_exclusive for strip in group)
        top = max(strip.channel for strip in group)
        names = (group[0].name,) if len(group) == 1 else ()
        channel = _free_channel(scene, start, end, top, targets)
        if isinstance(channel, str):
            return channel
        wanted = (FootageRange(Role.FOOTAGE, start, end, names),)
        targets.append(Target(task, start, end, channel, wanted, sources=group))
    return targets


def _over_preview_range(scene: bpy.types.Scene, task: Task) -> list[Target] | str:
    if not scene.use_preview_range:
        if task is Task.EDIT:
            return "Select the strips to edit, or set a preview range (P) around the frames."
        return "Select the strips to restyle, or set a preview range (P) around the frames."
    start, end = scene.frame_preview_start, scene.frame_preview_end + 1
    strips = strip_columns.columns(compat.shown_strips(scene))
    there = strips.overlapping(start, end)
    if not there:
        return iface_("There is no strip in the preview range, frames {} to {}: move it over strips.").format(
            start, end - 1
        )
    channel = _free_channel(scene, start, end, max(strips.channels[index] for index in there))
    if isinstance(channel, str):
        return channel
    return [Target(task, start, end, channel, (FootageRange(Role.FOOTAGE, start, end),))]


def _over_scene_strips(scene: bpy.types.Scene, selection: Selection, settings: TargetSettings) -> list[Target] | str:
    """A take over each selected scene strip; a selected picture says what it looks like."""
    shots = [strip for strip in selection.footage if strip.type == "SCENE"]
    looks = [strip for strip in selection.footage if strip.type != "SCENE"]
    if not shots:
        return "Select a scene strip: the take follows its depth and its camera move."
    if len(looks) > 1:
        return iface_("{} pictures are selected along with the scene strip: select one for the look, or none.").format(
            len(looks)
        )
    muted = _muted_refusal(selection.footage)
    if muted:
        return muted
    targets: list[Target] = []
    for shot in shots:
        role = Role.CAMERA if settings.follows_camera else Role.DEPTH
        wanted = [FootageRange(role, shot.start, shot.end_exclusive, (shot.name,), depth=True)]
        if looks:
            frame = _picture_frame(looks[0], selection.frame)
            wanted.append(FootageRange(Role.LOOK, frame, frame + 1, (looks[0].name,)))
        channel = _free_channel(scene, shot.start, shot.end_exclusive, shot.channel, targets)
        if isinstance(channel, str):
            return channel
        place = (shot.start, shot.end_exclusive, channel)
        targets.append(Target(Task.PREVIS, *place, tuple(wanted), sources=(shot, *looks)))
    return targets


def _picture_frame(strip: StripSummary, playhead: int) -> int:
    """The frame that is meant: the playhead's if it is on the strip, else the first."""
    if strip.is_still or not strip.start <= playhead < strip.end_exclusive:
        return strip.start
    return playhead


def _groups(strips: tuple[StripSummary, ...]) -> list[tuple[StripSummary, ...]]:
    """Strips, in the order of their starts, by whether they overlap in time."""
    groups: list[list[StripSummary]] = []
    end = None
    for strip in strips:
        if end is None or strip.start >= end:
            groups.append([])
            end = strip.end_exclusive
        groups[-1].append(strip)
        end = max(end, strip.end_exclusive)
    return [tuple(group) for group in groups]


def _into_gap(scene: bpy.types.Scene, selection: Selection, settings: TargetSettings) -> list[Target] | str:
    """A take that is exactly the gap between two selected strips, or around the playhead."""
    sides = _sides_of_gap(scene, selection)
    if isinstance(sides, str):
        return sides
    refusal = _sides_refusal(*sides)
    if refusal:
        return refusal
    left, right = sides
    start, end = left.end_exclusive, right.start
    channel = _own_channel(scene, start, end, sides)
    if isinstance(channel, str):
        return channel
    wanted = (_before(left, start, settings), _after(right, end, settings))
    return [Target(Task.FILL_GAP, start, end, channel, wanted, sources=sides)]


def _sides_of_gap(scene: bpy.types.Scene, selection: Selection) -> tuple[StripSummary, StripSummary] | str:
    """The strips at both sides of the gap that is meant; or why there are none."""
    strips = selection.footage
    if len(strips) == 2:
        return strips[0], strips[1]
    if strips:
        return "Select the two strips on both sides of the gap, or none with the playhead in the gap."
    gap, left, right = around(scene, selection.frame)
    if gap is None:
        return "There is no gap under the playhead: move it into a gap, or select the strips on both sides."
    if left is None or right is None:
        if left is None:
            return "There is no strip before the gap: use Extend, or Text to fill it."
        return "There is no strip after the gap: use Extend, or Text to fill it."
    return left, right


def _sides_refusal(left: StripSummary, right: StripSummary) -> str:
    """Why the gap between two strips can't be filled."""
    muted = _muted_refusal((left, right))
    if muted:
        return muted
    for strip in (left, right):
        if strip.waits:
            return iface_("'{}' is still being made: wait for its take, then fill the gap.").format(strip.name)
        if strip.type == "ADJUSTMENT":
            return iface_("'{}' has no picture of its own: select the strips on both sides of the gap.").format(
                strip.name
            )
    if left.end_exclusive > right.start:
        words = "{} overlap: there is no gap between them. Move one of them away, or cut it shorter."
        return iface_(words).format(_quote((left, right)))
    if left.end_exclusive == right.start:
        return iface_("{} touch: there is no gap between them. Pull them apart, or use Extend.").format(
            _quote((left, right))
        )
    return ""


def _beside_strip(scene: bpy.types.Scene, selection: Selection, settings: TargetSettings) -> list[Target] | str:
    """A take that continues from the strip's end, or leads up to its start.

    If a handle was pulled past the media, so that Blender holds a picture, the take covers the held part.
    """
    if len(selection.footage) != 1:
        return "Select only one strip, the one to extend." if selection.footage else "Select the strip to extend."
    strip = selection.footage[0]
    muted = _muted_refusal((strip,))
    if muted:
        return muted
    if strip.type == "ADJUSTMENT":
        return iface_("'{}' has no picture of its own: select the strip to extend.").format(strip.name)
    backward = goes_backward(strip, settings.backward)
    held = strip.held_before if backward else strip.held_after
    frames = held or settings.extend_frames
    start, end = (
        (strip.shown_start - frames, strip.shown_start) if backward else (strip.shown_end, strip.shown_end + frames)
    )
    if backward and start < 0 <= strip.start:  # whoever has strips before frame 0 works there, too
        return _no_room_before(strip.start)
    channel = _free_channel(scene, start, end, strip.channel) if held else _own_channel(scene, start, end, (strip,))
    if isinstance(channel, str):
        return channel
    wanted = _after(strip, end, settings) if backward else _before(strip, start, settings)
    return [Target(Task.EXTEND, start, end, channel, (wanted,), sources=(strip,))]


def goes_backward(strip: StripSummary, wished: bool) -> bool:
    """Whether a strip is extended at its start: the side with a held picture counts, else `wished`, the panel's."""
    if bool(strip.held_before) != bool(strip.held_after):
        return bool(strip.held_before)
    return wished


def _no_room_before(start: int) -> str:
    """Why a strip that begins at `start` can't be extended to before frame 0, which a film doesn't show."""
    if start == 0:
        return (
            "There are no frames before the strip, which starts at frame 0: move the strip to the right to make room."
        )
    if start == 1:
        return (
            "Only 1 frame lies before the strip: extend it by at most 1 frame, or move the strip to the right to make "
            "room."
        )
    return iface_(
        "Only {} frames lie before the strip: extend it by at most {}, or move the strip to the right to make room."
    ).format(start, start)


def _before(strip: StripSummary, end: int, settings: TargetSettings) -> FootageRange:
    """As much of `strip` before `end` as the model needs; a held picture too, as the preview shows it."""
    return FootageRange(Role.BEFORE, max(strip.start, end - settings.neighbor_frames), end, (strip.name,))


def _after(strip: StripSummary, start: int, settings: TargetSettings) -> FootageRange:
    return FootageRange(Role.AFTER, start, min(strip.end_exclusive, start + settings.neighbor_frames), (strip.name,))
