"""Retry Worst Seam: makes takes of a strip, one after the other, until its worst seam is better; and keeps the best.

How far that is stands on the strip (timeline.seam_retry). `follow` goes on with it whenever something has changed: a
take that came is compared, and the next is asked for, or the search ends. After a file is opened or an undo, the strips
are looked through once for searches that go on.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from typing import Any, ClassVar

import bpy
from bpy.app.handlers import persistent
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import JobState
from ..jobs import blender_handlers, request, session
from ..jobs.takes_again import again_of
from ..properties import MAX_SEED
from ..stopwatch import timed
from ..timeline import compat, identity, seam_retry, seams, strip_columns, strip_takes, untrusted
from ..timeline.seam_retry import Retry
from ..translation import translated
from .refusing import OnTimeline, Result, backend_refusal
from .takes import NO_SETTINGS, planned_onto, take_strip

NOTHING_MEASURED = (
    "No seam is measured: only a take that fills a gap or extends a strip has one, where it still touches its neighbor"
)
LATER_SECONDS = 1.0
"""Where strips can't be changed now, as during a render, it is tried again then."""
_going_on: set[str] | None = None
"""The ids of the strips with a search that goes on; None until the strips are looked through."""
_asked: dict[tuple[str, int], str] = {}
"""By search and number, the jobs of this session: where an undo has taken one back, it isn't asked for twice."""
_ended: list[str] = []
"""What is to be said of searches that have ended."""


