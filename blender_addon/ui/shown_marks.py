"""The placeholders and takes among the strips that the timeline shows, read again only if something may have changed.

Draws ask at every redraw, and a walk over thousands of strips costs milliseconds; whether any was moved costs little.
No strip is kept, only numbers and words.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import bpy

from ..timeline import compat, identity, strip_columns, strip_takes, untrusted
from . import gone_takes

KEPT_SECONDS = 0.7
"""While no strip is added, removed or moved, the jobs of the strips are read again only after this time."""


class Placeholder(NamedTuple):
    """Frames [start, end_exclusive) and channel of one, and its job; or of a strip that waits for one more take."""

    start: int
    end_exclusive: int
    channel: int
    job_id: str


class TakePlace(NamedTuple):
    """Frames [start, end_exclusive) and channel of a strip with several takes, or with one that comes or is gone."""

    start: int
    end_exclusive: int
    channel: int
    badge: strip_takes.Badge


@dataclass(frozen=True)
class Marks:
    """The placeholders and takes among the shown strips, and what they were read from."""

    key: tuple[object, ...] = ()
    until: float = 0.0
    placeholders: tuple[Placeholder, ...] = ()
    takes: tuple[TakePlace, ...] = ()
    taken: frozenset[str] = field(default_factory=frozenset)
    """The jobs whose takes are shown."""


_last = Marks()


def marks(scene: bpy.types.Scene, strips: strip_columns.Columns | None = None) -> Marks:
    """The marks of the timeline that the scene shows now. `strips` are its strips, if the caller has read them."""
    global _last
    gone = gone_takes.shown_gone(scene)
    shown = compat.shown_strips(scene)
    if strips is None:
        starts, ends_exclusive, channels, kinds = strip_columns.places(shown)
    else:
        starts, ends_exclusive, channels, kinds = strips.starts, strips.ends_exclusive, strips.channels, strips.kinds
    key = (scene.as_pointer(), gone, *(column.tobytes() for column in (starts, ends_exclusive, channels, kinds)))
    if _last.key != key or time.monotonic() > _last.until:
        placeholders, takes, taken = [], [], set()
        for strip in strip_columns.carrying(shown, identity.JOB):
            job_id = untrusted.id_in(strip, identity.JOB)
            if not job_id:
                continue
            role = identity.role_of(strip)
            place = compat.start(strip), compat.end_exclusive(strip), strip.channel
            if role == identity.TAKE_ROLE:
                taken.add(job_id)
                badge = strip_takes.badge_of(strip, job_id)
                if job_id in gone:
                    badge = replace(badge or strip_takes.Badge(1, 1), is_gone=True)
                if badge is not None:
                    takes.append(TakePlace(*place, badge))
            elif role:
                placeholders.append(Placeholder(*place, job_id))
        until = time.monotonic() + (0.0 if bpy.app.background else KEPT_SECONDS)
        _last = Marks(key, until, tuple(placeholders), tuple(takes), frozenset(taken))
    return _last
