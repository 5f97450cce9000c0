"""What a placeholder keeps of the strips that its take is made from, and where these strips are now.

Strips are found by their names, which nobody but the person changes; no Python reference is kept. Before a take is put
in place of its placeholder, the placeholder follows these strips, unless the person moved it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.messages import Role, Task
from . import compat, free_space, identity, seen_sources, untrusted
from .footage import FootageRange
from .seen_sources import SeenStrip
from .selection import StripSummary, summarize
from .targets import Target

PROPERTY = "wan_vse_asked"
"""The custom property of a placeholder and its take that holds their Provenance as JSON."""

MAX_REMEMBERED = 1000
"""At most this many strips are read, far more than a selection may have."""

_OVER_SOURCES = {Task.RESTYLE.value, Task.PREVIS.value, Task.EDIT.value}
"""Takes of these tasks cover their first source."""
_ABOVE_SOURCES = _OVER_SOURCES | {Task.IMAGE_TO_VIDEO.value}
"""Takes of these tasks lie above their first source."""


@dataclass(frozen=True)
class SourceStrip:
    """A strip that a take is made from, as it was when the take was asked for."""

    name: str
    start: int
    end_exclusive: int
    content_start: int
    channel: int


@dataclass(frozen=True)
class Provenance:
    """What a take was made from: its task, its place, its source strips, and the ranges that it needs of them."""

    task: str
    start: int
    end_exclusive: int
    sources: tuple[SourceStrip, ...] = ()
    wanted: tuple[FootageRange, ...] = ()
    seen: tuple[SeenStrip, ...] = ()
    """What its sources showed, so that a change is found later; nothing in files of earlier versions."""
    kept: tuple[SourceStrip, ...] = ()
    """The strips of the pictures that it keeps: it doesn't follow these."""


def remember(scene: bpy.types.Scene, target: Target) -> Provenance:
    """The Provenance of `target`, with its source strips as they are now."""
    sources, kept = (_remembered(scene, picked) for picked in (target.sources, target.kept))
    return Provenance(target.task.value, target.start, target.end_exclusive, sources, target.wanted, kept=kept)


def _remembered(scene: bpy.types.Scene, picked: tuple[StripSummary, ...]) -> tuple[SourceStrip, ...]:
    found = [compat.strip_named(scene, each.name) for each in picked]
    return tuple(source_of(strip) for strip in found if strip is not None)


def source_of(strip: compat.Strip) -> SourceStrip:
    """The strip as it is now."""
    start, end, content = compat.start(strip), compat.end_exclusive(strip), compat.content_start(strip)
    return SourceStrip(strip.name, start, end, content, strip.channel)


def write(made_from: Provenance) -> str:
    """The JSON that a placeholder keeps (the provenance text)."""
    values = asdict(replace(made_from, seen=()))
    return json.dumps({**values, "seen": seen_sources.as_json(made_from.seen)} if made_from.seen else values)


def read(text: str) -> Provenance | None:
    """Parse the JSON that a strip keeps, which anybody may have written; None if it is not valid."""
    try:
        values = bounds.parsed(text)
        sources = tuple(_source(each) for each in _few(values["sources"]))
        wanted = tuple(_wanted(each) for each in _few(values["wanted"]))
        task, seen = Task(_name(values["task"])), seen_sources.read(values.get("seen"))
        kept = tuple(_source(each) for each in _few(values.get("kept", [])))
        place = _frame(values["start"]), _frame(values["end_exclusive"])
        return Provenance(task.value, *place, sources, wanted, seen, kept)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


known = lru_cache(maxsize=1 << 12)(read)
"""`read`, for texts that are asked for again and again."""


def of(strip: compat.Strip) -> Provenance | None:
    """The Provenance that `strip` keeps; None for a take of a prompt alone."""
    return read(untrusted.text_in(strip, PROPERTY))


def wanted_now(scene: bpy.types.Scene, made_from: Provenance, moved_by: int = 0) -> list[FootageRange]:
    """The ranges that the take needs, where the source strips are now.

    One without strips is of all that the film shows there: it moves along with the take, by `moved_by` frames.
    """
    moves = ((source, shift(source, strip_of(scene, source))) for source in (*made_from.sources, *made_from.kept))
    shifts = {source.name: by for source, by in moves if by is not None}
    moved = []
    for wanted in made_from.wanted:
        all_by = {shifts[name] for name in wanted.strip_names if name in shifts}
        by = all_by.pop() if len(all_by) == 1 else 0 if wanted.strip_names else moved_by
        now = replace(wanted, start=wanted.start + by, end_exclusive=wanted.end_exclusive + by)
        moved.append(_within_strip(scene, now) if now.is_alone else now)
    return moved


def _within_strip(scene: bpy.types.Scene, wanted: FootageRange) -> FootageRange:
    """A picture, taken from the nearest frame that its strip still has: trimming a still changes no picture."""
    strip = compat.strip_named(scene, wanted.strip_names[0]) if wanted.strip_names else None
    if strip is None:
        return wanted
    frame = max(min(wanted.start, compat.end_exclusive(strip) - 1), compat.start(strip))
    return replace(wanted, start=frame, end_exclusive=frame + 1)


