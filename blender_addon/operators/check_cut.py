"""Says what in the cut is not finished: placeholders and drafts in the frames that would be rendered.

A render is never held up: it says so as it begins, and goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import bpy
from bpy.app.handlers import persistent
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Quality
from ..stopwatch import timed
from ..timeline import compat, free_space, identity, strip_columns
from .refusing import Refusing, Result, timeline_refusal

log = logging.getLogger(__name__)

SHOWN_SECONDS = 20.0
MAX_NAMES = 3


@dataclass(frozen=True)
class Unfinished:
    """The names of strips in the rendered range."""

    placeholders: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.placeholders or self.drafts)


def unfinished(scene: bpy.types.Scene, start: int, end_exclusive: int) -> Unfinished:
    """The placeholders and drafts that are seen in [start, end_exclusive), also those inside meta strips."""
    editor = scene.sequence_editor
    waiting = [] if editor is None else [(editor, start, end_exclusive)]
    placeholders, drafts = [], []
    while waiting:
        owner, first, end = waiting.pop()
        collection, closed = compat.strips(owner), free_space.closed_channels(owner)
        columns = strip_columns.columns(collection)
        there = set(columns.overlapping(first, end))
        for index, strip in enumerate(collection):
            if index not in there or columns.mutes[index] or columns.channels[index] in closed:
                continue
            if strip.type == "META":
                waiting.append((strip, max(first, compat.start(strip)), min(end, compat.end_exclusive(strip))))
            role = identity.role_of(strip)
            if role == identity.PLACEHOLDER_ROLE:
                placeholders.append(strip.name)
            elif role == identity.TAKE_ROLE and _is_draft(strip):
                drafts.append(strip.name)
    return Unfinished(tuple(placeholders), tuple(drafts))


def _is_draft(strip: compat.Strip) -> bool:
    made = identity.request_of(strip)
    return made is not None and made.quality is Quality.DRAFT


def rendered_range(scene: bpy.types.Scene) -> tuple[int, int]:
    """The frames [start, end_exclusive) that an animation would be rendered of."""
    return scene.frame_start, scene.frame_end + 1


def sentence(found: Unfinished) -> str:
    """What was found, in a sentence; that all is finished where nothing was."""
    parts = []
    if found.placeholders:
        one = len(found.placeholders) == 1
        words = (
            iface_("1 strip is still a placeholder ({})") if one else iface_("{} strips are still placeholders ({})")
        )
        parts.append(words.format(*([] if one else [len(found.placeholders)]), _names(found.placeholders)))
    if found.drafts:
        one = len(found.drafts) == 1
        words = iface_("1 take is a draft ({})") if one else iface_("{} takes are drafts ({})")
        parts.append(words.format(*([] if one else [len(found.drafts)]), _names(found.drafts)))
    if not parts:
        return iface_("No placeholder and no draft is in the frames that are rendered.")
    return iface_("{}.").format(iface_(", and ").join(parts))


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:MAX_NAMES])
    more = len(names) - MAX_NAMES
    return iface_("{} and {} more").format(shown, more) if more > 0 else shown


class WAN_VSE_OT_check_cut(Refusing, bpy.types.Operator):
    """Look for placeholders and drafts in the frames that would be rendered, and select them"""

    bl_idname = "wan_vse.check_cut"
    bl_label = "Wan: Check Cut"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator check_cut")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        found = unfinished(scene, *rendered_range(scene))
        if found:
            names = {*found.placeholders, *found.drafts}
            for strip in compat.shown_strips(scene):
                strip.select = strip.name in names
        self.report({"WARNING"} if found else {"INFO"}, sentence(found))
        return {"FINISHED"}


class WAN_VSE_OT_warn_of_unfinished(bpy.types.Operator):
    """Say what in the rendered frames is not finished"""

    bl_idname = "wan_vse.warn_of_unfinished"
    bl_label = "Wan: Warn of Unfinished Takes"
    bl_options: ClassVar = {"INTERNAL"}

    text: bpy.props.StringProperty(name="Text", description="What to say", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> Result:
        self.report({"WARNING"}, self.text)
        return {"FINISHED"}


_to_say = ""


@timed("handler: render_init")
def _render_begins(scene: Any, *_: object) -> None:
    """Note what is to be said; Blender takes no report while it begins to render."""
    global _to_say
    if not isinstance(scene, bpy.types.Scene) or not scene.render.use_sequencer or scene.sequence_editor is None:
        return
    found = unfinished(scene, *rendered_range(scene))
    if not found:
        return
    _to_say = sentence(found)
    log.warning("Rendering: %s", _to_say)
    if not bpy.app.background and not bpy.app.timers.is_registered(_say):
        bpy.app.timers.register(_say, first_interval=0.1)


def _say() -> None:
    """Report it where reports are seen: in the status bar, and in the Info editor."""
    global _to_say
    text, _to_say = _to_say, ""
    windows = bpy.context.window_manager.windows
    context: Any = bpy.context
    operators: Any = bpy.ops
    if text and len(windows):
        with context.temp_override(window=windows[0]):
            operators.wan_vse.warn_of_unfinished("INVOKE_DEFAULT", text=rpt_("Rendering all the same: {}").format(text))


_at_render = persistent(_render_begins)


def register_handlers() -> None:
    """Look when a render begins."""
    bpy.app.handlers.render_init.append(_at_render)


def unregister_handlers() -> None:
    """Take that back."""
    if _at_render in bpy.app.handlers.render_init:
        bpy.app.handlers.render_init.remove(_at_render)
    if bpy.app.timers.is_registered(_say):
        bpy.app.timers.unregister(_say)


CLASSES = (WAN_VSE_OT_check_cut, WAN_VSE_OT_warn_of_unfinished)
