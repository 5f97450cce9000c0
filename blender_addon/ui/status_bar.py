"""Blender's status bar: how many takes are being made, and for a while, that one has landed.

Blender has no other way to say something that no operator has done: a report from a timer is shown nowhere.
"""

from __future__ import annotations

import time
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import JobStatus
from ..jobs import session
from ..operators import retry_seams
from ..operators.queue_jobs import seconds_left, trains_now
from ..stopwatch import timed
from . import wording
from .announcement import Announcer

NOTICE_SECONDS = 10.0
MAX_TITLE = 40

_landed: list[JobStatus] = []
"""The takes that have landed since the notice was last empty."""
_said = ""
"""What came of a seam that was retried, in a sentence."""
_until = 0.0
"""When the notice goes, of time.monotonic()."""
_announcer = Announcer()
_shown = ""
"""What the status bar showed when it was last asked to draw."""


def register() -> None:
    """Add to the status bar."""
    header: Any = bpy.types.STATUSBAR_HT_header
    header.append(_draw)


def unregister() -> None:
    """Leave the status bar as it was."""
    global _shown, _said, _until, _announcer
    header: Any = bpy.types.STATUSBAR_HT_header
    header.remove(_draw)
    if bpy.app.timers.is_registered(_end_notice):
        bpy.app.timers.unregister(_end_notice)
    _landed.clear()
    _announcer = Announcer()
    _shown, _said, _until = "", "", 0.0


def refresh() -> None:
    """Note what has landed, and redraw the status bar where its words changed."""
    global _shown, _said, _until
    landings, ended = session.current().file.pop_landings(), retry_seams.pop_ended()
    if landings or ended:
        _landed.extend(landings)
        _said = ended[-1] if ended else _said
        _until = time.monotonic() + NOTICE_SECONDS
        if not bpy.app.timers.is_registered(_end_notice):
            bpy.app.timers.register(_end_notice, first_interval=NOTICE_SECONDS)
    _announcer.follow(len(landings))
    words = notice() + going_on()
    if words != _shown:
        _shown = words
        _redraw()


def notice() -> str:
    """What has just landed, or came of a seam that was retried; empty if that is a while ago."""
    if _said:
        return _said
    if not _landed:
        return ""
    if len(_landed) > 1:
        return iface_("{:,} takes have landed; undo leaves them on the timeline").format(len(_landed))
    job = _landed[0]
    title = wording.one_line(wording.title(job.summary.title, job.summary.task), MAX_TITLE)
    return iface_("A take has landed: {}; undo leaves it on the timeline").format(title)


def going_on() -> str:
    """How many takes are being made; empty if none is."""
    count = session.current().order().to_make
    if session.current().server.paused:
        return iface_("The queue is paused") if count else ""
    return wording.takes_being_made(count, seconds_left(), trains_now()) if count else ""


def _end_notice() -> float | None:
    global _said
    left = _until - time.monotonic()
    if left > 0:
        return left
    _landed.clear()
    _said = ""
    refresh()
    return None


def _draw(header: Any, context: bpy.types.Context) -> None:
    with timed("draw: status bar"):
        landed, making = notice(), going_on()
        if landed:
            header.layout.label(text=landed, icon="CHECKMARK", translate=False)
        if making:
            icon = "PAUSE" if session.current().server.paused else "RENDER_ANIMATION"
            header.layout.label(text=making, icon=icon, translate=False)


def _redraw() -> None:
    """Ask for another draw of the status bar, which is in no screen's list of areas."""
    context: Any = bpy.context
    manager = context.window_manager
    for window in manager.windows if manager is not None else ():
        if window.modal_operators:  # one of these may show its keys there, which this would clear
            continue
        with context.temp_override(window=window):
            window.workspace.status_text_set_internal(None)
