"""Operators that set up and restart the backend, free its memory, and show its log and the preferences."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import WorkerState
from ...wan_backend.protocol.sentences import as_sentence
from .. import preferences
from ..jobs import card_choice, folders, session
from ..properties import panel_state_of
from ..stopwatch import timed
from ..translation import translated
from . import text_editors
from .refusing import Refusing, Result

LOG_NAME = "Wan VSE Log"
SHOWN_LOG_BYTES = 200_000
"""Of the end of a log, where what went wrong stands."""


class WAN_VSE_OT_setup_backend(Refusing, bpy.types.Operator):
    """Set up the backend's environment on this machine. You see the download size before anything is downloaded"""

    bl_idname = "wan_vse.setup_backend"
    bl_label = "Wan: Set Up Backend"
    bl_options: ClassVar = {"REGISTER"}

    _timer: bpy.types.Timer | None = None

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if not bpy.app.online_access:
            return "Blender is offline: check Allow Online Access above this button, or in its preferences under System"
        return "The backend is already being set up" if session.current().setup.state == "running" else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask what would be done, and wait for the answer without blocking the window."""
        session.current().setup.ask(folders.backend_settings())
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        state = session.current().setup.state
        if event.type != "TIMER" or state == "planning":
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        if state == "planned":
            ours: Any = bpy.ops.wan_vse  # type: ignore[attr-defined]  # Blender's types don't know it
            ours.confirm_setup("INVOKE_DEFAULT")
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> Result:
        """Begin at once, for a script: with a window, Blender calls `invoke`."""
        session.current().setup.create(folders.backend_settings())
        return {"FINISHED"}


class WAN_VSE_OT_confirm_setup(Refusing, bpy.types.Operator):
    """Download and install what was just described"""

    bl_idname = "wan_vse.confirm_setup"
    bl_label = "Wan: Download and Install Backend"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        setup = session.current().setup
        if setup.state != "planned" or setup.plan is None:
            return "Press Set Up Backend first"
        return as_sentence(setup.plan.problem.sentence).unended() if setup.plan.problem else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        return context.window_manager.invoke_props_dialog(
            self, width=420, title="Set Up Backend", confirm_text="Download and Install"
        )

    def draw(self, context: bpy.types.Context) -> None:
        plan = session.current().setup.plan
        if plan is None:
            return
        lines = self.layout.column(align=True)
        for line in textwrap.wrap(translated(plan.sentence), 64, break_long_words=False):
            lines.label(text=line, translate=False)
        facts = self.layout.column(align=True)
        if plan.torch_build == "cpu":
            facts.label(text="For the processor, as no supported graphics card was found: takes are slow.", icon="INFO")
        facts.label(text="Blender's own Python is not touched.", icon="LOCKED")

    def execute(self, context: bpy.types.Context) -> Result:
        session.current().setup.create(folders.backend_settings())
        return {"FINISHED"}


class WAN_VSE_OT_cancel_setup(Refusing, bpy.types.Operator):
    """Stop setting up the backend. What was downloaded is kept for the next try"""

    bl_idname = "wan_vse.cancel_setup"
    bl_label = "Wan: Cancel Setup"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if session.current().setup.state in ("planning", "planned", "running") else "Nothing is being set up"

    def execute(self, context: bpy.types.Context) -> Result:
        session.current().setup.cancel()
        return {"FINISHED"}


class WAN_VSE_OT_restart_backend(Refusing, bpy.types.Operator):
    """Restart the backend with the current preferences. Waiting jobs stay in the queue"""

    bl_idname = "wan_vse.restart_backend"
    bl_label = "Wan: Restart Backend"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "The backend is being set up" if session.current().setup.state == "running" else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        if session.current().order().going_on:
            return context.window_manager.invoke_confirm(self, event)
        return self.execute(context)

    @timed("operator restart_backend")
    def execute(self, context: bpy.types.Context) -> Result:
        panel_state_of(context).restart_needed = False
        session.current().restart()
        return {"FINISHED"}


class WAN_VSE_OT_reset_backend(Refusing, bpy.types.Operator):
    """Clear the backend that the preferences name, and use the one that was set up here"""

    bl_idname = "wan_vse.reset_backend"
    bl_label = "Wan: Use the Backend That Was Set Up"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if preferences.get().backend_command else "The preferences name no backend"

    @timed("operator reset_backend")
    def execute(self, context: bpy.types.Context) -> Result:
        preferences.get().backend_command = ""  # which restarts the backend, unless that would lose work
        if session.current().server.is_out_of_reach:
            panel_state_of(context).restart_needed = False
            session.current().restart()
        return {"FINISHED"}


class WAN_VSE_OT_free_card(Refusing, bpy.types.Operator):
    """Free the card's memory for other programs. The next job loads the model again"""

    bl_idname = "wan_vse.free_card"
    bl_label = "Wan: Free Card Memory"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        current = session.current()
        states = {worker.state for worker in current.server.workers} - {WorkerState.NONE, WorkerState.BROKEN}
        if current.server.status.state != "ready" or not states:
            return "No model is loaded"
        return "A job is using the card: cancel it first" if states == {WorkerState.BUSY} else ""

    @timed("operator free_card")
    def execute(self, context: bpy.types.Context) -> Result:
        session.current().server.free_card()
        return {"FINISHED"}


