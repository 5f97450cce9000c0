"""What a placeholder remembers of the strips that its take is made from, and where these are now.

Strips are found by their names, which nobody but the person changes; no Python reference is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.messages import Role, Task
from . import compat, identity, written
from .aim import Aim
from .footage import Wanted
from .selection import pick

ASKED = "wan_vse_asked"
"""On a placeholder and its take: task, place, sources and what was wanted of them, as JSON."""


MOST_REMEMBERED = 1000
"""Strips; a selection of more is refused long before."""


@dataclass(frozen=True)
class Source:
    """A strip that a take is made from, as it was when that was asked for."""

    name: str
    start: int
    end_exclusive: int
    content_start: int
    channel: int


@dataclass(frozen=True)
class Asked:
    """All that a placeholder remembers."""

    task: str
    start: int
    end_exclusive: int
    sources: tuple[Source, ...] = ()
    wanted: tuple[Wanted, ...] = ()


def remember(scene: bpy.types.Scene, aim: Aim) -> Asked:
    """What is to be kept of `aim`, as its source strips are now."""
    found = [(each.name, _strip(scene, each.name)) for each in aim.sources]
    sources = tuple(
        Source(name, compat.start(strip), compat.end_exclusive(strip), compat.content_start(strip), strip.channel)
        for name, strip in found
        if strip is not None
    )
    return Asked(aim.task.value, aim.start, aim.end_exclusive, sources, aim.wanted)


def write(asked: Asked) -> str:
    """As JSON."""
    return json.dumps(asdict(asked))


def read(text: str) -> Asked | None:
    """From JSON, as from an enemy; None where it can't be read."""
    try:
        values = bounds.parsed(text)
        sources = tuple(_source(each) for each in _few(values["sources"]))
        wanted = tuple(_wanted(each) for each in _few(values["wanted"]))
        task = Task(_name(values["task"]))
        return Asked(task.value, _frame(values["start"]), _frame(values["end_exclusive"]), sources, wanted)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def of(strip: compat.Strip) -> Asked | None:
    """What `strip` remembers; None for a take of a prompt alone."""
    return read(written.text_in(strip, ASKED))


def wanted_now(scene: bpy.types.Scene, asked: Asked) -> list[Wanted]:
    """What is wanted, in the frames where the strips are now."""
    shifts = {source.name: shift for source, shift in _shifts(scene, asked.sources) if shift is not None}
    moved = []
    for wanted in asked.wanted:
        by = {shifts[name] for name in wanted.strip_names if name in shifts}
        shift = by.pop() if len(by) == 1 else 0
        moved.append(replace(wanted, start=wanted.start + shift, end_exclusive=wanted.end_exclusive + shift))
    return moved


def aim(scene: bpy.types.Scene, asked: Asked, start: int, end_exclusive: int, channel: int) -> Aim:
    """The same once more, at another place."""
    there = [strip for source in asked.sources if (strip := strip_of(scene, source)) is not None]
    picked = tuple(pick(strip, set()) for strip in there)
    return Aim(Task(asked.task), start, end_exclusive, channel, tuple(wanted_now(scene, asked)), sources=picked)


def _shifts(scene: bpy.types.Scene, sources: Iterable[Source]) -> list[tuple[Source, int | None]]:
    """By how many frames each was moved; None for one that is gone."""
    return [(source, shift(source, _strip(scene, source.name))) for source in sources]


def shift(source: Source, strip: compat.Strip | None) -> int | None:
    """By how many frames it was moved, trimmed or not."""
    if strip is None:
        return None
    by = compat.start(strip) - source.start
    if compat.end_exclusive(strip) - source.end_exclusive == by:
        return by
    return compat.content_start(strip) - source.content_start


def _strip(scene: bpy.types.Scene, name: str) -> compat.Strip | None:
    return compat.strip_named(scene, name)


def strip_of(scene: bpy.types.Scene, source: Source) -> compat.Strip | None:
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


def _wanted(values: dict[str, Any]) -> Wanted:
    names = tuple(_name(name) for name in _few(values["strip_names"]))
    start, end = _frame(values["start"]), _frame(values["end_exclusive"])
    return Wanted(Role(_name(values["role"])), start, end, names, values["depth"] is True)


def _source(values: dict[str, Any]) -> Source:
    places = (_frame(values[name]) for name in ("start", "end_exclusive", "content_start", "channel"))
    return Source(_name(values["name"]), *places)


def _few(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) > MOST_REMEMBERED:
        raise ValueError("no list of what a take is made from")
    return values


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > bounds.MAX_NAME:
        raise ValueError("no name")
    return value


def _frame(value: Any) -> int:
    if not written.is_frame(value):
        raise ValueError("no frame")
    return int(value)
