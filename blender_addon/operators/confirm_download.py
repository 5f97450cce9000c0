"""Fetches a model, after a dialog that says how much, under which licence and where to.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

import bpy

from ..jobs import tracker
from .on_model import OnModel, fetch_refusal, size


class WAN_VSE_OT_confirm_download(OnModel, bpy.types.Operator):
    """Fetch the model that was just told of"""

    bl_idname = "wan_vse.confirm_download"
    bl_label = "Wan: Fetch Model"
    bl_options: ClassVar = {"REGISTER", "INTERNAL"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return fetch_refusal()

    def model_refusal(self) -> str:
        plan = tracker.get().downloads.plans.get(self.model)
        if plan is None:
            return "Press Download first"
        return plan.problem.sentence.removesuffix(".") if plan.problem else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        if self.refused():
            return {"CANCELLED"}
        plan = tracker.get().downloads.plans[self.model]
        return context.window_manager.invoke_props_dialog(
            self, width=460, title=f"Download {plan.label}", confirm_text="Download"
        )

    def draw(self, context: bpy.types.Context) -> None:
        plan = tracker.get().downloads.plans.get(self.model)
        if plan is None:
            return
        facts = self.layout.column(align=True)
        facts.label(text=f"To fetch: {size(plan.fetch_bytes)}", icon="IMPORT")
        here = plan.total_bytes - plan.fetch_bytes
        if here:
            facts.label(text=f"Here already: {size(here)}", icon="BLANK1")
        facts.label(text=f"Free on the disk: {plan.free_bytes / 1e9:.1f} GB", icon="DISK_DRIVE")
        facts.label(text=f"Licence: {plan.licence}", icon="TEXT")
        facts.operator("wm.url_open", text="Read the Licence", icon="URL").url = plan.licence_url
        lines = self.layout.column(align=True)
        for number, line in enumerate(textwrap.wrap(plan.folder, 60)):
            lines.label(text=line, icon="BLANK1" if number else "FILE_FOLDER", translate=False)
        for note in plan.notes:
            for line in textwrap.wrap(note, 64, break_long_words=False):
                lines.label(text=line)

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.refused():
            return {"CANCELLED"}
        tracker.get().downloads.start(self.model)
        return {"FINISHED"}
