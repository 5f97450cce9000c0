"""The operator that writes which stretches of the cut are generated, as markers (EDL, OTIO) or a list to read."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.storage import whole_file
from ..jobs import range_lists
from ..stopwatch import timed
from ..timeline import compat, generated_ranges, path_rules, scene_format
from .refusing import Refusing, Result, timeline_refusal
from .written_file import WritesFile

log = logging.getLogger(__name__)

WRITERS = {".edl": range_lists.edl, ".otio": range_lists.otio, ".txt": range_lists.readable}


class WAN_VSE_OT_list_generated(Refusing, bpy.types.Operator, WritesFile):
    """Write where in the cut generated footage plays, since a render drops the marks that takes carry"""

    bl_idname = "wan_vse.list_generated"
    bl_label = "Wan: List Ranges"
    bl_options: ClassVar = {"REGISTER"}

    endings: ClassVar = tuple(WRITERS)
    filename_ext = ".txt"
    filepath: bpy.props.StringProperty(name="File", description="Where the ranges are written", subtype="FILE_PATH")
    filter_glob: bpy.props.StringProperty(default="*.txt;*.edl;*.otio", options={"HIDDEN"})
    kind: bpy.props.EnumProperty(
        name="Format",
        description="The form of the file",
        items=[
            (".txt", "List", "A text with a line for each range, to read"),
            (".edl", "EDL", "Markers with a length, for other editing programs"),
            (".otio", "OTIO", "The same as OpenTimelineIO"),
        ],
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator list_generated")
    def execute(self, context: bpy.types.Context) -> Result:
        """Write the file."""
        scene = compat.sequencer_scene(context)
        path = bpy.path.abspath(self.filepath)
        if not os.path.basename(path):
            self.report({"ERROR"}, rpt_("Give the file a name."))
            return {"CANCELLED"}
        file, name = Path(path), path_rules.shown(os.path.basename(path))
        write = WRITERS.get(file.suffix.lower(), WRITERS[self.kind])
        first, rate = scene.frame_start, scene_format.rate_of(scene).exact()
        found = generated_ranges.of(scene, first, scene.frame_end + 1)
        title = Path(bpy.data.filepath).stem or scene.name
        try:
            whole_file.write(file, write(title, found, first, rate).encode("utf-8", "replace"))
        except (OSError, ValueError) as error:
            log.warning("%a can't be written: %a", path, error)
            words = rpt_("'{}' can't be written ({}): choose another folder")
            reason = (isinstance(error, OSError) and error.strerror) or path_rules.shown(str(error))
            self.report({"ERROR"}, words.format(name, reason))
            return {"CANCELLED"}
        words = (
            "1 generated range is written to '{1}'" if len(found) == 1 else "{} generated ranges are written to '{}'"
        )
        self.report({"INFO"}, rpt_(words).format(len(found), name))
        return {"FINISHED"}


CLASSES = (WAN_VSE_OT_list_generated,)
