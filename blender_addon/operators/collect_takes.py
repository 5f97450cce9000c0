"""The operator that brings what a film needs to beside its .blend."""

from __future__ import annotations

import time
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import collect, film_takes, project, request, session
from ..stopwatch import timed
from ..translation import translated
from .refusing import Refusing, Result

WIDTH = 360
READ_SECONDS = 0.2


class WAN_VSE_OT_collect_takes(Refusing, bpy.types.Operator):
    """Copy what this file needs to beside it, so that everything can be moved or sent together"""

    bl_idname = "wan_vse.collect_takes"
    bl_label = "Wan: Collect Takes"
    bl_options: ClassVar = {"REGISTER"}

    takes: bpy.props.EnumProperty(
        name="Takes",
        description="Which takes are copied into the folder wan",
        items=[
            ("USED", "Used", "Takes that strips of this file show or keep"),
            ("ALL", "All", "Also the takes that were made for this file and that nothing uses"),
        ],
    )
    footage: bpy.props.BoolProperty(
        name="Footage",
        description="Copy other movies, pictures and sounds into the folder footage, too, and use the copies",
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        if not project.path():
            return "Save the .blend file first: the takes are copied beside it"
        return "The takes are already being copied" if session.current().collector.busy else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask what is to be copied."""
        film_takes.library().look(film_takes.places())
        return context.window_manager.invoke_props_dialog(self, width=WIDTH)

    def draw(self, context: bpy.types.Context) -> None:
        """The choices."""
        layout = self.layout
        layout.use_property_split = True
        layout.row().prop(self, "takes", expand=True)
        layout.prop(self, "footage")
        layout.label(text="A list of models, LoRAs and missing files is written beside the file.")

    @timed("operator collect_takes")
    def execute(self, context: bpy.types.Context) -> Result:
        if self.takes == "ALL":
            library = film_takes.library()
            library.look(film_takes.places())
            until = time.perf_counter() + READ_SECONDS
            while library.busy and time.perf_counter() < until:
                library.tick(until)
        try:
            session.current().collect(collect.Wanted(self.takes == "ALL", self.footage))
        except request.Refused as refused:
            self.report({"INFO"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        return {"FINISHED"}


CLASSES = (WAN_VSE_OT_collect_takes,)
