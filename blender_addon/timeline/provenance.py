"""What a placeholder remembers of the strips that its take is made from, and where these strips are now.

Strips are found by their names, which nobody but the person changes; no Python reference is kept. Before a take is put
in place of its placeholder, the placeholder follows these strips, unless the person moved it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.messages import Role, Task
from . import compat, free_space, identity, untrusted
from .footage import FootageRange
from .selection import pick
from .targets import Target

ASKED = "wan_vse_asked"
"""On a placeholder and its take: task, place, sources and what was wanted of them, as JSON."""


MOST_REMEMBERED = 1000
"""Strips; a selection of more is refused long before."""


@dataclass(frozen=True)
class SourceStrip:
    """A strip that a take is made from, as it was when that was asked for."""

    name: str
    start: int
    end_exclusive: int
    content_start: int
    channel: int


@dataclass(frozen=True)
class Provenance:
    """All that a placeholder remembers."""

    task: str
    start: int
    end_exclusive: int
    sources: tuple[SourceStrip, ...] = ()
    wanted: tuple[FootageRange, ...] = ()


def remember(scene: bpy.types.Scene, target: Target) -> Provenance:
    """What is to be kept of `aim`, as its source strips are now."""
    found = [(each.name, _strip(scene, each.name)) for each in target.sources]
    sources = tuple(
        SourceStrip(name, compat.start(strip), compat.end_exclusive(strip), compat.content_start(strip), strip.channel)
        for name, strip in found
        if strip is not None
    )
    return Provenance(target.task.value, target.start, target.end_exclusive, sources, target.wanted)


def write(asked: Provenance) -> str:
    """As JSON."""
    return json.dumps(asdict(asked))


def read(text: str) -> Provenance | None:
    """From JSON, as from an enemy; None where it can't be read."""
    try:
        values = bounds.parsed(text)
        sources = tuple(_source(each) for each in _few(values["sources"]))
        wanted = tuple(_wanted(each) for each in _few(values["wanted"]))
        task = Task(_name(values["task"]))
        return Provenance(task.value, _frame(values["start"]), _frame(values["end_exclusive"]), sources, wanted)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def of(strip: compat.Strip) -> Provenance | None:
    """What `strip` remembers; None for a take of a prompt alone."""
    return read(untrusted.text_in(strip, ASKED))


def wanted_now(scene: bpy.types.Scene, asked: Provenance) -> list[FootageRange]:
    """What is wanted, in the frames where the strips are now."""
    shifts = {source.name: shift for source, shift in _shifts(scene, asked.sources) if shift is not None}
    moved = []
    for wanted in asked.wanted:
        by = {shifts[name] for name in wanted.strip_names if name in shifts}
        shift = by.pop() if len(by) == 1 else 0
        moved.append(replace(wanted, start=wanted.start + shift, end_exclusive=wanted.end_exclusive + shift))
    return moved


def target_again(scene: bpy.types.Scene, asked: Provenance, start: int, end_exclusive: int, channel: int) -> Target:
    """The same once more, at another place."""
    there = [strip for source in asked.sources if (strip := strip_of(scene, source)) is not None]
    picked = tuple(pick(strip, set()) for strip in there)
    return Target(Task(asked.task), start, end_exclusive, channel, tuple(wanted_now(scene, asked)), sources=picked)


def _shifts(scene: bpy.types.Scene, sources: Iterable[SourceStrip]) -> list[tuple[SourceStrip, int | None]]:
    """By how many frames each was moved; None for one that is gone."""
    return [(source, shift(source, _strip(scene, source.name))) for source in sources]


def shift(source: SourceStrip, strip: compat.Strip | None) -> int | None:
    """By how many frames it was moved, trimmed or not."""
    if strip is None:
        return None
    by = compat.start(strip) - source.start
    if compat.end_exclusive(strip) - source.end_exclusive == by:
        return by
    return compat.content_start(strip) - source.content_start


def _strip(scene: bpy.types.Scene, name: str) -> compat.Strip | None:
    return compat.strip_named(scene, name)


def strip_of(scene: bpy.types.Scene, source: SourceStrip) -> compat.Strip | None:
    """The strip as it is now; None where it is gone."""
    return _strip(scene, source.name)


