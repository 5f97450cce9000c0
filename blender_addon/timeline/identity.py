"""The custom properties that tie a strip to its job. They survive saving, copying, splitting and undo.

A strip is never kept as a Python reference from one tick to the next: it is found again by its id. The properties are
read through `untrusted` alone: a strip whose properties are not as this add-on writes them is not one of ours.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import bpy

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.messages import TakeRequest
from . import compat, strip_columns, strip_mark, untrusted

JOB = "wan_vse_job"
STRIP = "wan_vse_strip"
ROLE = "wan_vse_role"
REQUEST = "wan_vse_request"
"""The TakeRequest as JSON."""
TAKE = "wan_vse_take"
"""The finished take's settings (Take) as JSON."""
FIRST = "wan_vse_first"
"""The scene frame on which the take's first frame falls; before the strip's start if it was trimmed."""
WAS_START = "wan_vse_was_start"
WAS_LENGTH = "wan_vse_was_length"
"""Start and length of a placeholder, in frames of the scene, when it was last looked at."""
DECLINED = "wan_vse_declined"
"""Set on a placeholder whose take was placed and undone: the take is not placed again by itself."""
SEARCH = "wan_vse_seam_retry"
"""What timeline.seam_retry keeps of the takes that are made for one of a strip's seams."""

PLACEHOLDER_ROLE = "placeholder"
TAKE_ROLE = "take"
SWEPT_AT_ONCE = 100
"""About a millisecond's worth of strips."""


class Marked(NamedTuple):
    """A strip with a job; valid only during one tick, since Blender may move strips in memory."""

    scene: bpy.types.Scene
    strip: compat.Strip
    collection: compat.Collection
    job_id: str
    """The job that the strip waits for or shows."""
    is_placeholder: bool
    """True if the strip waits for its take."""

    @property
    def declined(self) -> bool:
        """True if the take was placed and undone before the file was saved."""
        return untrusted.flag_in(self.strip, DECLINED)

    @property
    def strip_id(self) -> str:
        """The strip's own id; empty if it has none."""
        return untrusted.id_in(self.strip, STRIP)

    @property
    def request_text(self) -> str:
        """The request as the strip keeps it, to be parsed by `untrusted.request`."""
        return untrusted.text_in(self.strip, REQUEST)


def mark_placeholder(strip: compat.Strip, job_id: str, request_json: str) -> None:
    """Tie a new placeholder to its job."""
    strip[JOB], strip[STRIP], strip[ROLE] = job_id, new_id(), PLACEHOLDER_ROLE
    strip[REQUEST] = request_json
    strip[FIRST] = compat.start(strip)
    _remember(strip)


def mark_take(strip: compat.Strip, job_id: str, request_json: str, take_json: str) -> None:
    """Tie a take to its job, with everything that is needed to make it again."""
    strip[STRIP], strip[ROLE] = new_id(), TAKE_ROLE
    show_take(strip, job_id, request_json, take_json)


def show_take(strip: compat.Strip, job_id: str, request_json: str, take_json: str) -> None:
    """Let the strip say of which job its pictures are, and that they are generated."""
    strip[JOB], strip[REQUEST], strip[TAKE] = job_id, request_json, take_json
    strip_mark.write(strip, request_json, take_json)


def new_id() -> str:
    """Make an id for a strip."""
    return uuid.uuid4().hex


def marked(scene: bpy.types.Scene) -> Iterator[Marked]:
    """Every strip of the scene that has a job."""
    for collection in strip_columns.collections(scene):
        for strip in collection:
            found = _read(scene, collection, strip)
            if found is not None:
                yield found


def _read(scene: bpy.types.Scene, collection: compat.Collection, strip: compat.Strip) -> Marked | None:
    job_id = untrusted.id_in(strip, JOB)
    role = role_of(strip) if job_id else ""
    return Marked(scene, strip, collection, job_id, role == PLACEHOLDER_ROLE) if role else None


def request_of(strip: compat.Strip | None) -> TakeRequest | None:
    """The request that `strip` was made for; None if the strip is not ours or its request is not valid."""
    text = untrusted.text_in(strip, REQUEST) if strip is not None else ""
    return untrusted.request(text) if text else None


def role_of(strip: compat.Strip) -> str:
    """PLACEHOLDER_ROLE or TAKE_ROLE; empty if the strip is not one of ours."""
    role = strip.get(ROLE)
    return role if isinstance(role, str) and role in (PLACEHOLDER_ROLE, TAKE_ROLE) else ""


def all_marked() -> list[Marked]:
    """Every strip of the open file that has a job."""
    return [found for scene in _own_scenes() for found in marked(scene)]


def _own_scenes() -> list[bpy.types.Scene]:
    return [scene for scene in bpy.data.scenes if scene.library is None]


def all_collections() -> list[compat.Collection]:
    """The timelines of the open file's own scenes, and the insides of their meta strips."""
    return [collection for scene in _own_scenes() for collection in strip_columns.collections(scene)]


def count_unrecognized() -> int:
    """How many strips of the open file have a job's mark that this add-on did not write; they are ignored."""
    strips = [strip for collection in all_collections() for strip in strip_columns.carrying(collection, JOB)]
    return sum(not (untrusted.id_in(strip, JOB) and role_of(strip)) for strip in strips)


