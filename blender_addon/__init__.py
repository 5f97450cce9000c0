"""Wan VSE's add-on: the part that runs inside Blender, without threads and without packages of its own.

Panels (ui) call operators, these the jobs, and the jobs the timeline and the backend. `properties` and `preferences`
hold what a person sets.
"""

from __future__ import annotations

from . import languages, operators, preferences, properties, ui
from .jobs import session

_PARTS = (languages, properties, preferences, operators, ui, session)
"""The parts in the order in which they are registered; they are undone backwards, so that the backend ends first."""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    done = []
    try:
        for part in _PARTS:
            part.register()
            done.append(part)
    except BaseException:
        for part in reversed(done):  # half an add-on can neither be used nor enabled again
            part.unregister()
        raise


def unregister() -> None:
    """Called by Blender when the extension is disabled, and when Blender leaves."""
    for part in reversed(_PARTS):
        part.unregister()