class WAN_VSE_OT_retry_worst_seam(OnTimeline, bpy.types.Operator):
    """Make takes with new seeds until the worst seam of the selected strips, or of the cut, is better"""

    bl_idname = "wan_vse.retry_worst_seam"
    bl_label = "Wan: Retry Worst Seam"
    bl_options: ClassVar = {"UNDO"}  # no REGISTER: adjusting it would ask once more

    count: bpy.props.IntProperty(
        name="Takes at Most",
        description="Make so many takes at most, one after the other, and stop at the first whose ends join",
        default=3,
        min=1,
        max=seam_retry.MAX_TAKES,
    )

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        return backend_refusal()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask how many takes to make at most, unless there is no seam to be retried."""
        if _worst(compat.sequencer_scene(context)) is None:
            return self._refuse(f"{rpt_(NOTHING_MEASURED)}.")
        answer: Result = context.window_manager.invoke_props_dialog(self)
        return answer

    @timed("operator retry_worst_seam")
    def execute(self, context: bpy.types.Context) -> Result:
        scene: Any = compat.sequencer_scene(context)
        found = _worst(scene)
        if found is None:
            return self._refuse(f"{rpt_(NOTHING_MEASURED)}.")
        strip, figure = found
        if (before := seam_retry.of(strip)) is not None and not before.end:
            return self._refuse(rpt_("The seam of '{}' is being retried already.").format(strip.name))
        identity.sweep()  # a copy of the strip, just made, gets an id of its own
        now = seams.of(scene, strip)
        retry = Retry(
            uuid.uuid4().hex,
            untrusted.id_in(strip, identity.JOB),
            figure,
            self.count,
            now.start is not None,
            now.end is not None,
        )
        try:
            retry = _ask(scene, strip, retry)
        except request.Refused as refused:
            return self._refuse(translated(refused.sentence, rpt_))
        seam_retry.write(strip, retry)
        _watch(untrusted.id_in(strip, identity.STRIP))
        words = "Retrying the seam of '{}' ({}), with {} takes at most."
        if self.count == 1:
            words = "Retrying the seam of '{}' ({}), with one take."
        self.report({"INFO"}, rpt_(words).format(strip.name, figure_words(figure), self.count))
        return {"FINISHED"}

    def _refuse(self, sentence: str) -> Result:
        self.report({"WARNING"}, sentence)
        return {"CANCELLED"}


class WAN_VSE_OT_end_seam_retry(OnTimeline, bpy.types.Operator):
    """Make no more takes for the seam and show the best one; or take what came of it off the panel"""

    bl_idname = "wan_vse.end_seam_retry"
    bl_label = "Wan: End Retrying Seam"
    bl_options: ClassVar = {"UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        strip = take_strip(context)
        return "" if strip is not None and seam_retry.of(strip) is not None else "No seam of this strip is retried"

    @timed("operator end_seam_retry")
    def execute(self, context: bpy.types.Context) -> Result:
        strip: Any = take_strip(context)
        retry = seam_retry.of(strip)
        if retry is None or retry.end:
            seam_retry.drop(strip)
            return {"FINISHED"}
        if retry.jobs and retry.jobs[-1] in strip_takes.pending(strip):
            session.current().cancel(retry.jobs[-1])
        found = identity.find(untrusted.id_in(strip, identity.STRIP))
        if found is not None:
            self.report({"INFO"}, _end(found, retry, seam_retry.CANCELED))
        return {"FINISHED"}


def _worst(scene: Any) -> tuple[compat.Strip, float] | None:
    """The worst seam among the selected strips, or of the whole timeline if none is selected."""
    return seams.worst_of(scene, strip_columns.selected_strips(scene) or None)


def _ask(scene: bpy.types.Scene, strip: compat.Strip, retry: Retry) -> Retry:
    """Ask for the next take of a search. Raises Refused."""
    again = again_of(strip, retry.first)
    if again is None:
        raise request.Refused(f"{rpt_(NO_SETTINGS)}.")
    strip_id, key = untrusted.id_in(strip, identity.STRIP), (retry.retry_id, len(retry.jobs))
    current, job_id = session.current(), _asked.get(key, "")
    made = current.request_of(job_id) if job_id and current.jobs.get(job_id) is not None else None
    if made is None or not current.file.add_pending(strip_id, job_id, made, again.asked):
        other = replace(again, made=replace(again.made, seed=secrets.randbelow(MAX_SEED + 1)))
        job_id = current.generate(scene, planned_onto(scene, strip, other), strip.name, strip_id)
    _asked[key] = job_id
    return replace(retry, jobs=(*retry.jobs, job_id))


def _watch(strip_id: str) -> None:
    if _going_on is not None:
        _going_on.add(strip_id)


def follow() -> None:
    """Go on with every search for which there is something to do. Called whenever the session has changed."""
    global _going_on
    current = session.current()
    if _going_on is not None and not _going_on:
        return
    if current.file.loading or not blender_handlers.may_change_strips(current.file.rendering):
        if not bpy.app.timers.is_registered(follow):
            bpy.app.timers.register(follow, first_interval=LATER_SECONDS)
        return
    with timed("seams that are retried"):
        if _going_on is None:
            _going_on = _look()
        for strip_id in tuple(_going_on):
            found = identity.find(strip_id)
            retry = seam_retry.of(found.strip) if found is not None else None
            if found is None or retry is None or retry.end:
                _going_on.discard(strip_id)
            else:
                _go_on(found, retry)


def _look() -> set[str]:
    """The strips with a search that goes on. A copy of such a strip has it from its original, and leaves it to that."""
    found: dict[str, str] = {}
    if not any(strip_columns.carrying(each, identity.SEARCH) for each in identity.all_collections()):
        return set()  # as it mostly is: no strip is looked at any closer
    for marked in identity.sweep():
        retry = seam_retry.of(marked.strip)
        if retry is not None and not retry.end and found.setdefault(retry.retry_id, marked.strip_id) != marked.strip_id:
            seam_retry.drop(marked.strip)
    return set(found.values())


def _go_on(found: identity.Marked, retry: Retry) -> None:
    strip, current = found.strip, session.current()
    job_id = retry.jobs[-1] if retry.jobs else ""
    status = current.jobs.get(job_id)
    if job_id in strip_takes.pending(strip):
        if status is not None and status.state is JobState.CANCELED:
            _end(found, retry, seam_retry.CANCELED)
        elif status is not None and status.state is JobState.FAILED:
            _end(found, retry, seam_retry.FAILED)
        return  # else it is being made, or waits for the server or for the person
    if not any(take.job_id == job_id for take in strip_takes.takes_of(strip)):
        _end(found, retry, seam_retry.CANCELED)  # the strip waits for it no longer
        return
    best, figure = retry.best(strip)
    joins = figure < retry.before and figure <= seams.JOINS
    if joins or len(retry.jobs) >= retry.most:
        _end(found, retry, seam_retry.BETTER if figure < retry.before else seam_retry.NOT_BETTER)
        return
    _show(found, retry, best)
    try:
        seam_retry.write(strip, _ask(found.scene, strip, retry))
    except request.Refused:
        if not current.server.is_out_of_reach:
            _end(found, retry, seam_retry.REFUSED)


def _show(found: identity.Marked, retry: Retry, job_id: str) -> None:
    """Show the take, unless the person looks at another one that has nothing to do with it."""
    if untrusted.id_in(found.strip, identity.JOB) in (retry.first, *retry.jobs):
        strip_takes.show(found.scene, found.strip, job_id)


def _end(found: identity.Marked, retry: Retry, end: str) -> str:
    """Show the best take, keep how it ended, and give that in words."""
    best, figure = retry.best(found.strip)
    _show(found, retry, best)
    ended = replace(retry, end=end, after=figure)
    seam_retry.write(found.strip, ended)
    words = said_of(ended, found.strip)
    _ended.append(words)
    return words


def said_of(retry: Retry, strip: compat.Strip) -> str:
    """How far a search is, or how it ended, in a sentence."""
    before, after, came = figure_words(retry.before), figure_words(retry.after), retry.came(strip)
    if not retry.end:
        words = iface_("Retrying the seam: take {} of at most {}; {} so far")
        return words.format(len(retry.jobs), retry.most, figure_words(retry.best(strip)[1]))
    if retry.end == seam_retry.BETTER:
        words = "The seam is better, but doesn't join yet: {1} instead of {2} (takes made: {0})."
        if retry.after <= seams.JOINS:
            words = "The seam joins now: {1} instead of {2} (takes made: {0})."
        return iface_(words).format(came, after, before)
    if retry.end == seam_retry.NOT_BETTER:
        words = iface_("No new take joins better than {1}: the one before is shown (takes made: {0}).")
        return words.format(came, before)
    words = {
        seam_retry.CANCELED: "Retrying the seam was canceled: {1} instead of {2} (takes made: {0}).",
        seam_retry.FAILED: "Retrying the seam stopped, as a take failed: {1} instead of {2} (takes made: {0}).",
    }.get(retry.end, "Retrying the seam stopped, as no take could be asked for: {1} instead of {2} (takes made: {0}).")
    return iface_(words).format(came, after, before)


def figure_words(figure: float) -> str:
    """ "0.8"; from ten on without the part behind the point."""
    return f"{figure:.1f}" if figure < 9.95 else f"{figure:.0f}"


def pop_ended() -> list[str]:
    """What is to be said of the searches that have ended since the last call."""
    global _ended
    said, _ended = _ended, []
    return said


def _strips_replaced(*_: Any) -> None:
    """A file was opened, or an undo has put other strips in the place of the old ones."""
    global _going_on
    _going_on = None


_at_replacement = persistent(_strips_replaced)
_HANDLERS = ("load_post", "undo_post", "redo_post")


def register_handlers() -> None:
    """Notice when strips are replaced."""
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).append(_at_replacement)
    session.current().on_change.append(follow)


def unregister_handlers() -> None:
    """Remove the handlers."""
    for name in _HANDLERS:
        getattr(bpy.app.handlers, name).remove(_at_replacement)
    if follow in session.current().on_change:
        session.current().on_change.remove(follow)
    if bpy.app.timers.is_registered(follow):
        bpy.app.timers.unregister(follow)
    _asked.clear()
    _strips_replaced()


CLASSES = (WAN_VSE_OT_retry_worst_seam, WAN_VSE_OT_end_seam_retry)
