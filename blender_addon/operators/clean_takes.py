"""Operators on takes that nothing uses: into the trash, back, and away for good. Only a person presses them."""

from __future__ import annotations

import time
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import session
from ..stopwatch import timed
from .refusing import Refusing, Result, timeline_refusal

WIDTH = 420
_LOOKING = "Still looking for what uses the takes: press again in a moment."


class WAN_VSE_OT_clean_takes(Refusing, bpy.types.Operator):
    """Move takes of this film that nothing uses into the trash of its media folder. Undo brings them back"""

    bl_idname = "wan_vse.clean_takes"
    bl_label = "Wan: Clean Up Takes"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    even_so: bpy.props.BoolProperty(
        name="Move Them Even So",
        description="Also if another film in the folder, which can't be looked through, uses them",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if session.current().cleaner.removing:
            return "Takes are being removed: wait a moment"
        return timeline_refusal(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Show what would be moved, while that is found."""
        session.current().look_for_unused()
        return context.window_manager.invoke_props_dialog(self, width=WIDTH)

    def draw(self, context: bpy.types.Context) -> None:
        """How many takes there are, how large, and what is not known of them."""
        cleaner, layout = session.current().cleaner, self.layout
        for line in _lines():
            layout.label(text=line, translate=False)
        if cleaner.unreadable and cleaner.unused():
            layout.label(text=iface_("{} can't be looked through.").format(cleaner.unreadable[0]), icon="ERROR")
            layout.prop(self, "even_so")

    @timed("operator clean_takes")
    def execute(self, context: bpy.types.Context) -> Result:
        cleaner = session.current().cleaner
        if bpy.app.background:
            session.current().look_for_unused()
            while cleaner.busy:
                cleaner.tick(time.perf_counter() + 1.0)
        if cleaner.busy:
            self.report({"WARNING"}, rpt_(_LOOKING))
            return {"CANCELLED"}
        if cleaner.unreadable and cleaner.unused() and not self.even_so:
            words = rpt_("{} may use these takes, but it can't be looked through: nothing was moved.")
            self.report({"WARNING"}, words.format(cleaner.unreadable[0]))
            return {"CANCELLED"}
        moved, refusal = cleaner.clean()
        if refusal:
            self.report({"WARNING"}, refusal)
        elif moved:
            words = rpt_("1 take is in the trash." if moved == 1 else "{} takes are in the trash.")
            self.report({"INFO"}, words.format(moved))
        else:
            self.report({"INFO"}, rpt_("Every take is used."))
        return {"FINISHED"} if moved else {"CANCELLED"}


def _lines() -> list[str]:
    """What the dialog says."""
    cleaner = session.current().cleaner
    if cleaner.busy:
        return [iface_("Looking for what uses the takes. Move the pointer to see how far it is.")]
    count = len(cleaner.unused())
    if not count:
        return [iface_("Every take of this film is used.")]
    words = "1 take that nothing uses, {}" if count == 1 else "{1} takes that nothing uses, {0}"
    return [
        iface_(words).format(_size(cleaner.size_bytes()), count),
        iface_("They go to the trash in the media folder, and come back by undo."),
        iface_("A film in another folder that uses them would miss them."),
    ]


def _size(size_bytes: int) -> str:
    if size_bytes >= 1e9:
        return iface_("{:.1f} GB").format(size_bytes / 1e9)
    return iface_("{} MB").format(max(1, round(size_bytes / 1e6)))


class _OnTrash(Refusing):
    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if session.current().cleaner.removing:
            return "Takes are being removed: wait a moment"
        return timeline_refusal(context)


class WAN_VSE_OT_bring_back_takes(_OnTrash, bpy.types.Operator):
    """Move all takes out of the trash, back to where they were"""

    bl_idname = "wan_vse.bring_back_takes"
    bl_label = "Wan: Bring Back Takes"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @timed("operator bring_back_takes")
    def execute(self, context: bpy.types.Context) -> Result:
        moved, refusal = session.current().cleaner.bring_all_back()
        if refusal:
            self.report({"WARNING"}, refusal)
        else:
            words = rpt_("1 take is back." if moved == 1 else "{} takes are back.")
            self.report({"INFO"}, words.format(moved) if moved else rpt_("The trash is empty."))
        return {"FINISHED"} if moved else {"CANCELLED"}


class WAN_VSE_OT_empty_take_trash(_OnTrash, bpy.types.Operator):
    """Remove the takes in the trash that were made for this film. This can't be undone"""

    bl_idname = "wan_vse.empty_take_trash"
    bl_label = "Wan: Empty Trash of Takes"
    bl_options: ClassVar = {"REGISTER"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        return context.window_manager.invoke_confirm(self, event)

    @timed("operator empty_take_trash")
    def execute(self, context: bpy.types.Context) -> Result:
        count = session.current().cleaner.empty()
        words = rpt_("Removing 1 take." if count == 1 else "Removing {} takes.")
        self.report({"INFO"}, words.format(count) if count else rpt_("The trash has no take of this film."))
        return {"FINISHED"} if count else {"CANCELLED"}


CLASSES = (WAN_VSE_OT_clean_takes, WAN_VSE_OT_bring_back_takes, WAN_VSE_OT_empty_take_trash)
