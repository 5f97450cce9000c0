"""Operators on takes whose sources have changed: make them anew, now or in the night, go to one, open the report."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ..jobs import queue_time, rebuild_report, session
from ..jobs.rebuild_run import State
from ..jobs.stale_takes import StaleTake
from ..stopwatch import timed
from ..timeline import compat, identity, take_strips, untrusted
from . import text_editors
from .queue_jobs import bring_into_view, jobs_of, queue_state
from .refusing import OnTimeline, Refusing, Result, backend_refusal

NONE_STALE = "No take that is shown has sources that have changed, as far as was looked"
DIALOG_WIDTH = 380
NOW, AT_HOUR = "NOW", "AT_HOUR"


def to_rebuild(job_id: str = "") -> list[StaleTake]:
    """The stale takes for whose strips no other take is being made; or that of the job."""
    found = session.current().stale.found.values()
    return [each for each in found if not each.waits and (not job_id or each.job_id == job_id)]


def expected_seconds(stale: list[StaleTake]) -> float | None:
    """How long they will take, by takes of this machine; None if that isn't known."""
    wanted_ids = {each.strip_id for each in stale}
    there = [found for found in identity.all_marked() if found.strip_id in wanted_ids]
    made = [untrusted.request(found.request_text) for found in there]
    frames = [(each.model, each.length_frames) for each in made if each is not None]
    order = queue_state().order
    return queue_time.seconds_for(frames, jobs_of(order.going_on[:1]), jobs_of(order.ended[: queue_time.MAX_LOOKED_AT]))


def seconds_until(hour: int, now: float | None = None) -> float:
    """From now to the next time that this hour begins, by this machine's clock."""
    seconds = time.time() if now is None else now
    here = time.localtime(seconds)
    into_hour = here.tm_min * 60 + here.tm_sec
    return ((hour - here.tm_hour - 1) % 24 + 1) * 3600.0 - into_hour