class WAN_VSE_OT_use_card(bpy.types.Operator):
    """Make takes on this graphics card, or leave it to other programs. At least one card is used"""

    bl_idname = "wan_vse.use_card"
    bl_label = "Wan: Use Graphics Card"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    card: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The card's UUID."""

    @timed("operator use_card")
    def execute(self, context: bpy.types.Context) -> Result:
        here = [row.card for row in session.current().server.cards]
        wanted = preferences.get()
        text = card_choice.toggled(wanted.cards, self.card, here)
        if self.card not in here or text == wanted.cards:
            return {"CANCELLED"}
        wanted.cards = text  # which restarts the backend, unless that would lose work
        return {"FINISHED"}


class WAN_VSE_OT_open_log(Refusing, bpy.types.Operator):
    """Open the log in the default text viewer, or in Blender where there is none, and copy its path"""

    bl_idname = "wan_vse.open_log"
    bl_label = "Wan: Open Log"
    bl_options: ClassVar = {"REGISTER"}

    path: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The path of the log; empty for the backend's own."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        current = session.current()
        known = current.server.status.log or current.setup.log or current.order().count
        return "" if known else "There is no log yet"

    def execute(self, context: bpy.types.Context) -> Result:
        path = self.path or session.current().server.status.log or session.current().setup.log
        if not os.path.isfile(path):
            self.report({"WARNING"}, rpt_("There is no log at {}.").format(path) if path else "Nothing was logged yet.")
            return {"CANCELLED"}
        context.window_manager.clipboard = path
        if _has_viewer():
            bpy.ops.wm.path_open(filepath=path)
        else:
            try:
                text = _text_of(path)
            except OSError as error:
                self.report({"WARNING"}, rpt_("{} can't be read: {}.").format(path, error.strerror or error))
                return {"CANCELLED"}
            text_editors.show(context, text)
        self.report({"INFO"}, rpt_("The log's path is on the clipboard: {}").format(path))
        return {"FINISHED"}


def _has_viewer() -> bool:
    """Whether the system can open a text; Blender doesn't say so if that fails."""
    return sys.platform in ("win32", "darwin") or shutil.which("xdg-open") is not None


def _text_of(path: str) -> bpy.types.Text:
    """The end of a log as a text of Blender, in place of the one before. Raises OSError."""
    with open(path, "rb") as stream:
        stream.seek(max(0, os.path.getsize(path) - SHOWN_LOG_BYTES))
        content = stream.read().decode(errors="replace")
    text = bpy.data.texts.get(LOG_NAME) or bpy.data.texts.new(LOG_NAME)
    text.from_string(content)
    return text


class WAN_VSE_OT_open_preferences(bpy.types.Operator):
    """Show the preferences of Wan VSE: the backend, the models, the device and where takes are kept"""

    bl_idname = "wan_vse.open_preferences"
    bl_label = "Wan: Open Preferences"
    bl_options: ClassVar = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> Result:
        bpy.ops.preferences.addon_show(module=preferences.PACKAGE)
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_setup_backend,
    WAN_VSE_OT_confirm_setup,
    WAN_VSE_OT_cancel_setup,
    WAN_VSE_OT_restart_backend,
    WAN_VSE_OT_reset_backend,
    WAN_VSE_OT_free_card,
    WAN_VSE_OT_use_card,
    WAN_VSE_OT_open_log,
    WAN_VSE_OT_open_preferences,
)
