"""Takes that touch what they are made from: into the hole between two strips, and on from one. Changes nothing."""

from __future__ import annotations

import bpy

from ...wan_backend.protocol.messages import Role, Task
from .aim import Aim, NoAim, Wishes, check_seen, free_channel, own_channel, quoted
from .footage import Wanted
from .selection import Picked, Selection, around


def gap(scene: bpy.types.Scene, selection: Selection, wishes: Wishes) -> list[Aim]:
    """A take that is exactly the hole between two selected strips, or around the playhead. Raises NoAim."""
    left, right = _sides(scene, selection)
    check_seen((left, right))
    for strip in (left, right):
        if strip.waits:
            raise NoAim(f"'{strip.name}' is still being made: wait for its take, then fill the gap.")
        if strip.type == "ADJUSTMENT":
            raise NoAim(f"'{strip.name}' has no picture of its own: select the strips at both sides of the hole.")
    start, end = left.end_exclusive, right.start
    if start > right.start:
        overlap = f"{quoted((left, right))} overlap: there is no hole between them."
        raise NoAim(f"{overlap} Move one of them away, or cut it shorter.")
    if start == right.start:
        raise NoAim(f"{quoted((left, right))} touch: there is no hole between them. Pull them apart, or use Extend.")
    wanted = (_before(left, start, wishes), _after(right, end, wishes))
    channel = own_channel(scene, start, end, (left, right))
    return [Aim(Task.FILL_GAP, start, end, channel, wanted, sources=(left, right))]


def extend(scene: bpy.types.Scene, selection: Selection, wishes: Wishes) -> list[Aim]:
    """A take that goes on from the strip's end, or leads up to its start. Raises NoAim.

    Where a handle was pulled past the media, so that Blender holds a picture, the held part is what is made.
    """
    if len(selection.footage) != 1:
        which = "Select the strip" if not selection.footage else "Select one strip only: the one"
        raise NoAim(f"{which} that is to be longer.")
    strip = selection.footage[0]
    check_seen((strip,))
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
    channel = free_channel(scene, start, end, strip.channel) if held else own_channel(scene, start, end, (strip,))
    return [Aim(Task.EXTEND, start, end, channel, (wanted,), sources=(strip,))]


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


def _before(strip: Picked, end: int, wishes: Wishes) -> Wanted:
    """As much of `strip` before `end` as the model looks at, a held picture too, as the preview shows it."""
    return Wanted(Role.BEFORE, max(strip.start, end - wishes.neighbour_frames), end, (strip.name,))


def _after(strip: Picked, start: int, wishes: Wishes) -> Wanted:
    return Wanted(Role.AFTER, start, min(strip.end_exclusive, start + wishes.neighbour_frames), (strip.name,))
