"""Operators on the takes that a strip keeps: flip through them, mark them, and ask for more of them in their place."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.app.translations import pgettext_tip as tip_

from ...wan_backend.protocol.messages import JobState, TakeRequest
from ..jobs import request, session, takes_again
from ..jobs.planned_takes import PlannedTake
from ..jobs.takes_again import Again, again_of
from ..properties import MAX_SEED, settings_in
from ..stopwatch import timed
from ..timeline import compat, identity, strip_takes, untrusted
from ..translation import translated
from .make_takes import MAX_COUNT, generate_all, planned_again
from .refusing import Refusing, Result, backend_refusal, timeline_refusal

NO_TAKE = "Select a take, or put the playhead over one"
NO_SETTINGS = "The settings of this take can't be read; a newer version of Wan VSE may have made it"


def take_strip(context: bpy.types.Context) -> compat.Strip | None:
    """The strip that is meant: the active one if it is selected and one of ours, else the uppermost at the playhead.

    So takes are flipped in the running cut without a click on each shot.
    """
    scene = compat.sequencer_scene(context)
    if scene is None:
        return None
    active = compat.active_strip(scene)
    if active is not None and identity.role_of(active) and (active.select or not _plays(context)):
        return active
    frame = scene.frame_current
    under = [
        strip
        for strip in compat.shown_strips(scene)
        if compat.start(strip) <= frame < compat.end_exclusive(strip)
        and not strip.mute
        and identity.role_of(strip) == identity.TAKE_ROLE
    ]
    return max(under, key=lambda strip: strip.channel, default=None)


def _plays(context: Any) -> bool:
    return bool(getattr(context.screen, "is_animation_playing", False))


class OnTake(Refusing):
    """An operator on the strip of `take_strip` that keeps takes."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why there is no take to work on; empty if there is one."""
        sentence = timeline_refusal(context)
        if sentence:
            return sentence
        strip = take_strip(context)
        return "" if strip is not None and strip_takes.takes_of(strip) else NO_TAKE

    @classmethod
    def found(cls, context: bpy.types.Context) -> tuple[bpy.types.Scene, compat.Strip, strip_takes.KeptTake]:
        """The scene, the strip, and the take that the strip shows; for use after `refusal`."""
        scene: Any = compat.sequencer_scene(context)
        strip: Any = take_strip(context)
        index = strip_takes.shown_index(strip)
        assert index is not None
        return scene, strip, strip_takes.takes_of(strip)[index]


def said_of(strip: compat.Strip) -> str:
    """Which of its takes the strip shows, the oldest being the first, and what is to be known of how it fits."""
    takes, index = strip_takes.takes_of(strip), strip_takes.shown_index(strip)
    if index is None:
        return ""
    number, count, held = len(takes) - index, len(takes), strip_takes.held_frames(strip, takes[index])
    first = strip_takes.held_before(strip, takes[index])
    if first:
        words = "Take {} of {}. It has no handle for {} frames of the strip: its first picture is held."
        if first == 1:
            words = "Take {} of {}. It has no handle for 1 frame of the strip: its first picture is held."
        return rpt_(words).format(number, count, first)
    if not held:
        return rpt_("Take {} of {}.").format(number, count)
    words = "Take {} of {}. It is {} frames shorter than the strip: its last picture is held."
    if held == 1:
        words = "Take {} of {}. It is 1 frame shorter than the strip: its last picture is held."
    return rpt_(words).format(number, count, held)


class WAN_VSE_OT_flip_take(OnTake, bpy.types.Operator):
    """Show the next or the previous take of this strip. Takes marked as rejected are left out"""

    bl_idname = "wan_vse.flip_take"
    bl_label = "Wan: Flip Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    direction: bpy.props.EnumProperty(
        name="Direction",
        description="Which take to show",
        items=[
            ("NEXT", "Next", "The take that was made after the shown one"),
            ("PREVIOUS", "Previous", "The take that was made before the shown one"),
        ],
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = super().refusal(context)
        if sentence:
            return sentence
        one = len(strip_takes.takes_of(take_strip(context))) < 2
        return "The strip has one take only: make another with New Take" if one else ""

    @timed("operator flip_take")
    def execute(self, context: bpy.types.Context) -> Result:
        scene, strip, shown = self.found(context)
        takes = strip_takes.takes_of(strip)
        index, step = takes.index(shown), -1 if self.direction == "NEXT" else 1
        order = [takes[(index + step * number) % len(takes)] for number in range(1, len(takes))]
        wanted = [take for take in order if take.mark != strip_takes.REJECT]
        refusal = rpt_("All other takes of this strip are rejected.") if not wanted else ""
        for take in wanted:
            refused = strip_takes.show(scene, strip, take.job_id)
            if not refused:
                self.report({"WARNING"} if refusal else {"INFO"}, refusal or said_of(strip))
                return {"FINISHED"}
            refusal = refusal or refused  # those whose files are gone don't bar the way to the others
        self.report({"WARNING"}, refusal)
        return {"CANCELLED"}


