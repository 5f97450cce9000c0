"""Fetches and installs the backend, after a dialog that says how much.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

import bpy

from ..jobs import folders, tracker
from .refusing import Refusing


class WAN_VSE_OT_confirm_setup(Refusing, bpy.types.Operator):
    """Fetch and install what was just said"""

    bl_idname = "wan_vse.confirm_setup"
    bl_label = "Wan: Fetch and Install Backend"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        setup = tracker.get().setup
        if setup.state != "planned" or setup.plan is None:
            return "Press Set Up Backend first"
        return setup.plan.problem.sentence.removesuffix(".") if setup.plan.problem else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[Any]:
        return context.window_manager.invoke_props_dialog(
            self, width=420, title="Set Up Backend", confirm_text="Fetch and Install"
        )

    def draw(self, context: bpy.types.Context) -> None:
        plan = tracker.get().setup.plan
        if plan is None:
            return
        lines = self.layout.column(align=True)
        for line in textwrap.wrap(plan.sentence, 64, break_long_words=False):
            lines.label(text=line)
        facts = self.layout.column(align=True)
        facts.label(text=f"To fetch: {plan.download_bytes / 1e9:.1f} GB", icon="IMPORT")
        facts.label(text=f"Build of torch: {plan.torch_build.upper()}", icon="SETTINGS")
        facts.label(text="Blender's own Python is not touched.", icon="LOCKED")

    def execute(self, context: bpy.types.Context) -> set[str]:
        tracker.get().setup.create(folders.backend_settings())
        return {"FINISHED"}
