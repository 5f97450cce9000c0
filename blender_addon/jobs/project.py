"""Which file a job belongs to: the .blend's path, and an id kept in the file for as long as it has no path."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

import bpy

from ...wan_backend.protocol.messages import Origin, TakeRequest
from ..timeline import path_rules, untrusted

KEY = "wan_vse_project"
"""A custom property of the scenes; it goes along through save as."""

_next_id = uuid.uuid4().hex
_ours: set[str] = set()
"""The ids that the file came with or was given since. A scene that is appended later has another film's."""


def ids() -> set[str]:
    """The ids of the open file; empty before its first job."""
    return _written() & _ours


def id_to_be() -> str:
    """The open file's id, or the one that `ensure` will give it. Changes nothing."""
    return min(ids(), default=_next_id)


def ensure() -> str:
    """The open file's id, written into every scene that lacks one."""
    project_id = id_to_be()
    _ours.add(project_id)
    for scene in bpy.data.scenes:
        if scene.library is None and untrusted.id_in(scene, KEY) not in _ours:
            scene[KEY] = project_id
    return project_id


def at_home(request: TakeRequest, scene: bpy.types.Scene) -> TakeRequest:
    """The request with the open file as its origin, which gets its id with that."""
    planned, real = id_to_be(), ensure()
    origin = replace(request.origin, project=path(), project_id=real, scene=scene.name_full)
    return replace(request, origin=origin, media_folder=request.media_folder.replace(planned, real))


def forget() -> None:
    """Another file was loaded: its ids are those that it has now, and the next one is new."""
    global _next_id
    _next_id = uuid.uuid4().hex
    _ours.clear()
    _ours.update(_written())


def _written() -> set[str]:
    """The ids that the file's own scenes have; those that are linked are another film's."""
    own = (scene for scene in bpy.data.scenes if scene.library is None)
    return {found for scene in own if (found := untrusted.id_in(scene, KEY))}


def path() -> str:
    """The open file's absolute path; empty while it was never saved."""
    return os.path.abspath(bpy.data.filepath) if bpy.data.filepath else ""


def is_origin(origin: Origin, home: str = "") -> bool:
    """True where a job of this origin belongs to the open file.

    The path decides: the origin's, or `home`, the one that its file was saved under since. The id decides where the
    job's file was never saved, or is no longer there (it was renamed or moved).
    """
    theirs, ours = home or origin.project, path()
    if path_rules.are_same(theirs, ours):
        return True
    if not origin.project_id or origin.project_id not in ids():
        return False
    return not theirs or not os.path.exists(theirs)