class WAN_VSE_OT_show_kept_take(OnTake, bpy.types.Operator):
    """Let the strip show this take"""

    bl_idname = "wan_vse.show_kept_take"
    bl_label = "Wan: Show Take"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @timed("operator show_kept_take")
    def execute(self, context: bpy.types.Context) -> Result:
        scene, strip, _ = self.found(context)
        refusal = strip_takes.show(scene, strip, self.job_id)
        self.report({"WARNING"} if refusal else {"INFO"}, refusal or said_of(strip))
        return {"CANCELLED"} if refusal else {"FINISHED"}


class WAN_VSE_OT_mark_take(OnTake, bpy.types.Operator):
    """Mark the take that the strip shows as a favorite, or as rejected. Once more takes the mark off"""

    bl_idname = "wan_vse.mark_take"
    bl_label = "Wan: Mark Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    mark: bpy.props.EnumProperty(
        name="Mark",
        description="What to mark the take with",
        items=[
            ("star", "Star", "A favorite"),
            ("reject", "Reject", "Left out when flipping through the takes"),
        ],
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """What the mark is for."""
        if properties.mark == "star":
            return tip_("Star the shown take as a favorite; the strip and Browse Takes show it. Once more takes it off")
        return tip_("Reject the shown take: flipping leaves it out, its files stay. Once more takes the mark off")

    @timed("operator mark_take")
    def execute(self, context: bpy.types.Context) -> Result:
        _, strip, shown = self.found(context)
        mark = self.mark
        strip_takes.set_mark(strip, shown.job_id, "" if shown.mark == mark else mark)
        return {"FINISHED"}


class WAN_VSE_OT_note_take(OnTake, bpy.types.Operator):
    """Write a note about the take that the strip shows"""

    bl_idname = "wan_vse.note_take"
    bl_label = "Wan: Note on Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    note: bpy.props.StringProperty(
        name="Note",
        description="Your words about this take",
        maxlen=strip_takes.MAX_NOTE_CHARACTERS,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: Any, event: bpy.types.Event) -> Result:
        """Ask for the words, which begin as those that are there."""
        _, _, shown = self.found(context)
        self.note = shown.note
        result: Result = context.window_manager.invoke_props_dialog(self, width=400)
        return result

    def execute(self, context: bpy.types.Context) -> Result:
        _, strip, shown = self.found(context)
        strip_takes.set_note(strip, shown.job_id, self.note)
        return {"FINISHED"}


class WAN_VSE_OT_keep_take(OnTake, bpy.types.Operator):
    """Make the take a plain strip that Wan VSE no longer knows. The files of all its takes stay on the disk"""

    bl_idname = "wan_vse.keep_take"
    bl_label = "Wan: Keep Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = super().refusal(context)
        if sentence or not _goes_on(take_strip(context)):
            return sentence
        return "Takes are still being made for this strip: wait for them, or cancel them"

    @timed("operator keep_take")
    def execute(self, context: bpy.types.Context) -> Result:
        _, strip, _ = self.found(context)
        left = len(strip_takes.takes_of(strip)) - 1
        for key in [key for key in strip.keys() if key.startswith("wan_vse_")]:  # noqa: SIM118, a strip is no dict
            del strip[key]
        words = "The strip plays this take's files. Its other takes, {} of them, stay on the disk."
        self.report({"INFO"}, rpt_(words).format(left) if left else rpt_("The strip plays this take's files."))
        return {"FINISHED"}


def _goes_on(strip: compat.Strip | None) -> bool:
    """Whether any take is still being made for the strip."""
    jobs = session.current().jobs
    waiting = strip_takes.pending(strip) if strip is not None else ()
    return any((status := jobs.get(job_id)) is not None and not status.state.ended for job_id in waiting)


def how_made(strip: compat.Strip, job_id: str = "") -> TakeRequest | None:
    """What one of the strip's takes was asked for; by default the one that it shows. None if that can't be read."""
    again = again_of(strip, job_id or untrusted.id_in(strip, identity.JOB))
    return again.made if again is not None else None