class WAN_VSE_OT_rebuild_stale(OnTimeline, bpy.types.Operator):
    """Make all takes anew whose sources have changed, each with its own settings and seed. The takes before stay"""

    bl_idname = "wan_vse.rebuild_stale"
    bl_label = "Wan: Rebuild Stale Takes"
    bl_options: ClassVar = {"REGISTER"}  # what is asked for later can't be undone by this step

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The take that is made anew; empty: all of them."""
    when: bpy.props.EnumProperty(
        name="Begin",
        description="When to begin. Blender has to be open, and the file as well",
        items=[
            (NOW, "Now", "As soon as nothing else is in the queue"),
            (AT_HOUR, "At", "Not before this hour, as in the night"),
        ],
    )
    hour: bpy.props.IntProperty(name="Hour", description="The hour at which to begin", default=22, min=0, max=23)

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        sentence = backend_refusal()
        if sentence:
            return sentence
        found = session.current().stale.found
        if found and not to_rebuild():
            return "New takes are being made for all stale ones already"
        return "" if found else NONE_STALE

    def invoke(self, context: Any, event: bpy.types.Event) -> Result:
        """Say how many there are and about how long that takes, and ask."""
        if self.job_id:
            return self.execute(context)
        result: Result = context.window_manager.invoke_props_dialog(
            self, width=DIALOG_WIDTH, title="Rebuild Stale Takes", confirm_text="Rebuild"
        )
        return result

    def draw(self, context: bpy.types.Context) -> None:
        """The question. Blender draws it anew whenever the mouse moves: the time is worked out once."""
        column = self.layout.column(align=True)
        for line in question():
            column.label(text=line, translate=False)
        row = self.layout.row(align=True)
        row.prop(self, "when", expand=True)
        hour = row.row(align=True)
        hour.enabled = self.when == AT_HOUR
        hour.prop(self, "hour")

    @timed("operator rebuild_stale")
    def execute(self, context: bpy.types.Context) -> Result:
        stale = to_rebuild(self.job_id)
        if not stale:
            self.report({"WARNING"}, f"{rpt_(NONE_STALE)}.")
            return {"CANCELLED"}
        later = self.when == AT_HOUR and not self.job_id
        session.current().rebuild(stale, seconds_until(self.hour) if later else 0.0)
        words = "1 take is rebuilt" if len(stale) == 1 else "{} takes are rebuilt, one after the other"
        text = rpt_(words).format(len(stale))
        self.report(
            {"INFO"}, rpt_("{}, from {:02}:00 on.").format(text, self.hour) if later else rpt_("{}.").format(text)
        )
        return {"FINISHED"}


_asked: tuple[tuple[str, ...], list[str]] = ((), [])
"""The jobs that were asked about last, and the lines."""


def question() -> list[str]:
    """What is to be known before."""
    global _asked
    stale = to_rebuild()
    jobs = tuple(each.job_id for each in stale)
    if jobs != _asked[0] or not jobs:
        seconds = expected_seconds(stale)
        one = len(stale) == 1
        words = iface_("1 take is made anew") if one else iface_("{} takes are made anew").format(len(stale))
        about = iface_("{}: about {}.").format(words, _duration(seconds)) if seconds else ""
        unknown = iface_("{}. How long that takes isn't known: no such take has been made yet.").format(words)
        rest = (
            iface_("Each has its own settings and seed, and its sources as they are then."),
            iface_("The takes before stay on their strips."),
            iface_("Whatever else is in the queue goes first."),
        )
        _asked = jobs, [about or unknown, *rest]
    return _asked[1]


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return iface_("{} min").format(minutes)
    return iface_("{} h {} min").format(minutes // 60, minutes % 60)


class WAN_VSE_OT_stop_rebuilding(Refusing, bpy.types.Operator):
    """Ask for no more of the takes that are to be rebuilt. Those in the queue stay there"""

    bl_idname = "wan_vse.stop_rebuilding"
    bl_label = "Wan: Stop Rebuilding"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        waiting = session.current().rebuilding.count(State.WAITS)
        return "" if waiting else "No take waits to be rebuilt"

    def execute(self, context: bpy.types.Context) -> Result:
        session.current().stop_rebuilding()
        return {"FINISHED"}


class WAN_VSE_OT_show_stale(Refusing, bpy.types.Operator):
    """Move the playhead to the strip of this stale take and select it"""

    bl_idname = "wan_vse.show_stale"
    bl_label = "Wan: Show Stale Take"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return "" if session.current().stale.found else NONE_STALE

    @timed("operator show_stale")
    def execute(self, context: bpy.types.Context) -> Result:
        stale = session.current().stale.found.get(self.job_id)
        found = identity.find(stale.strip_id) if stale is not None else None
        if found is None:
            self.report({"WARNING"}, rpt_("The strip is no longer there."))
            return {"CANCELLED"}
        shown = compat.sequencer_scene(context)
        if found.scene != shown:
            self.report({"WARNING"}, rpt_("The strip is in the scene '{}'.").format(found.scene.name))
            return {"CANCELLED"}
        take_strips.choose(shown, found.strip)
        shown.frame_current = compat.start(found.strip)
        bring_into_view(context)
        return {"FINISHED"}


class WAN_VSE_OT_open_rebuild_report(Refusing, bpy.types.Operator):
    """Open the report of what was rebuilt in the text editor"""

    bl_idname = "wan_vse.open_rebuild_report"
    bl_label = "Wan: Open Report of Rebuilding"
    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        there = session.current().rebuilding.report or rebuild_report.TEXT in bpy.data.texts
        return "" if there else "Nothing was rebuilt yet"

    def execute(self, context: bpy.types.Context) -> Result:
        report = session.current().rebuilding.report
        text = rebuild_report.show_text(report) if report else bpy.data.texts[rebuild_report.TEXT]
        if not text_editors.show(context, text):
            self.report({"INFO"}, rpt_("The report is the text '{}': open it in a text editor.").format(text.name))
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_rebuild_stale,
    WAN_VSE_OT_stop_rebuilding,
    WAN_VSE_OT_show_stale,
    WAN_VSE_OT_open_rebuild_report,
)
