"""Operators that download models and their extras: plan, confirm, resume, pause and cancel."""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.sentences import as_sentence
from ..jobs import session
from ..translation import translated
from .refusing import Refusing, Result, backend_refusal

OFFLINE = "Blender is offline: allow online access in its preferences, under System"


def fetch_refusal() -> str:
    """Why nothing can be downloaded; empty if it can."""
    return backend_refusal() or ("" if bpy.app.online_access else OFFLINE)


def exact_size(size_bytes: int) -> str:
    """Bytes with more digits than `wording.size`, for a decision: "12.00 GB", or in MB below one GB."""
    if size_bytes >= 1e9:
        return iface_("{:.2f} GB").format(size_bytes / 1e9)
    return iface_("{:.1f} MB").format(size_bytes / 1e6)


class OnModel(Refusing):
    """An operator on the model or extra of the catalogue that has the id `model`."""

    model: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    def model_refusal(self) -> str:
        """Why the operator can't be used on this model; empty if it can. A poll doesn't know the model."""
        return "" if session.current().server.fetchable(self.model) else "No model is named"

    def refused(self) -> bool:
        """Report why the operator can't be used on the model; True if it can't."""
        sentence = self.model_refusal()
        if sentence:
            self.report({"WARNING"}, f"{translated(sentence, rpt_)}.")  # type: ignore[attr-defined]
        return bool(sentence)


class WAN_VSE_OT_download_model(OnModel, bpy.types.Operator):
    """Download this from Hugging Face. You see size, license and free space before anything is downloaded"""

    bl_idname = "wan_vse.download_model"
    bl_label = "Wan: Download Model"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    _timer: bpy.types.Timer | None = None

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return fetch_refusal()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask what would be fetched, and wait for the answer without blocking the window."""
        if self.refused():
            return {"CANCELLED"}
        session.current().server.downloads.ask(self.model)
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        downloads = session.current().server.downloads
        if event.type != "TIMER" or downloads.is_asked(self.model):
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        plan = downloads.plans.get(self.model)
        if plan is not None and plan.problem is None:
            ours: Any = bpy.ops.wan_vse  # type: ignore[attr-defined]  # Blender's types don't know it
            ours.confirm_download("INVOKE_DEFAULT", model=self.model)
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> Result:
        """Begin at once, for a script: with a window, Blender calls `invoke`."""
        if self.refused():
            return {"CANCELLED"}
        session.current().server.downloads.start(self.model)
        return {"FINISHED"}


class WAN_VSE_OT_confirm_download(OnModel, bpy.types.Operator):
    """Download the model that was just described"""

    bl_idname = "wan_vse.confirm_download"
    bl_label = "Wan: Download Model Files"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return fetch_refusal()

    def model_refusal(self) -> str:
        plan = session.current().server.downloads.plans.get(self.model)
        if plan is None:
            return "Press Download first"
        return as_sentence(plan.problem.sentence).unended() if plan.problem else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        if self.refused():
            return {"CANCELLED"}
        plan = session.current().server.downloads.plans[self.model]
        return context.window_manager.invoke_props_dialog(
            self, width=460, title=iface_("Download {}").format(plan.label), confirm_text="Download"
        )

    def draw(self, context: bpy.types.Context) -> None:
        plan = session.current().server.downloads.plans.get(self.model)
        if plan is None:
            return
        facts = self.layout.column(align=True)
        facts.label(text=iface_("To download: {}").format(exact_size(plan.fetch_bytes)), icon="IMPORT")
        here = plan.total_bytes - plan.fetch_bytes
        if here:
            facts.label(text=iface_("Already here: {}").format(exact_size(here)), icon="BLANK1")
        facts.label(text=iface_("Free on the disk: {:.1f} GB").format(plan.free_bytes / 1e9), icon="DISK_DRIVE")
        facts.label(text=iface_("License: {}").format(plan.licence), icon="TEXT")
        facts.operator("wm.url_open", text="Read the License", icon="URL").url = plan.licence_url
        lines = self.layout.column(align=True)
        for number, line in enumerate(textwrap.wrap(plan.folder, 60)):
            lines.label(text=line, icon="BLANK1" if number else "FILE_FOLDER", translate=False)
        for note in plan.notes:
            for line in textwrap.wrap(translated(note), 64, break_long_words=False):
                lines.label(text=line, translate=False)

    def execute(self, context: bpy.types.Context) -> Result:
        if self.refused():
            return {"CANCELLED"}
        session.current().server.downloads.start(self.model)
        return {"FINISHED"}


class WAN_VSE_OT_resume_download(OnModel, bpy.types.Operator):
    """Resume the download from where it stopped"""

    bl_idname = "wan_vse.resume_download"
    bl_label = "Wan: Resume Download"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return fetch_refusal()

    def model_refusal(self) -> str:
        status = session.current().server.downloads.status(self.model)
        if status is None:
            return "The model is not being downloaded: press Download"
        return "The download is already running" if status.state.active else ""

    def execute(self, context: bpy.types.Context) -> Result:
        if self.refused():
            return {"CANCELLED"}
        session.current().server.downloads.start(self.model)
        return {"FINISHED"}


class WAN_VSE_OT_pause_download(OnModel, bpy.types.Operator):
    """Pause the download. What was downloaded is kept, and Resume continues from there, even after a restart"""

    bl_idname = "wan_vse.pause_download"
    bl_label = "Wan: Pause Download"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return backend_refusal()

    def model_refusal(self) -> str:
        status = session.current().server.downloads.status(self.model)
        return "" if status is not None and status.state.active else "The download is not running"

    def execute(self, context: bpy.types.Context) -> Result:
        if self.refused():
            return {"CANCELLED"}
        session.current().server.downloads.pause(self.model)
        return {"FINISHED"}


class WAN_VSE_OT_cancel_download(OnModel, bpy.types.Operator):
    """Cancel the download. What was downloaded is removed from the disk"""

    bl_idname = "wan_vse.cancel_download"
    bl_label = "Wan: Cancel Download"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return backend_refusal()

    def model_refusal(self) -> str:
        downloads = session.current().server.downloads
        known = downloads.status(self.model) or downloads.plans.get(self.model) or downloads.refused.get(self.model)
        return "" if known else "The model is not being downloaded"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        status = session.current().server.downloads.status(self.model)
        if self.refused():
            return {"CANCELLED"}
        if status is None or not status.done_bytes:
            return self.execute(context)
        message = iface_("{} of downloaded files will be removed. Pause keeps them.").format(
            exact_size(status.done_bytes)
        )
        return context.window_manager.invoke_confirm(
            self, event, title="Cancel the download?", message=message, confirm_text="Cancel Download"
        )

    def execute(self, context: bpy.types.Context) -> Result:
        if self.refused():
            return {"CANCELLED"}
        downloads = session.current().server.downloads
        if downloads.status(self.model) is None:
            downloads.forget(self.model)
        else:
            downloads.cancel(self.model)
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_download_model,
    WAN_VSE_OT_confirm_download,
    WAN_VSE_OT_resume_download,
    WAN_VSE_OT_pause_download,
    WAN_VSE_OT_cancel_download,
)
