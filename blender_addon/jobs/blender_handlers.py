"""Loading, saving, undo and render, as they happen in Blender: each is passed on to the session.

Beside them stands the question whether strips may be changed now, which a render and a drag answer with no.

The end of Blender is not here: `unregister` and atexit see to it, since 4.2 has no handler for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ..stopwatch import timed
from . import script_trust

Handler = Callable[..., None]
MODAL_PREFIXES = ("TRANSFORM_OT_", "SEQUENCER_OT_", "RENDER_OT_")
"""Operators during which no strip may change: an undo step while one is dragged can crash Blender."""

_get: Callable[[], Any] | None = None
"""Returns the session; set at registration, because the session's module imports this one."""


def _stays(handler: Handler) -> Handler:
    """Keep the handler when another file is loaded, as Blender's own decorator does, which has no types."""
    kept: Handler = persistent(handler)
    return kept


@_stays
@timed("handler: load_pre")
def _load_pre(*_: object) -> None:
    file = _get().file
    file.about_to_close()
    file.loading = True


@_stays
@timed("handler: load_post")
def _load_post(*_: object) -> None:
    current = _get()
    current.file.loading = current.file.rendering = False
    script_trust.file_loaded()
    current.file_loaded()


@_stays
def _load_failed(*_: object) -> None:
    _get().file.loading = False


@_stays
@timed("handler: save_pre")
def _save_pre(*_: object) -> None:
    _get().about_to_save()


@_stays
@timed("handler: save_post")
def _save_post(*arguments: object) -> None:
    saved_as = arguments[0] if arguments and isinstance(arguments[0], str) else bpy.data.filepath
    if saved_as == bpy.data.filepath:  # a copy, as for a background render, is not the open file
        _get().file_saved()


@_stays
@timed("handler: undo")
def _undone(*_: object) -> None:
    _get().strips_changed()


@_stays
def _render_begins(*_: object) -> None:
    _get().file.rendering = True


@_stays
def _render_ends(*_: object) -> None:
    _get().file.rendering = False


_HANDLERS = {
    "load_pre": _load_pre,
    "load_post": _load_post,
    "load_post_fail": _load_failed,
    "save_pre": _save_pre,
    "save_post": _save_post,
    "undo_post": _undone,
    "redo_post": _undone,
    "render_init": _render_begins,
    "render_complete": _render_ends,
    "render_cancel": _render_ends,
}


def may_change_strips(rendering: bool = False) -> bool:
    """True if strips may be changed now: no render runs, and nobody drags one.

    `rendering` is what the handlers reported. With a window, Blender itself knows better: there a render that
    could be reported is one of its jobs, even when it ends without a report.
    """
    if bpy.app.is_job_running("RENDER") or (rendering and bpy.app.background):
        return False
    windows = bpy.context.window_manager.windows if bpy.context.window_manager else ()
    return not any(
        operator.bl_idname.startswith(MODAL_PREFIXES) for window in windows for operator in window.modal_operators
    )


def register(get: Callable[[], Any]) -> None:
    """Add the handlers; `get` returns the session."""
    global _get
    _get = get
    for name, function in _HANDLERS.items():
        listeners = getattr(bpy.app.handlers, name)
        if function not in listeners:
            listeners.append(function)


def unregister() -> None:
    """Remove the handlers."""
    for name, function in _HANDLERS.items():
        listeners = getattr(bpy.app.handlers, name)
        if function in listeners:
            listeners.remove(function)
