"""The operators that write the timeline for other programs, and bring theirs here."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_
from bpy.app.translations import pgettext_rpt as rpt_
from bpy_extras.io_utils import ImportHelper

from ..jobs import file_versions, request, session
from ..stopwatch import timed
from ..timeline import compat, cut_description
from ..translation import translated
from .refusing import Refusing, Result, backend_refusal, timeline_refusal
from .written_file import WritesFile

ENDINGS = (".otio", ".otioz", ".xml", ".aaf", ".edl")
PATTERN = ";".join(f"*{ending}" for ending in ENDINGS)
LINE_CHARACTERS = 38
LOST_IN = {
    ".xml": n_(
        "Pictures leave as movies. Lost are held frames, volumes, requests of placeholders and takes that aren't shown."
    ),
    ".aaf": n_(
        "Pictures leave as movies, and meta strips as what is in them. Lost are speeds, colors, markers, volumes, "
        "muted strips, requests of placeholders and takes that aren't shown."
    ),
    ".edl": n_(
        "Pictures leave as movies, and meta strips as what is in them. Lost are all tracks but the lowest one of "
        "pictures and four of sounds, colors, markers, volumes, muted strips, requests of placeholders and takes that "
        "aren't shown."
    ),
}
"""What each of the other formats has no place for."""
SLICE_SECONDS = 0.03
"""So long a step of the work takes while a person waits for it alone."""
TICK_SECONDS = 0.04


def _refusal(context: bpy.types.Context) -> str:
    if session.current().interchange.busy:
        return "A timeline is already being exported or imported"
    refusal = timeline_refusal(context)
    if refusal:
        return refusal
    status = session.current().server.status.state
    return backend_refusal() if status in ("missing", "failed") else ""


class WAN_VSE_OT_export_timeline(Refusing, bpy.types.Operator, WritesFile):
    """Write the timeline for other editing programs: OpenTimelineIO with each strip's takes, XML, AAF or EDL"""

    bl_idname = "wan_vse.export_timeline"
    bl_label = "Wan: Export Timeline"
    bl_options: ClassVar = {"REGISTER"}

    endings: ClassVar = ENDINGS
    filename_ext = ".otio"
    filepath: bpy.props.StringProperty(name="File", description="Where the timeline is written", subtype="FILE_PATH")
    filter_glob: bpy.props.StringProperty(default=PATTERN, options={"HIDDEN"})
    kind: bpy.props.EnumProperty(
        name="Format",
        description="The form of the file",
        items=[
            (".otio", "Timeline", "The cut alone; the media stays where it is"),
            (".otioz", "With Media", "The cut and its media, all takes included, in one file"),
            (".xml", "Final Cut Pro XML", "For Premiere Pro, Resolve and others"),
            (".aaf", "AAF", "For Media Composer; speeds are lost"),
            (".edl", "EDL", "One track of pictures with its dissolves and speeds, and sounds"),
        ],
    )
    as_movies: bpy.props.BoolProperty(
        name="Pictures as Movies",
        description="Make a movie of each take and sequence in picture files, for programs that read no sequences",
    )
    replace: bpy.props.BoolProperty(
        name="Replace File",
        description="Write over a file of that name; else the next free version is written, such as film_v002",
        options={"SKIP_SAVE"},
    )
    check_existing: bpy.props.BoolProperty(default=False, options={"HIDDEN"})
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
        self._describing = cut_description.Describing(scene, scene.name)
        if self._describing.go_on(time.perf_counter() + SLICE_SECONDS):
            return self._asked(context)
        manager: Any = context.window_manager
        self._timer = manager.event_timer_add(TICK_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    @timed("modal: export_timeline")
    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Any:
        """Go on with the look through the timeline. Escape ends it."""
        if event.type == "ESC":
            context.window_manager.event_timer_remove(self._timer)
            return {"CANCELLED"}
        if event.type != "TIMER" or not self._describing.go_on(time.perf_counter() + SLICE_SECONDS):
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        return self._asked(context)

    def _asked(self, context: bpy.types.Context) -> Any:
        """Ask for the file, now that it is known what it won't have."""
        described = self._describing.result
        if described is None:
            self.report({"ERROR"}, translated(self._describing.refusal, rpt_))
            return {"CANCELLED"}
        self.lost = described.sentence
        if not self.filepath:
            stem = os.path.splitext(bpy.data.filepath)[0] or os.path.join(os.path.expanduser("~"), "untitled")
            self.filepath = file_versions.free(stem + self.kind)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def draw(self, context: bpy.types.Context) -> None:
        """The form, and what is lost in it."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "kind")
        layout.use_property_split = False  # else half of the narrow column is left for a box's words
        row = layout.row()
        row.enabled = self.kind not in LOST_IN
        row.prop(self, "as_movies")
        layout.prop(self, "replace")
        column = layout.column(align=True)
        lost = " ".join(filter(None, (iface_(LOST_IN.get(self.kind, "")), self.lost)))
        for line in textwrap.wrap(lost, LINE_CHARACTERS):
            column.label(text=line, translate=False)

    @timed("operator export_timeline")
    def execute(self, context: bpy.types.Context) -> Result:
        """Begin; the sidebar says how it ended."""
        work, file = session.current().interchange, bpy.path.abspath(self.filepath)
        scene = compat.sequencer_scene(context)
        file = file if self.replace else file_versions.free(file)
        return _begun(self, file, lambda: work.begin_export(scene, file, self.as_movies))


class WAN_VSE_OT_import_timeline(Refusing, bpy.types.Operator, ImportHelper):
    """Put the cut of another editing program (OpenTimelineIO, XML, AAF, EDL) onto this timeline, above what is there"""

    bl_idname = "wan_vse.import_timeline"
    bl_label = "Wan: Import Timeline"
    bl_options: ClassVar = {"REGISTER"}

    filename_ext = ".otio"
    filepath: bpy.props.StringProperty(name="File", description="The file that is read", subtype="FILE_PATH")
    filter_glob: bpy.props.StringProperty(default=PATTERN, options={"HIDDEN"})
    search_folder: bpy.props.StringProperty(
        name="Look In",
        description="A folder in which media is looked for, with all folders in it, by its name and length, where it "
        "isn't at its path or beside the file",
        subtype="DIR_PATH",
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return _refusal(context)

    def draw(self, context: bpy.types.Context) -> None:
        """Where media is looked for."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "search_folder")

    @timed("operator import_timeline")
    def execute(self, context: bpy.types.Context) -> Any:
        """Begin; the strips come as soon as the file is read, and the sidebar says how it ended."""
        work, file = session.current().interchange, bpy.path.abspath(self.filepath)
        folder = bpy.path.abspath(self.search_folder) if self.search_folder else ""
        scene = compat.sequencer_scene(context)
        begun = _begun(self, file, lambda: work.begin_import(scene, file, folder))
        if begun != {"FINISHED"} or bpy.app.background or context.window is None:
            return begun
        manager: Any = context.window_manager
        self._timer = manager.event_timer_add(TICK_SECONDS, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    @timed("modal: import_timeline")
    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Any:
        """While strips come, nothing else is done to the timeline: undo would mix both up. Escape takes them back."""
        work = session.current().interchange
        if not work.busy:
            context.window_manager.event_timer_remove(self._timer)
            context.workspace.status_text_set(None)
            return {"FINISHED"}
        if not work.laying:
            return {"PASS_THROUGH"}
        if event.type == "ESC":
            work.break_off(iface_("The import was ended: nothing of it is on the timeline."))
        elif event.type == "TIMER":
            percent = round(100 * (work.progress or 0.0))
            context.workspace.status_text_set(iface_("Importing: {} %   Esc: end").format(percent))
            work.tick(time.perf_counter() + SLICE_SECONDS)
        return {"RUNNING_MODAL"}


def _begun(operator: Any, file: str, begin: Callable[[], None]) -> Result:
    try:
        begin()
    except request.Refused as refused:
        operator.report({"ERROR"}, translated(refused.sentence, rpt_))
        return {"CANCELLED"}
    except OSError as error:
        words = rpt_("'{}' can't be written ({}): choose another folder")
        operator.report({"ERROR"}, words.format(os.path.basename(file), error.strerror or error))
        return {"CANCELLED"}
    session.current().server.want()
    return {"FINISHED"}


CLASSES = (WAN_VSE_OT_export_timeline, WAN_VSE_OT_import_timeline)