class AsksForTakes(Refusing):
    """An operator that asks for one more take of a strip, in its place."""

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why no take can be asked for; empty if one can."""
        sentence = timeline_refusal(context)
        if sentence:
            return sentence
        strip = take_strip(context)
        if strip is None or not identity.role_of(strip):
            return NO_TAKE
        return (NO_SETTINGS if how_made(strip) is None else "") or backend_refusal()


class WAN_VSE_OT_new_take(AsksForTakes, bpy.types.Operator):
    """Make another take of this strip, in its place: with its settings, and the prompt as it is written in the panel"""

    bl_idname = "wan_vse.new_take"
    bl_label = "Wan: New Take"
    bl_options: ClassVar = {"UNDO"}  # no REGISTER: adjusting it would ask once more

    count: bpy.props.IntProperty(
        name="Takes",
        description="How many takes to make, each with a seed of its own",
        default=1,
        min=1,
        max=MAX_COUNT,
        options={"SKIP_SAVE"},
    )
    same_seed: bpy.props.BoolProperty(
        name="Same Seed",
        description="Use the seed of the take again, to see what other words change or because its files are gone",
        options={"SKIP_SAVE"},
    )
    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """The take that is made anew; empty: the one that the strip shows."""

    @timed("operator new_take")
    def execute(self, context: bpy.types.Context) -> Result:
        strip: Any = take_strip(context)
        try:
            asked = ask_again(context, self.count, self.same_seed, self.job_id)
        except request.Refused as refused:
            self.report({"WARNING"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        words = rpt_("Started {} takes of '{}'.") if asked > 1 else rpt_("Started another take of '{1}'.")
        self.report({"INFO"}, words.format(asked, strip.name))
        return {"FINISHED"}


def ask_again(context: bpy.types.Context, count: int = 1, same_seed: bool = False, job_id: str = "") -> int:
    """Ask for more takes of the strip, of the shown take unless a job is given; returns how many. Raises Refused."""
    scene: Any = compat.sequencer_scene(context)
    strip: Any = take_strip(context)
    again = again_of(strip, job_id or untrusted.id_in(strip, identity.JOB))
    if again is None:
        raise request.Refused(f"{rpt_(NO_SETTINGS)}.")
    changed = replace(again.made, prompt=_edited_prompt(scene, strip, job_id) or again.made.prompt)
    if not same_seed:
        changed = replace(changed, seed=secrets.randbelow(MAX_SEED + 1))
    checked = request.check_prompt(changed.prompt, may_be_empty=not again.made.prompt)
    if checked.refusal:
        raise request.Refused(checked.refusal)
    return len(ask_onto(scene, strip, replace(again, made=changed), count))


def _edited_prompt(scene: bpy.types.Scene, strip: compat.Strip, job_id: str = "") -> str:
    """The prompt as the panel's field has it, if that is about the strip's shown take; else empty."""
    if job_id or strip != compat.active_strip(scene):
        return ""
    return str(getattr(settings_in(scene), "take_prompt", "")).strip()


def has_edited_take(context: bpy.types.Context) -> bool | None:
    """Whether the strip has, or waits for, its shown take in the words of the field; None if those are its own."""
    scene: Any = compat.sequencer_scene(context)
    strip = take_strip(context)
    made = how_made(strip) if strip is not None else None
    prompt = _edited_prompt(scene, strip) if strip is not None else ""
    if made is None or not prompt or prompt == made.prompt.strip():
        return None
    return like_on(strip, replace(made, prompt=prompt)) is not None


def ask_onto(scene: bpy.types.Scene, strip: compat.Strip, again: Again, count: int = 1) -> list[TakeRequest]:
    """Ask for takes that come onto the strip, and are as long as the one that was made. Raises Refused."""
    identity.sweep()  # a copy of the strip, just made, gets an id of its own
    strip_id = untrusted.id_in(strip, identity.STRIP)
    return generate_all(scene, planned_onto(scene, strip, again), count, strip.name, strip_id)


def planned_onto(scene: bpy.types.Scene, strip: compat.Strip, again: Again) -> PlannedTake:
    """A take that comes onto the strip, and is as long as the one that was made. Raises Refused."""
    return planned_again(scene, strip, takes_again.in_place(scene, strip, again.made), again.asked)


def like_on(strip: compat.Strip, wanted: TakeRequest) -> strip_takes.KeptTake | strip_takes.Asked | None:
    """The take like that which the strip keeps or waits for; one that is rejected or failed doesn't count."""
    jobs = session.current().jobs
    for asked in strip_takes.asked_for(strip):
        status = jobs.get(asked.job_id)
        goes_on = status is None or not status.state.ended or status.state is JobState.DONE
        if goes_on and _is_like(asked.request, wanted):
            return asked
    for take in strip_takes.takes_of(strip):
        text = strip_takes.made_of(strip, take.job_id).request if take.mark != strip_takes.REJECT else ""
        if _is_like(text, wanted):
            return take
    return None


def _is_like(text: str, wanted: TakeRequest) -> bool:
    other = untrusted.request(text) if text else None
    return other is not None and (other.quality, other.seed, other.prompt, other.words, other.finish) == (
        wanted.quality,
        wanted.seed,
        wanted.prompt,
        wanted.words,
        wanted.finish,
    )


CLASSES = (
    WAN_VSE_OT_flip_take,
    WAN_VSE_OT_show_kept_take,
    WAN_VSE_OT_new_take,
    WAN_VSE_OT_mark_take,
    WAN_VSE_OT_note_take,
    WAN_VSE_OT_keep_take,
)