def find(strip_id: str) -> Marked | None:
    """The strip with this id, wherever it is in the open file.

    It is looked for first under the name that it had the last time: some are asked for whenever anything has changed.
    """
    found = _found_again(strip_id)
    if found is not None:
        return found
    for scene in _own_scenes():
        for strip, collection in strip_columns.walk(scene):
            if strip.get(STRIP) == strip_id and (found := _read(scene, collection, strip)) is not None:
                if len(_last_found) >= _MOST_REMEMBERED:
                    _last_found.clear()
                _last_found[strip_id] = scene.name, strip.name
                return found
    return None


_last_found: dict[str, tuple[str, str]] = {}
"""By id, the names of the scene and the strip. They may have changed since: the id decides."""
_MOST_REMEMBERED = 1 << 12


def _found_again(strip_id: str) -> Marked | None:
    """The strip, if it still is in the same scene under the same name."""
    names = _last_found.get(strip_id)
    scene = compat.own_scene(names[0]) if names is not None else None
    strip: Any = compat.strip_named(scene, names[1]) if names is not None and scene is not None else None
    if scene is None or strip is None or strip.get(STRIP) != strip_id:
        return None
    meta = strip.parent_meta()
    return _read(scene, compat.top_strips(scene) if meta is None else compat.strips(meta), strip)


_swept: tuple[object, ...] = ()
"""The places of all strips at the last sweep."""


def sweep(replaced: bool = False) -> list[Marked]:
    """Give each strip with a job an id of its own, and update where each placeholder's take begins; returns the strips.

    Copies, parts of a split and copied scenes come with the id of their original: all but the first get a new one.
    Nothing is done while no strip was added, removed or moved, unless the strips were `replaced`, as by an undo.
    """
    return [found for swept in Sweep(replaced).run() for found in swept]


class Sweep:
    """`sweep` in slices; no strip is held from one `run` to the next."""

    def __init__(self, replaced: bool = False) -> None:
        self._replaced = replaced
        self._places: tuple[object, ...] | None = None
        self._begin()

    def _begin(self) -> None:
        self.done = False
        self._ids: set[str] = set()
        self._collection = self._strip = 0

    def is_current(self) -> bool:
        """True if no strip was added, removed or moved since it began; else the next `run` begins anew."""
        places = _places()
        if places == self._places:
            return True
        self._places = places
        self._begin()
        return False

    def run(self, deadline: float = math.inf) -> Iterator[list[Marked]]:
        """The strips with a job, SWEPT_AT_ONCE strips at a time, until `deadline` (of time.perf_counter) or the end."""
        global _swept
        if self._places is None:
            self._places = _places()
        changes = self._replaced or self._places != _swept
        collections = [(scene, each) for scene in _own_scenes() for each in strip_columns.collections(scene)]
        while self._collection < len(collections):
            scene, collection = collections[self._collection]
            strips = collection[self._strip : self._strip + SWEPT_AT_ONCE]
            self._strip += SWEPT_AT_ONCE
            if len(strips) < SWEPT_AT_ONCE:
                self._collection, self._strip = self._collection + 1, 0
            marked_here = [found for strip in strips if (found := _read(scene, collection, strip)) is not None]
            if changes:
                for each in marked_here:
                    self._renew(each)
            yield marked_here
            if time.perf_counter() > deadline:
                return
        _swept, self.done = self._places, True

    def _renew(self, each: Marked) -> None:
        strip_id = each.strip_id
        if strip_id in self._ids and SEARCH in each.strip:
            del each.strip[SEARCH]  # it goes on with the original
        if not strip_id or strip_id in self._ids:
            strip_id = each.strip[STRIP] = new_id()
        self._ids.add(strip_id)
        if each.is_placeholder:
            _follow(each.strip)


def _places() -> tuple[object, ...]:
    """Where every strip of the open file lies; read as columns, since it is compared at every tick."""
    scenes = _own_scenes()
    places: list[object] = [scene.as_pointer() for scene in scenes]
    for scene in scenes:
        for collection in strip_columns.collections(scene):
            starts, ends_exclusive, channels, _ = strip_columns.places(collection)
            places.append(b"".join(row.tobytes() for row in (starts, ends_exclusive, channels)))
    return tuple(places)


def offset_frames(strip: compat.Strip) -> int:
    """How many of the take's first frames the placeholder doesn't cover, as it is trimmed or split now."""
    return max(0, compat.start(strip) - untrusted.frame_in(strip, FIRST, compat.start(strip)))


def _follow(strip: compat.Strip) -> None:
    """Update where the placeholder's take begins: it moves along with a placeholder, and stays when that is trimmed.

    Blender keeps no hidden media for a color strip, so that only the length tells moving from trimming.
    """
    start, length = compat.start(strip), compat.length_frames(strip)
    was_start, was_length = untrusted.frame_in(strip, WAS_START, start), untrusted.frame_in(strip, WAS_LENGTH, length)
    if (start, length) == (was_start, was_length):
        return
    if length == was_length:
        strip[FIRST] = _near(untrusted.frame_in(strip, FIRST, was_start) + start - was_start)
    elif length > was_length and start < untrusted.frame_in(strip, FIRST, start):
        strip[FIRST] = start  # pulled out beyond where it began: the take begins there
    _remember(strip)


def _near(frame: int) -> int:
    """The nearest frame that a property can hold, however large the numbers in an untrusted file are."""
    return max(1 - bounds.LAST_FRAME, min(frame, bounds.LAST_FRAME - 1))


def _remember(strip: compat.Strip) -> None:
    strip[WAS_START], strip[WAS_LENGTH] = compat.start(strip), compat.length_frames(strip)