def select(scene: bpy.types.Scene, job_id: str) -> bool:
    """Select what the job's take is made from, and nothing else; False, and no change, where none of it is shown."""
    marked = (found.strip for found in identity.marked(scene) if found.job_id == job_id)
    asked = next((kept for strip in marked if (kept := of(strip)) is not None), None)
    names = {source.name for source in asked.sources} if asked is not None else set()
    shown = compat.shown_strips(scene)
    if not any(strip.name in names for strip in shown):
        return False
    for strip in shown:
        strip.select = strip.name in names
    return True


def _wanted(values: dict[str, Any]) -> FootageRange:
    names = tuple(_name(name) for name in _few(values["strip_names"]))
    start, end = _frame(values["start"]), _frame(values["end_exclusive"])
    return FootageRange(Role(_name(values["role"])), start, end, names, values["depth"] is True)


def _source(values: dict[str, Any]) -> SourceStrip:
    places = (_frame(values[name]) for name in ("start", "end_exclusive", "content_start", "channel"))
    return SourceStrip(_name(values["name"]), *places)


def _few(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) > MOST_REMEMBERED:
        raise ValueError("no list of what a take is made from")
    return values


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > bounds.MAX_NAME:
        raise ValueError("no name")
    return value


def _frame(value: Any) -> int:
    if not untrusted.is_frame(value):
        raise ValueError("no frame")
    return int(value)


_OVER = {Task.RESTYLE.value, Task.PREVIS.value}
_ABOVE = _OVER | {Task.IMAGE_TO_VIDEO.value}


def follow(found: identity.Marked) -> str:
    """Move, and trim, the placeholder with its sources; gives a sentence where it can't be as it was asked for."""
    asked, strip = of(found.strip), found.strip
    if asked is None or not asked.sources:
        return ""
    now = [(source, strip_of(found.scene, source)) for source in asked.sources]
    gone = [source.name for source, there in now if there is None]
    if gone:
        names = " and ".join(f"'{name}'" for name in gone)
        return f"{names} {'is' if len(gone) == 1 else 'are'} gone: the take stands where it was asked for."
    if compat.start(strip) != asked.start or compat.end_exclusive(strip) != asked.end_exclusive:
        return ""  # the person's own place for it
    by = shift(asked.sources[0], now[0][1]) or 0
    start, end = asked.start + by, asked.end_exclusive + by
    if asked.task in _OVER:
        start = max(start, min(compat.start(there) for _, there in now[:1]))
        end = min(end, max(compat.end_exclusive(there) for _, there in now)) if len(now) == 1 else end
    if start >= end:
        return f"'{asked.sources[0].name}' was trimmed to frames that the take doesn't have: it stands where it was."
    _go_to(found, asked, start, end, by, [there for _, there in now])
    return _still_fits(found, asked, [there for _, there in now])


def _go_to(found: identity.Marked, asked: Provenance, start: int, end: int, by: int, now: list[compat.Strip]) -> None:
    strip = found.strip
    lowest = strip.channel
    if asked.task in _ABOVE:
        lowest = max(lowest, 1 + max(each.channel for each in now[:1]))
    if (start, end, lowest) == (asked.start, asked.end_exclusive, strip.channel):
        return
    others = [
        (each.channel, compat.start(each), compat.end_exclusive(each)) for each in found.collection if each != strip
    ]
    taken = {channel for channel, first, last in others if first < end and last > start}
    channel = next(
        (number for number in range(lowest, free_space.HIGHEST_CHANNEL + 1) if number not in taken), strip.channel
    )
    aside = next(
        (number for number in range(free_space.HIGHEST_CHANNEL, 0, -1) if number not in taken),
        free_space.HIGHEST_CHANNEL,
    )
    strip.channel = aside  # where Blender finds nothing to bump it over
    compat.set_handles(strip, start, end)
    strip.channel = channel
    strip[identity.FIRST] = asked.start + by


def _still_fits(found: identity.Marked, asked: Provenance, now: list[compat.Strip]) -> str:
    start, end = compat.start(found.strip), compat.end_exclusive(found.strip)
    if asked.task == Task.FILL_GAP.value:
        left, right = compat.end_exclusive(now[0]), compat.start(now[1])
        if (left, right) != (start, end):
            have, gap = end - start, max(0, right - left)
            return f"The gap has {gap} frames now, the take {have}: fill the gap again for one that fits."
    elif asked.task == Task.EXTEND.value:
        held = compat.held_frames(now[0])
        edges = (compat.end_exclusive(now[0]) - held[1], compat.start(now[0]) + held[0])
        touches = start == edges[0] or end == edges[1]
        if not touches:
            return f"'{asked.sources[0].name}' was trimmed and the take no longer touches it: extend it again."
    return ""