def target_again(scene: bpy.types.Scene, made_from: Provenance, start: int, end_exclusive: int, channel: int) -> Target:
    """The target of another take that is made from these strips, at another place."""
    picked, kept = (
        tuple(summarize(strip, set()) for source in known if (strip := strip_of(scene, source)) is not None)
        for known in (made_from.sources, made_from.kept)
    )
    wanted = tuple(wanted_now(scene, made_from, start - made_from.start))
    return Target(Task(made_from.task), start, end_exclusive, channel, wanted, sources=picked, kept=kept)


def shift(source: SourceStrip, strip: compat.Strip | None) -> int | None:
    """By how many frames the strip was moved since, whether it was also trimmed or not; None if it is gone."""
    if strip is None:
        return None
    by = compat.start(strip) - source.start
    if compat.end_exclusive(strip) - source.end_exclusive == by:
        return by
    return compat.content_start(strip) - source.content_start


def strip_of(scene: bpy.types.Scene, source: SourceStrip) -> compat.Strip | None:
    """The strip as it is now; None if it is gone."""
    return compat.strip_named(scene, source.name)


def select(scene: bpy.types.Scene, job_id: str) -> bool:
    """Select only the strips that the job's take is made from; False, without a change, if none is shown."""
    marked = (found.strip for found in identity.marked(scene) if found.job_id == job_id)
    made_from = next((kept for strip in marked if (kept := of(strip)) is not None), None)
    names = {source.name for source in (*made_from.sources, *made_from.kept)} if made_from is not None else set()
    shown = compat.shown_strips(scene)
    if not any(strip.name in names for strip in shown):
        return False
    for strip in shown:
        strip.select = strip.name in names
    return True


def _wanted(values: dict[str, Any]) -> FootageRange:
    names = tuple(_name(name) for name in _few(values["strip_names"]))
    start, end = _frame(values["start"]), _frame(values["end_exclusive"])
    at_frame = _frame(values.get("at_frame", 0))
    return FootageRange(Role(_name(values["role"])), start, end, names, values["depth"] is True, at_frame)


def _source(values: dict[str, Any]) -> SourceStrip:
    places = (_frame(values[name]) for name in ("start", "end_exclusive", "content_start", "channel"))
    return SourceStrip(_name(values["name"]), *places)


def _few(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) > MAX_REMEMBERED:
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


def _followed(made_from: Provenance) -> tuple[SourceStrip, ...]:
    """The strips whose place is the take's own: a reference picture lies anywhere, and may go once it was seen."""
    elsewhere = {name for wanted in made_from.wanted if wanted.role is Role.REFERENCE for name in wanted.strip_names}
    return tuple(source for source in made_from.sources if source.name not in elsewhere)


def follow(found: identity.Marked) -> str:
    """Move and trim a placeholder as its source strips were; returns a sentence if the take no longer fits them."""
    made_from, strip = of(found.strip), found.strip
    sources = _followed(made_from) if made_from is not None else ()
    if made_from is None or not sources:
        return ""
    now = [(source, strip_of(found.scene, source)) for source in sources]
    gone = [source.name for source, there in now if there is None]
    if gone:
        names = iface_(" and ").join(f"'{name}'" for name in gone)
        words = "{} is gone: the take is placed where it was requested."
        if len(gone) > 1:
            words = "{} are gone: the take is placed where it was requested."
        return iface_(words).format(names)
    if compat.start(strip) != made_from.start or compat.end_exclusive(strip) != made_from.end_exclusive:
        return ""  # the person moved it
    by = shift(*now[0]) or 0
    start, end = made_from.start + by, made_from.end_exclusive + by
    if made_from.task in _OVER_SOURCES:
        start = max(start, min(compat.start(there) for _, there in now[:1]))
        end = min(end, max(compat.end_exclusive(there) for _, there in now)) if len(now) == 1 else end
    if start >= end:
        name = sources[0].name
        return iface_(
            "'{}' was trimmed to frames that the take doesn't have: the take is placed where it was requested."
        ).format(name)
    _move(found, made_from, start, end, by, [there for _, there in now])
    return _misfit(found, made_from, [there for _, there in now])


def _move(
    found: identity.Marked, made_from: Provenance, start: int, end: int, by: int, now: list[compat.Strip]
) -> None:
    strip = found.strip
    lowest = strip.channel
    if made_from.task in _ABOVE_SOURCES:
        lowest = max(lowest, 1 + max(each.channel for each in now[:1]))
    if (start, end, lowest) == (made_from.start, made_from.end_exclusive, strip.channel):
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
    strip.channel = aside  # which is free: Blender bumps no strip there
    compat.set_handles(strip, start, end)
    strip.channel = channel
    strip[identity.FIRST] = made_from.start + by


def _misfit(found: identity.Marked, made_from: Provenance, now: list[compat.Strip]) -> str:
    start, end = compat.start(found.strip), compat.end_exclusive(found.strip)
    if made_from.task == Task.FILL_GAP.value:
        left, right = compat.end_exclusive(now[0]), compat.start(now[1])
        if (left, right) != (start, end):
            have, gap = end - start, max(0, right - left)
            return iface_("The gap has {} frames now, but the take has {}: fill the gap again.").format(gap, have)
    elif made_from.task == Task.EXTEND.value:
        held = compat.held_frames(now[0])
        edges = (compat.end_exclusive(now[0]) - held[1], compat.start(now[0]) + held[0])
        touches = start == edges[0] or end == edges[1]
        if not touches:
            return iface_("'{}' was trimmed and the take no longer touches it: extend it again.").format(
                made_from.sources[0].name
            )
    return ""
