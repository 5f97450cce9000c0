"""The placeholders and takes among the strips that the timeline shows, read again only if something may have changed.

Draws ask at every redraw. Where the strips lie costs little to ask, and is asked each time. Which takes they have costs
milliseconds for each thousand strips: so that is kept, and read again by and by, a few hundred strips a redraw.
No strip is kept, only numbers and words.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import bpy

from ..jobs import session
from ..timeline import compat, free_space, identity, seams, strip_columns, strip_takes, untrusted
from . import gone_takes

KEPT_SECONDS = 0.7
"""While no strip is added or removed, the jobs of the strips are read again only after this time."""
READ_AT_ONCE = 50
READ_SECONDS = 0.002
"""In one redraw, so many strips are read at a time, until so much time has passed."""


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


class SeamPlace(NamedTuple):
    """Frames [start, end_exclusive) and channel of a strip that joins a neighbor, and the figures of its ends."""

    start: int
    end_exclusive: int
    channel: int
    at_start: float | None
    at_end: float | None


@dataclass(frozen=True)
class Marks:
    """The placeholders and takes among the shown strips."""

    placeholders: tuple[Placeholder, ...] = ()
    takes: tuple[TakePlace, ...] = ()
    seams: tuple[SeamPlace, ...] = ()
    taken: frozenset[str] = field(default_factory=frozenset)
    """The jobs whose takes are shown."""


class _Read(NamedTuple):
    """What was read of one strip of ours."""

    job_id: str
    is_placeholder: bool
    badge: strip_takes.Badge | None
    measured: seams.Measured = seams.NOTHING


class _Reader:
    """What the shown strips have, by their index, and which of them are to be read (again)."""

    def __init__(self) -> None:
        self.marks = Marks()
        self._kinds = b""
        self._places: tuple[bytes, ...] = ()
        self._strips: list[_Read | None] = []
        self._due: deque[list[int]] = deque()
        """The indices that are to be read in this redraw and the next ones, READ_AT_ONCE at a time."""
        self._until = 0.0
        self._contents: object = None
        """Where the media of the strips begin, as far as seams depend on it."""
        self._gone: frozenset[str] = frozenset()
        """The jobs whose takes have lost files."""
        self._stale: frozenset[str] = frozenset()
        """The jobs whose takes have sources that changed."""

    @property
    def reading(self) -> bool:
        """True if the next redraws have more to read."""
        return bool(self._due)

    def look(
        self, scene: bpy.types.Scene, columns: _Places, gone: frozenset[str], stale: frozenset[str] = frozenset()
    ) -> None:
        """Follow the places of the strips that the scene shows, and read some strips if that is due."""
        shown = compat.shown_strips(scene)
        starts, ends_exclusive, channels, kinds = columns
        places = (starts.tobytes(), ends_exclusive.tobytes(), channels.tobytes())
        changed = places != self._places or gone != self._gone or stale is not self._stale
        self._gone, self._stale = gone, stale
        if kinds.tobytes() != self._kinds:
            self._replace(columns)
            changed = True
        elif not self._due and (bpy.app.background or time.monotonic() > self._until):
            self._due = deque(_chunks(range(len(kinds))))
            changed = self._follow_contents(scene, shown) or changed
        self._kinds, self._places = kinds.tobytes(), places
        deadline = time.perf_counter() + READ_SECONDS
        while self._due:
            changed = self._read(shown, self._due.popleft()) or changed
            self._until = time.monotonic() + KEPT_SECONDS
            if time.perf_counter() > deadline and not bpy.app.background:
                break
        if changed:
            self.marks = self._made(scene, starts, ends_exclusive, channels)

    def _follow_contents(self, scene: bpy.types.Scene, shown: compat.Collection) -> bool:
        """True if a strip was slipped, or one or a channel muted or unmuted, while strips join their neighbors."""
        if not any(read is not None and read.measured is not seams.NOTHING for read in self._strips):
            return False
        muted = strip_columns.columns(shown).mutes, free_space.muted_channels(scene)
        before, self._contents = self._contents, (strip_columns.contents(shown), muted)
        return before != self._contents

    def _replace(self, columns: _Places) -> None:
        """Strips were added or removed: what lies where one lay is taken for that one until it is read."""
        starts, _, channels, _ = columns
        known: dict[tuple[int, int], _Read | None] = {}
        if self._places:
            was_starts, was_channels = array("i", self._places[0]), array("i", self._places[2])
            known = dict(zip(zip(was_starts, was_channels, strict=True), self._strips, strict=True))
        lie = list(zip(starts, channels, strict=True))
        self._strips = [known.get(place) for place in lie]
        new = [index for index, place in enumerate(lie) if place not in known]
        self._due = deque(_chunks(new) + _chunks([index for index, place in enumerate(lie) if place in known]))

    def _read(self, shown: compat.Collection, indices: list[int]) -> bool:
        """Read those strips; True if one of them has something else than was known."""
        changed = False
        for index, strip in zip(indices, strip_columns.fetch(shown, indices), strict=True):
            read = _read(strip)
            if read != self._strips[index]:
                self._strips[index], changed = read, True
        return changed

    def _made(
        self, scene: bpy.types.Scene, starts: array[int], ends_exclusive: array[int], channels: array[int]
    ) -> Marks:
        placeholders, takes, joined, taken = [], [], [], set()
        neighbors: seams.Neighbors | None = None
        for index, read in enumerate(self._strips):
            if read is None:
                continue
            place = starts[index], ends_exclusive[index], channels[index]
            if read.is_placeholder:
                placeholders.append(Placeholder(*place, read.job_id))
                continue
            taken.add(read.job_id)
            badge = read.badge
            if read.job_id in self._gone:
                badge = replace(badge or strip_takes.Badge(1, 1), is_gone=True)
            if read.job_id in self._stale:
                badge = replace(badge or strip_takes.Badge(1, 1), is_stale=True)
            if badge is not None:
                takes.append(TakePlace(*place, badge))
            if read.measured is not seams.NOTHING:
                neighbors = neighbors or seams.Neighbors(scene, compat.shown_strips(scene))
                numbers = [None if jump is None else jump.number for jump in neighbors.seams(read.measured, *place)]
                if numbers != [None, None]:
                    joined.append(SeamPlace(*place, *numbers))
        return Marks(tuple(placeholders), tuple(takes), tuple(joined), frozenset(taken))


_Places = tuple["array[int]", "array[int]", "array[int]", "array[int]"]
_MAX_READERS = 8
_readers: dict[int, _Reader] = {}
"""By scene, since two windows may show two."""


def marks(scene: bpy.types.Scene, strips: strip_columns.Columns | None = None) -> Marks:
    """The marks of the timeline that the scene shows now. `strips` are its strips, if the caller has read them."""
    shown = compat.shown_strips(scene)
    if strips is None:
        columns = strip_columns.places(shown)
    else:
        columns = strips.starts, strips.ends_exclusive, strips.channels, strips.kinds
    key = scene.as_pointer()
    if key not in _readers and len(_readers) >= _MAX_READERS:
        _readers.clear()
    reader = _readers.setdefault(key, _Reader())
    reader.look(scene, columns, gone_takes.shown_gone(scene), session.current().stale.stale)
    return reader.marks


def reading(scene: bpy.types.Scene) -> bool:
    """True if the scene's marks are not all read yet: the next redraw goes on."""
    reader = _readers.get(scene.as_pointer())
    return reader is not None and reader.reading


def _chunks(indices: Sequence[int]) -> list[list[int]]:
    return [list(indices[first : first + READ_AT_ONCE]) for first in range(0, len(indices), READ_AT_ONCE)]


def _read(strip: compat.Strip) -> _Read | None:
    job_id = untrusted.id_in(strip, identity.JOB)
    role = identity.role_of(strip) if job_id else ""
    if not role:
        return None
    is_placeholder = role == identity.PLACEHOLDER_ROLE
    if is_placeholder:
        return _Read(job_id, True, None)
    return _Read(job_id, False, strip_takes.badge_of(strip, job_id), seams.measured(strip))
