"""What the .blend itself records of jobs: which of them are its own, and which of them ended.

A job belongs to the file by the .blend's path, and by an id in the file for as long as it has no path. The ends are in
the file because the server may not be told: no tick comes after Save and Quit. When the file is opened again, they are
passed on, so that a take that was deleted before that save, or whose placeholder was while its job went on,
is settled and doesn't come back.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable
from dataclasses import replace

import bpy

from ...wan_backend.protocol.messages import Origin, TakeRequest
from ..timeline import compat, path_rules, shots, untrusted

KEY = "wan_vse_project"
"""A custom property of the scenes; it stays through Save As."""

ENDS_KEY = "wan_vse_known_ends"
"""A custom property of a scene: a JSON list of job ids."""
MAX_ENDS = 1000
"""Ends that the server has confirmed are not kept, so that there are seldom more than a few."""
_MAX_ENDS_CHARACTERS = 64 * MAX_ENDS
_JOB_ID = re.compile(r"[0-9a-f]{32}")

_next_id = uuid.uuid4().hex
_ours: set[str] = set()
"""The ids that the file had when it was loaded, or got since. A scene that is appended later has another film's id."""


def ids() -> set[str]:
    """The ids of the open file; empty before its first job."""
    return _written() & _ours


def id_to_be() -> str:
    """The open file's id, or the one that `ensure` will write. Changes nothing."""
    return min(ids(), default=_next_id)


def ensure() -> str:
    """The open file's id, written into every scene that lacks one."""
    project_id = id_to_be()
    _ours.add(project_id)
    for scene in bpy.data.scenes:
        if scene.library is None and untrusted.id_in(scene, KEY) not in _ours:
            scene[KEY] = project_id
    return project_id


def with_own_origin(request: TakeRequest, scene: bpy.types.Scene) -> TakeRequest:
    """The request with the open file as its origin, and the shot there. Writes the file's id into its scenes."""
    planned, real = id_to_be(), ensure()
    shot = shots.Marks(compat.top_strips(scene)).at(request.origin.start)
    origin = replace(request.origin, project=path(), project_id=real, scene=scene.name_full, shot=shot)
    return replace(request, origin=origin, media_folder=request.media_folder.replace(planned, real))


def forget() -> None:
    """Read the ids again, because another file was loaded."""
    global _next_id
    _next_id = uuid.uuid4().hex
    _ours.clear()
    _ours.update(_written())


def _written() -> set[str]:
    """The ids in the file's own scenes; linked scenes belong to another film."""
    own = (scene for scene in bpy.data.scenes if scene.library is None)
    return {found for scene in own if (found := untrusted.id_in(scene, KEY))}


def path() -> str:
    """The open file's absolute path; empty while it was never saved."""
    return os.path.abspath(bpy.data.filepath) if bpy.data.filepath else ""


def is_origin(origin: Origin, saved_as: str = "") -> bool:
    """True if a job of this origin belongs to the open file.

    The path decides: the origin's, or `saved_as`, the one that its file was saved under since. The id decides where the
    job's file was never saved, or is no longer there (it was renamed or moved).
    """
    theirs, ours = saved_as or origin.project, path()
    if path_rules.are_same(theirs, ours):
        return True
    if not origin.project_id or origin.project_id not in ids():
        return False
    return not theirs or not os.path.exists(theirs)


def write_ends(job_ids: Iterable[str]) -> None:
    """Write into the open file, in place of what is there, that these jobs ended; the first ones of too many."""
    kept = list(dict.fromkeys(job_ids))[:MAX_ENDS]
    for scene in bpy.data.scenes:
        if scene.library is not None:
            continue
        if kept:
            scene[ENDS_KEY] = json.dumps(kept)
            kept = []  # one scene holds them
        elif scene.get(ENDS_KEY) is not None:
            del scene[ENDS_KEY]


def read_ends() -> list[str]:
    """The jobs whose ends the open file knows; it may come from anywhere, so what is no list of job ids is ignored."""
    own = [scene for scene in bpy.data.scenes if scene.library is None]
    return list(dict.fromkeys(job_id for scene in own for job_id in _parse_ends(scene.get(ENDS_KEY))))[:MAX_ENDS]


def _parse_ends(text: object) -> list[str]:
    if not isinstance(text, str) or len(text) > _MAX_ENDS_CHARACTERS:
        return []
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(values, list):
        return []
    return [value for value in values[:MAX_ENDS] if isinstance(value, str) and _JOB_ID.fullmatch(value)]
