"""Operators that make drafts once more in Best. One Best serves all strips with the same draft, as a split's halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Quality, TakeRequest
from ..jobs import request, session
from ..jobs.takes_again import Again, again_of
from ..stopwatch import timed
from ..timeline import compat, identity, strip_takes, untrusted
from ..translation import translated
from .refusing import Refusing, Result, backend_refusal, timeline_refusal
from .takes import AsksForTakes, ask_onto, how_made, like_on, take_strip


def in_best(made: TakeRequest) -> TakeRequest:
    """The same request in Best, at the size that was chosen; the number of steps is the model's own then."""
    return replace(made, quality=Quality.BEST, steps=None, least_size=False, finish=None)


class WAN_VSE_OT_take_in_best(AsksForTakes, bpy.types.Operator):
    """Make this take once more in Best, with the same seed and settings"""

    bl_idname = "wan_vse.take_in_best"
    bl_label = "Wan: Same Take in Best"
    bl_options: ClassVar = {"UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = super().refusal(context)
        if sentence:
            return sentence
        strip: Any = take_strip(context)
        made = how_made(strip)
        if made is not None and made.quality is Quality.BEST:
            return "The take is made in Best already"
        return (
            "The strip has this take in Best, or waits for it" if made is not None and _has_in_best(strip, made) else ""
        )

    @timed("operator take_in_best")
    def execute(self, context: bpy.types.Context) -> Result:
        scene: Any = compat.sequencer_scene(context)
        strip: Any = take_strip(context)
        again = again_of(strip, untrusted.id_in(strip, identity.JOB))
        assert again is not None
        try:
            identity.sweep()  # the other half of a split, just made, gets an id of its own
            is_shared = _ask_or_share(scene, strip, again)
        except request.Refused as refused:
            self.report({"WARNING"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        words = "'{}' gets the Best of another strip with the same draft." if is_shared else _change_to_best(again.made)
        self.report({"INFO"}, rpt_(words).format(strip.name))
        return {"FINISHED"}


def _change_to_best(made: TakeRequest) -> str:
    """What differs in Best, beside the time that it takes."""
    if made.quality is Quality.DRAFT and _draft_has_lora(made.model):
        return "Started '{}' in Best: more steps, and without the LoRA for drafts, so motion and detail may differ."
    return "Started '{}' in Best: more steps with the same seed, so detail may differ."


def _draft_has_lora(model: str) -> bool:
    """Whether a LoRA makes the drafts of a model."""
    return any(model in row.models and row.here for row in session.current().server.extras)


class WAN_VSE_OT_drafts_in_best(Refusing, bpy.types.Operator):
    """Make all takes of this cut that are shown as drafts once more in Best, each with its seed and settings"""

    bl_idname = "wan_vse.drafts_in_best"
    bl_label = "Wan: All Drafts in Best"
    bl_options: ClassVar = {"UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context) or backend_refusal()
        if sentence:
            return sentence
        scene: Any = compat.sequencer_scene(context)
        return "" if next(iter(_drafts(scene)), None) else "No take of this cut is a draft"

    @timed("operator drafts_in_best")
    def execute(self, context: bpy.types.Context) -> Result:
        scene: Any = compat.sequencer_scene(context)
        identity.sweep()
        started: set[str] = set()
        refusals: list[str] = []
        for strip_id in [found.strip_id for found in _drafts(scene)]:
            found = identity.find(strip_id)
            again = again_of(found.strip, found.job_id) if found is not None else None
            if found is None or again is None:
                continue
            try:
                _ask_or_share(scene, found.strip, again)
                started.add(found.job_id)
            except request.Refused as refused:
                refusals.append(f"'{found.strip.name}': {translated(refused.sentence, rpt_)}")
        if refusals:
            words = rpt_("Started {} of {} drafts in Best. {}")
            self.report({"WARNING"}, words.format(len(started), len(started) + len(refusals), refusals[0]))
        else:
            words = rpt_("Started 1 draft in Best.") if len(started) == 1 else rpt_("Started {} drafts in Best.")
            self.report({"INFO"}, words.format(len(started)))
        return {"FINISHED"} if started else {"CANCELLED"}


def _drafts(scene: bpy.types.Scene) -> Iterator[identity.Marked]:
    """The scene's strips that show a draft and neither have nor await the same in Best; those in meta strips, too."""
    for found in identity.marked(scene):
        made = None if found.is_placeholder or found.strip.mute else untrusted.request(found.request_text)
        if made is None or made.quality is not Quality.DRAFT:
            continue
        if not _has_in_best(found.strip, made):
            yield found


def _has_in_best(strip: compat.Strip, made: TakeRequest) -> bool:
    """Whether the strip keeps, or waits for, the same take in Best; one that is rejected or failed doesn't count."""
    return like_on(strip, in_best(made)) is not None


def _ask_or_share(scene: bpy.types.Scene, strip: compat.Strip, again: Again) -> bool:
    """Ask for a draft in Best, or let the strip have that of another strip with the same draft: then True.

    Raises Refused.
    """
    if _share(scene, strip, untrusted.id_in(strip, identity.JOB), again.made):
        return True
    ask_onto(scene, strip, replace(again, made=in_best(again.made)))
    return False


def _share(scene: bpy.types.Scene, strip: compat.Strip, job_id: str, made: TakeRequest) -> bool:
    """Give the strip the Best that another one has or awaits of this draft; False if none does. It keeps its trims."""
    for found in identity.all_marked():
        best = None
        if found.strip != strip and not found.is_placeholder and job_id in strip_takes.jobs_on(found.strip):
            best = like_on(found.strip, in_best(made))
        if isinstance(best, strip_takes.Asked):
            asked = untrusted.request(best.request)
            strip_id = untrusted.id_in(strip, identity.STRIP)
            if asked is not None and not session.current().file.waiting_refusal(strip_id):
                return session.current().file.add_pending(strip_id, best.job_id, asked, best.asked)
        elif best is not None:
            strip_takes.remember(strip, best, strip_takes.made_of(found.strip, best.job_id))
            if not strip_takes.show(scene, strip, best.job_id):
                return True
            strip_takes.forget(strip, best.job_id)  # its files are gone, or it fits the other strip alone
    return False


CLASSES = (WAN_VSE_OT_take_in_best, WAN_VSE_OT_drafts_in_best)
