"""Which strips of the shown timeline are placeholders and takes of which job, read at most a few times a second.

Draws ask at every redraw, and a walk over thousands of strips costs milliseconds. No strip is kept, only indices and
words; what is drawn may lag behind by a moment.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import bpy

from ..timeline import compat, identity

KEPT_SECONDS = 0.4


@dataclass(frozen=True)
class _Marks:
    of: tuple[int, int]
    """The scene, and how many strips it showed."""
    until: float
    roles: dict[str, set[str]] = field(default_factory=dict)


_marks: _Marks | None = None


def roles_of(scene: bpy.types.Scene, job_id: str) -> set[str]:
    """The roles of the strips that the timeline shows of that job."""
    global _marks
    shown = compat.shown_strips(scene)
    of = (scene.as_pointer(), len(shown))
    if _marks is None or _marks.of != of or time.monotonic() > _marks.until:
        roles: dict[str, set[str]] = {}
        for strip in shown:
            marked = strip.get(identity.JOB)
            if marked is not None:
                roles.setdefault(str(marked), set()).add(str(strip.get(identity.ROLE, "")))
        until = time.monotonic() + (0.0 if bpy.app.background else KEPT_SECONDS)
        _marks = _Marks(of, until, roles)
    return _marks.roles.get(job_id, set())
