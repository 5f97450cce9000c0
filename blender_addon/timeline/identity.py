"""The custom properties that tie a strip to its job. They survive saving, copying, splitting and undo.

A strip is never kept as a Python reference from one tick to the next: it is found again by its id. The properties are
read through `untrusted` alone: a strip whose properties are not as this add-on writes them is not one of ours.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import NamedTuple

import bpy

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.messages import TakeRequest
from . import compat, strip_columns, untrusted

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

PLACEHOLDER_ROLE = "placeholder"
TAKE_ROLE = "take"


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
    strip[JOB], strip[STRIP], strip[ROLE] = job_id, new_id(), TAKE_ROLE
    strip[REQUEST], strip[TAKE] = request_json, take_json


def new_id() -> str:
    """Make an id for a strip."""
    return uuid.uuid4().hex


def marked(scene: bpy.types.Scene) -> Iterator[Marked]:
    """Every strip of the scene that has a job."""
    for collection in strip_columns.collections(scene):
        for strip in collection:
            job_id = untrusted.id_in(strip, JOB)
            role = role_of(strip) if job_id else ""
            if role:
                yield Marked(scene, strip, collection, job_id, role == PLACEHOLDER_ROLE)


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
    scenes = [scene for scene in bpy.data.scenes if scene.library is None]
    return [found for scene in scenes for found in marked(scene)]


def count_unrecognized() -> int:
    """How many strips of the open file have a job's mark that this add-on did not write; they are ignored."""
    scenes = [scene for scene in bpy.data.scenes if scene.library is None]
    collections = [collection for scene in scenes for collection in strip_columns.collections(scene)]
    strips = [strip for collection in collections for strip in strip_columns.carrying(collection, JOB)]
    return sum(not (untrusted.id_in(strip, JOB) and role_of(strip)) for strip in strips)


def find(strip_id: str) -> Marked | None:
    """The strip with this id, wherever it is in the open file."""
    return next((found for found in all_marked() if found.strip_id == strip_id), None)


_swept: tuple[object, ...] = ()
"""The places of all strips at the last sweep."""


def sweep(replaced: bool = False) -> list[Marked]:
    """Give each strip with a job an id of its own, and update where each placeholder's take begins; returns the strips.

    Copies, parts of a split and copied scenes come with the id of their original: all but the first get a new one.
    Nothing is done while no strip was added, removed or moved, unless the strips were `replaced`, as by an undo.
    """
    global _swept
    found = all_marked()
    places = _places()
    if places == _swept and not replaced:
        return found
    ids: set[str] = set()
    for each in found:
        strip_id = each.strip_id
        if not strip_id or strip_id in ids:
            strip_id = each.strip[STRIP] = new_id()
        ids.add(strip_id)
        if each.is_placeholder:
            _follow(each.strip)
    _swept = places
    return found


def _places() -> tuple[object, ...]:
    """Where every strip of the open file lies; read as columns, since it is compared at every tick."""
    scenes = [scene for scene in bpy.data.scenes if scene.library is None]
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
