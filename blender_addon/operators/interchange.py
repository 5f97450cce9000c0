"""The operators that write the timeline for other programs, and bring theirs here."""

from __future__ import annotations

import os
import textwrap
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import ImportHelper

from ..jobs import request, session
from ..stopwatch import timed
from ..timeline import compat, cut_description
from ..translation import translated
from .refusing import Refusing, Result, backend_refusal, timeline_refusal
from .written_file import WritesFile

LINE_CHARACTERS = 38


def _refusal(context: bpy.types.Context) -> str:
    if session.current().interchange.busy:
        return "A timeline is already being exported or imported"
    refusal = timeline_refusal(context)
    if refusal:
        return refusal
    status = session.current().server.status.state
    return backend_refusal() if status in ("missing", "failed") else ""


class WAN_VSE_OT_export_timeline(Refusing, bpy.types.Operator, WritesFile):
    """Write the timeline as OpenTimelineIO, with the takes of each strip, for other editing programs"""

    bl_idname = "wan_vse.export_timeline"
    bl_label = "Wan: Export Timeline"
    bl_options: ClassVar = {"REGISTER"}

    endings: ClassVar = (".otio", ".otioz")
    filename_ext = ".otio"
    filepath: bpy.props.StringProperty(name="File", description="Where the timeline is written", subtype="FILE_PATH")
    filter_glob: bpy.props.StringProperty(default="*.otio;*.otioz", options={"HIDDEN"})
    kind: bpy.props.EnumProperty(
        name="Format",
        description="The form of the file",
        items=[
            (".otio", "Timeline", "The cut alone; the media stays where it is"),
            (".otioz", "With Media", "The cut and its media, all takes included, in one file"),
        ],
    )
    lost: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        refusal = _refusal(context)
        if refusal:
            return refusal
        return "" if len(compat.top_strips(compat.sequencer_scene(context))) else "The timeline has no strips"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Any:
        """Look what the file won't have, then ask where it is to be written."""
        scene = compat.sequencer_scene(context)
        sentence = cut_description.refusal(scene)
        if sentence:
            self.report({"ERROR"}, translated(sentence, rpt_))
            return {"CANCELLED"}
        self.lost = cut_description.of(scene, scene.name).sentence
        return WritesFile.invoke(self, context, event)

    def draw(self, context: bpy.types.Context) -> None:
        """The form, and what is lost in it."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "kind")
        column = layout.column(align=True)
        for line in textwrap.wrap(self.lost, LINE_CHARACTERS):
            column.label(text=line, translate=False)

    @timed("operator export_timeline")
    def execute(self, context: bpy.types.Context) -> Result:
        """Begin; the sidebar says how it ended."""
        return _begun(self, session.current().interchange.begin_export, compat.sequencer_scene(context))


class WAN_VSE_OT_import_timeline(Refusing, bpy.types.Operator, ImportHelper):
    """Put the cut of an OpenTimelineIO file onto this timeline, above what is there"""

    bl_idname = "wan_vse.import_timeline"
    bl_label = "Wan: Import Timeline"
    bl_options: ClassVar = {"REGISTER"}

    filename_ext = ".otio"
    filepath: bpy.props.StringProperty(name="File", description="The file that is read", subtype="FILE_PATH")
    filter_glob: bpy.props.StringProperty(default="*.otio;*.otioz", options={"HIDDEN"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return _refusal(context)

    @timed("operator import_timeline")
    def execute(self, context: bpy.types.Context) -> Result:
        """Begin; the strips come as soon as the file is read, and the sidebar says how it ended."""
        return _begun(self, session.current().interchange.begin_import, compat.sequencer_scene(context))


def _begun(operator: Any, begin: Any, scene: bpy.types.Scene) -> Result:
    try:
        begin(scene, bpy.path.abspath(operator.filepath))
    except request.Refused as refused:
        operator.report({"ERROR"}, translated(refused.sentence, rpt_))
        return {"CANCELLED"}
    except OSError as error:
        words = rpt_("'{}' can't be written ({}): choose another folder")
        operator.report({"ERROR"}, words.format(os.path.basename(operator.filepath), error.strerror or error))
        return {"CANCELLED"}
    session.current().server.want()
    return {"FINISHED"}


CLASSES = (WAN_VSE_OT_export_timeline, WAN_VSE_OT_import_timeline)
