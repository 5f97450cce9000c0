"""How the ends of a take join the strips beside it, as the worker measured it: which figures hold for a strip now.

The worker measures where a take goes on from kept frames. That says something as long as the strip begins (or ends)
with the take's own first (or last) frame, and a strip with the frame that it was made to join lies directly beside it:
whoever moves, trims or slips one of the two has another seam, of which nothing is known.

A figure of 1.0 is as much as the neighbor changes from one of its frames to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import bpy

from ...wan_backend.protocol.messages import Jump, Role
from . import compat, free_space, identity, provenance, strip_columns, strip_takes, untrusted

JOINS, NEARLY = 1.0, 2.0
"""A seam with a figure up to the first joins; up to the second it nearly does; else it jumps."""


class Seams(NamedTuple):
    """The jumps at a strip's start and end; None where nothing is joined, or nothing is known of it."""

    start: Jump | None = None
    end: Jump | None = None

    @property
    def worst(self) -> float | None:
        """The larger of the two figures; None without any."""
        return max((jump.number for jump in self if jump is not None), default=None)


class Measured(NamedTuple):
    """What is measured of the take that a strip shows, where the strip begins and ends as the take does."""

    seams: Seams
    joined: tuple[int | None, int | None]
    """How many frames behind the beginning of the neighbor's media its start lies, and its end; None if that isn't
    remembered."""


NOTHING = Measured(Seams(), (None, None))


def measured(strip: compat.Strip) -> Measured:
    """What is measured of the ends that the strip shows. Quick for strips of which nothing is."""
    text = untrusted.text_in(strip, identity.TAKE)
    take = untrusted.take(text) if '_jump": {' in text else None
    if take is None or identity.role_of(strip) != identity.TAKE_ROLE or strip.type not in ("IMAGE", "MOVIE"):
        return NOTHING
    if strip.mute or swapped_in_time(strip):
        return NOTHING
    first = compat.content_start(strip) + strip_takes.shown_handle(strip)
    start = take.start_jump if compat.start(strip) == first else None
    end = take.end_jump if compat.end_exclusive(strip) == first + take.own_frames else None
    if start is None and end is None:
        return NOTHING
    return Measured(Seams(start, end), _joined_in(untrusted.text_in(strip, provenance.PROPERTY)))


def swapped_in_time(strip: compat.Strip) -> bool:
    """Whether the strip plays its media in another order, at another speed, or cut for good."""
    return bool(strip.use_reverse_frames or compat.has_retiming_keys(strip) or any(compat.trims(strip)))


@lru_cache(maxsize=1 << 12)
def _joined_in(text: str) -> tuple[int | None, int | None]:
    made_from = provenance.read(text) if text else None
    if made_from is None or not made_from.sources:
        return None, None
    roles = {wanted.role for wanted in made_from.wanted}
    before = made_from.start - made_from.sources[0].content_start if Role.BEFORE in roles else None
    after = made_from.end_exclusive - made_from.sources[-1].content_start if Role.AFTER in roles else None
    return before, after


class Neighbors:
    """Where the strips of a timeline begin and end that may be joined, and where the media of each begins.

    What the preview leaves out is not joined: muted strips, and all on muted channels.
    """

    def __init__(self, scene: bpy.types.Scene, collection: compat.Collection) -> None:
        self._muted = free_space.muted_channels(scene)
        strips = strip_columns.columns(collection)
        contents, held_before, held_after = strip_columns.contents(collection)
        self._starts: dict[int, set[int]] = {}
        self._ends: dict[int, set[int]] = {}
        rows = zip(strips.starts, strips.ends_exclusive, contents, held_before, held_after, strict=True)
        for row, mute, overlay, channel in zip(rows, strips.mutes, strips.overlays, strips.channels, strict=True):
            if not (mute or overlay or channel in self._muted):
                start, end, content, before, after = row
                self._starts.setdefault(start + before, set()).add(content)
                self._ends.setdefault(end - after, set()).add(content)

    def seams(self, found: Measured, start: int, end_exclusive: int, channel: int) -> Seams:
        """Those of the measured seams of a strip in [start, end_exclusive) at which the strip touches its neighbor."""
        if found is NOTHING or channel in self._muted:
            return NOTHING.seams
        at_start = self._touches(self._ends, start, found.joined[0])
        at_end = self._touches(self._starts, end_exclusive, found.joined[1])
        return Seams(found.seams.start if at_start else None, found.seams.end if at_end else None)

    @staticmethod
    def _touches(edges: dict[int, set[int]], frame: int, behind: int | None) -> bool:
        contents = edges.get(frame, ())
        return bool(contents) if behind is None else frame - behind in contents


def of(scene: bpy.types.Scene, strip: compat.Strip) -> Seams:
    """The seams of a strip of the timeline that is shown."""
    found = measured(strip)
    if found is NOTHING:
        return found.seams
    return _found(Neighbors(scene, compat.shown_strips(scene)), found, strip)


def _found(neighbors: Neighbors, found: Measured, strip: compat.Strip) -> Seams:
    return neighbors.seams(found, compat.start(strip), compat.end_exclusive(strip), strip.channel)


def worst_of(scene: bpy.types.Scene, strips: Iterable[Any] | None = None) -> tuple[Any, float] | None:
    """The strip with the worst seam among `strips`, or of the shown timeline, and its figure; None without any."""
    collection = compat.shown_strips(scene)
    among = collection if strips is None else strips
    found = [(strip, each) for strip in among if (each := measured(strip)) is not NOTHING]
    if not found:
        return None
    neighbors = Neighbors(scene, collection)
    rated = [(strip, worst) for strip, each in found if (worst := _found(neighbors, each, strip).worst) is not None]
    return max(rated, key=lambda row: row[1], default=None)


def of_take(strip: compat.Strip, job_id: str) -> Seams:
    """What was measured of one of the strip's takes, shown or not, wherever the strip lies now."""
    take = untrusted.take(strip_takes.made_of(strip, job_id).take)
    return Seams() if take is None else Seams(take.start_jump, take.end_jump)
