"""Takes that lie over what they are made from, or at the playhead: text, image, restyle, previs. Changes nothing."""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import Role, Task
from . import compat
from .aim import Aim, NoAim, Wishes, check_seen, free_channel
from .footage import Wanted
from .selection import Picked, Selection


def texts(scene: bpy.types.Scene, selection: Selection) -> list[Aim]:
    """One take for each text strip, as long as the strip. Raises NoAim."""
    if not selection.texts:
        raise NoAim("Select the text strips that hold the prompts: each gets a take.")
    empty = next((strip for strip in selection.texts if not strip.text), None)
    if empty is not None:
        raise NoAim(f"The text strip '{empty.name}' is empty: write in it what is to be seen.")
    aims: list[Aim] = []
    for strip in selection.texts:
        channel = free_channel(scene, strip.start, strip.end_exclusive, 0, aims)
        aims.append(Aim(Task.TEXT_TO_VIDEO, strip.start, strip.end_exclusive, channel, prompt=strip.text))
    return aims


def picture(scene: bpy.types.Scene, selection: Selection, wishes: Wishes) -> list[Aim]:
    """A take that starts on the selected picture, and ends on the second one where two are selected. Raises NoAim."""
    strips = selection.footage
    if not strips:
        raise NoAim("Select the strip with the picture: an image, or one that has the playhead on the frame you want.")
    if len(strips) > 2:
        raise NoAim(f"{len(strips)} strips are selected: select the first picture, and the last one where you want it.")
    check_seen(strips)
    first = strips[0]
    frame = _picture_frame(first, selection.frame)
    wanted = [Wanted(Role.FIRST, frame, frame + 1, (first.name,))]
    end = first.end_exclusive if wishes.as_long_as_strip and first.end_exclusive - frame > 1 else None
    if len(strips) == 2:
        last = strips[1]
        at = last.end_exclusive - 1 if last.is_still else last.start
        wanted.append(Wanted(Role.LAST, at, at + 1, (last.name,)))
        end = at + 1 if at > frame else end
    end = end or frame + wishes.length_frames
    channel = free_channel(scene, frame, end, max(strip.channel for strip in strips))
    return [Aim(Task.IMAGE_TO_VIDEO, frame, end, channel, tuple(wanted), sources=strips)]


def restyle(scene: bpy.types.Scene, selection: Selection) -> list[Aim]:
    """A take over each selected strip. Raises NoAim.

    Strips that overlap in time get one take together, of what the preview shows there.
    """
    if not selection.footage:
        return [_composite(scene)]
    check_seen(selection.footage)
    aims: list[Aim] = []
    for group in _groups(selection.footage):
        start, end = group[0].start, max(strip.end_exclusive for strip in group)
        top = max(strip.channel for strip in group)
        names = (group[0].name,) if len(group) == 1 else ()
        channel = free_channel(scene, start, end, top, aims)
        wanted = (Wanted(Role.FOOTAGE, start, end, names),)
        aims.append(Aim(Task.RESTYLE, start, end, channel, wanted, sources=group))
    return aims


def previs(scene: bpy.types.Scene, selection: Selection) -> list[Aim]:
    """A take over each selected scene strip; a selected picture says what it looks like. Raises NoAim."""
    shots = [strip for strip in selection.footage if strip.type == "SCENE"]
    looks = [strip for strip in selection.footage if strip.type != "SCENE"]
    if not shots:
        raise NoAim("Select a scene strip: its depth and its camera's move are what the take follows.")
    if len(looks) > 1:
        raise NoAim(f"{len(looks)} pictures are selected beside the scene strip: select one for the look, or none.")
    check_seen(selection.footage)
    aims: list[Aim] = []
    for shot in shots:
        wanted = [Wanted(Role.DEPTH, shot.start, shot.end_exclusive, (shot.name,), depth=True)]
        if looks:
            frame = _picture_frame(looks[0], selection.frame)
            wanted.append(Wanted(Role.LOOK, frame, frame + 1, (looks[0].name,)))
        channel = free_channel(scene, shot.start, shot.end_exclusive, shot.channel, aims)
        place = (shot.start, shot.end_exclusive, channel)
        aims.append(Aim(Task.PREVIS, *place, tuple(wanted), sources=(shot, *looks)))
    return aims


def _picture_frame(strip: Picked, playhead: int) -> int:
    """The frame that is meant: that of the playhead where it stands on the strip, else the first."""
    if strip.is_still or not strip.start <= playhead < strip.end_exclusive:
        return strip.start
    return playhead


def _composite(scene: bpy.types.Scene) -> Aim:
    if not scene.use_preview_range:
        raise NoAim("Select the strips to restyle, or set a preview range (P) around the frames.")
    start, end = scene.frame_preview_start, scene.frame_preview_end + 1
    strips = compat.columns(compat.shown_strips(scene))
    there = strips.overlapping(start, end)
    if not there:
        raise NoAim(f"There is no strip in the preview range, frames {start} to {end - 1}: move it over strips.")
    channel = free_channel(scene, start, end, max(strips.channels[index] for index in there))
    return Aim(Task.RESTYLE, start, end, channel, (Wanted(Role.FOOTAGE, start, end),))


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
