"""Wan VSE's add-on: what runs inside Blender. bpy, the standard library and Blender's NumPy; no torch, no threads.

Layers, imports one way: ui -> operators -> jobs -> timeline, backend -> wan_backend.protocol. `properties` and
`preferences` lie beside `operators`: they hold what a person sets, and nothing else of the add-on keeps it.
"""

from __future__ import annotations

from . import operators, preferences, properties, ui
from .jobs import session

_PARTS = (properties, preferences, operators, ui, session)
"""In the order in which they are registered; undone backwards, so that the backend ends first."""


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
