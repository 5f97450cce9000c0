"""Operators that ask for takes: one for each of the seven tasks, and one for another take with a strip's settings."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import Origin, Plan, ProblemKind, Source, TakeRequest, Task
from ...wan_backend.protocol.sentences import as_sentence
from .. import preferences
from ..jobs import planned_takes, project, request, session, sourcing, takes_again, unknown_jobs
from ..properties import MAX_SEED, OverriddenSettings, WanSettings, settings_in, settings_of
from ..stopwatch import timed
from ..timeline import (
    compat,
    free_space,
    identity,
    picture_files,
    provenance,
    scene_format,
    selection,
    strip_columns,
    strip_takes,
    targets,
    text_strips,
    untrusted,
)
from ..translation import translated
from . import presets, snapshot
from .apply_settings import made_refusal
from .refusing import Refusing, Result, backend_refusal, timeline_refusal

PLANNED = "planned"
"""In place of a job's id while a take is only planned."""
MAX_COUNT = 8
"""The most takes that one click asks for at one place."""
LOOK_SECONDS = 0.5
"""For this long, redraws use what was found of a take's sources."""
Settings = OverriddenSettings | WanSettings


class TaskOperator(Refusing):
    """An operator that asks for the takes of `task` with the panel's settings, except for those of `changed`."""

    task: ClassVar[Task]
    changed: ClassVar[dict[str, Any]] = {}

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        """Why no take of the task can be asked for now; empty if one can, or if all that is missing is words."""
        sentence = timeline_refusal(context) or backend_refusal()
        if sentence:
            return sentence
        scene = compat.sequencer_scene(context)
        takes = snapshot.takes_of(scene, settings_in(scene), cls.task, cls.changed)
        lacks_words = _lacks_words(settings_in(scene), takes)
        asked = (not lacks_words and takes.refusal) or request_with_sources(scene, takes.planned[0])
        if isinstance(asked, str):
            return asked.removesuffix(".")  # Blender ends the tooltip's sentence itself
        plan = session.current().server.plan_query.plan_of(asked)
        if plan is not None and may_yet_be_found(plan):
            return as_sentence(session.current().server.looking).unended()
        return as_sentence(plan.problem.sentence).unended() if plan is not None and plan.problem is not None else ""

    @classmethod
    def words_refusal(cls, context: bpy.types.Context) -> str:
        """What is wrong with the words of the prompt's field, if nothing else is; empty if they will do."""
        scene = compat.sequencer_scene(context)
        settings = settings_in(scene)
        takes = snapshot.takes_of(scene, settings, cls.task, cls.changed)
        return takes.refusal.removesuffix(".") if _lacks_words(settings, takes) else ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Ask for the words first, where only they are missing: a pie or a menu shows no field."""
        if self.words_refusal(context):
            making = type(self).__name__.removeprefix("WAN_VSE_OT_")  # an operator's own bl_idname is another
            bpy.ops.wan_vse.prompt_dialog("INVOKE_DEFAULT", making=making)  # type: ignore[attr-defined]
            return {"CANCELLED"}  # the dialog goes on by itself
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> Result:
        """Ask for each take, show the last one's seed in the panel, and report."""
        with timed(f"operator {self.task.value}"):
            return submit(self, context, self._settings(context), self.task)

    @classmethod
    def _settings(cls, context: bpy.types.Context) -> Settings:
        settings = settings_of(context)
        return OverriddenSettings(settings, **cls.changed) if cls.changed else settings


def _lacks_words(settings: WanSettings, takes: snapshot.ShownTakes) -> bool:
    """Whether the takes could be asked for if other words stood in the prompt's field."""
    return bool(takes.refusal and takes.planned) and settings.prompt_source == "FIELD"


def request_with_sources(scene: bpy.types.Scene, take: planned_takes.PlannedTake) -> TakeRequest | str:
    """The take's request with its sources, to be planned; or why they can't be used.

    It is cheap enough for a draw: at most twice a second, a few of the strips' files are looked at.
    """
    global _found_sources
    if take.target is None or not take.target.wanted:
        return take.request
    key = (scene.as_pointer(), take.target.wanted, take.request.media_folder)
    if _found_sources is None or _found_sources.key != key or time.monotonic() > _found_sources.until:
        _found_sources = _find_sources(scene, take, key)
    if _found_sources.refusal:
        return _found_sources.refusal
    return replace(take.request, sources=list(_found_sources.sources))


@dataclass(frozen=True)
class _FoundSources:
    """What was found of a take's sources; valid until the time `until`."""

    key: tuple[Any, ...]
    until: float
    sources: tuple[Source, ...] = ()
    refusal: str = ""


_found_sources: _FoundSources | None = None


def _find_sources(scene: bpy.types.Scene, take: planned_takes.PlannedTake, key: tuple[Any, ...]) -> _FoundSources:
    until = time.monotonic() + (0.0 if bpy.app.background else LOOK_SECONDS)
    look = picture_files.look_at_all if bpy.app.background else picture_files.glance
    made = planned_takes.sources_of(scene, take, PLANNED, look)
    if isinstance(made, str):
        return _FoundSources(key, until, refusal=made)
    return _FoundSources(key, until, tuple(source for _, source, _ in made))


def may_yet_be_found(plan: Plan) -> bool:
    """True if the model was not found, but the first search of the models folders still goes on."""
    missing = plan.problem is not None and plan.problem.kind is ProblemKind.MODEL_MISSING
    return missing and bool(session.current().server.looking)


def submit(
    operator: Any,
    context: bpy.types.Context,
    settings: Settings,
    task: Task,
    selected: selection.Selection | None = None,
) -> Result:
    """Ask for the takes, and report; returns the operator's result. `selected` stands for what is selected."""
    scene = compat.sequencer_scene(context)
    asked: list[TakeRequest] = []
    try:
        for take in _takes_now(
            scene, settings, task, selected
        ):  # a list: all places are found before a placeholder takes one
            take = within_its_plan(scene, take)
            asked += generate_all(scene, take, count_in(settings))
            if take.target is not None and settings_in(scene).mute_text_strips:
                _mute_text_strips(scene, take.target, take.words)
            if settings_in(scene).mute_kept_pictures:
                _mute(scene, (strip.name for strip in take.pictures.kept))
    except request.Refused as refused:
        operator.report({"WARNING"}, translated(refused.sentence, rpt_))
        if not asked:
            return {"CANCELLED"}
    settings_in(scene).seed = asked[-1].seed
    operator.report({"INFO"}, _report(asked))
    return {"FINISHED"}


def _mute(scene: bpy.types.Scene, names: Iterable[str]) -> None:
    for name in names:
        strip = compat.strip_named(scene, name)
        if strip is not None:
            strip.mute = True


def _mute_text_strips(scene: bpy.types.Scene, target: targets.Target, over: text_strips.WordsOver) -> None:
    """Mute the text strips that a take is made for: their words were meant for the model."""
    _mute(scene, {each.strip_name for each in over.words if each.strip_name})
    if not target.prompt:
        return
    for strip in strip_columns.selected_strips(scene, selection.MAX_STRIPS):
        is_there = (compat.start(strip), compat.end_exclusive(strip)) == (target.start, target.end_exclusive)
        if strip.type == "TEXT" and is_there and " ".join(strip.text.split()) == target.prompt:
            strip.mute = True


def count_in(settings: Any) -> int:
    """How many takes a click asks for at each place."""
    return min(max(1, int(settings.take_count)), MAX_COUNT)


def generate_all(
    scene: bpy.types.Scene, take: planned_takes.PlannedTake, count: int, name: str = "", onto: str = ""
) -> list[TakeRequest]:
    """Ask for `count` takes for one place, each with a seed of its own; returns their requests. Raises Refused.

    They come onto the strip with the id `onto`, else onto the one placeholder that is put there.
    """
    current = session.current()
    asked: list[TakeRequest] = []
    for number in range(count):
        seed = (take.request.seed + number) % (MAX_SEED + 1)
        one = replace(take, request=replace(take.request, seed=seed))
        try:
            job_id = current.generate(scene, one, name, onto)
        except request.Refused:
            if not asked:
                raise
            break  # the strip waits for as many as it can; what was asked for is said
        asked.append(one.request)
        onto = onto or current.file.strip_id_of(job_id)
    presets.files().use_prompt(take.request.prompt)
    return asked


def _takes_now(
    scene: bpy.types.Scene, settings: Settings, task: Task, selected: selection.Selection | None
) -> list[planned_takes.PlannedTake]:
    """The takes that a click asks for, each with a new seed unless it is locked. Raises Refused."""
    model = session.current().server.model(settings.model)
    made = planned_takes.takes_now(scene, settings, preferences.get(), task, model, selected)
    if isinstance(made, str):
        raise request.Refused(made)
    return made


def within_its_plan(scene: bpy.types.Scene, take: planned_takes.PlannedTake) -> planned_takes.PlannedTake:
    """The take, shortened to the length that its plan says it will have. Raises Refused."""
    asked = request_with_sources(scene, take)
    if isinstance(asked, str):
        raise request.Refused(asked)
    plan = session.current().server.plan_query.plan_of(asked)
    return replace(take, request=request.within_plan(take.request, plan))


def _report(asked: list[TakeRequest]) -> str:
    if len(asked) > 1:
        return rpt_("Started {} takes, one after the other.").format(len(asked))
    origin = asked[0].origin
    end = origin.start + asked[0].length_frames
    return rpt_("Started a take on channel {}, frames {} to {}.").format(origin.channel, origin.start, end - 1)


class WAN_VSE_OT_generate(TaskOperator, bpy.types.Operator):
    """Make a take from the prompt at the playhead. A placeholder marks its place until it is done"""

    bl_idname = "wan_vse.generate"
    bl_label = "Wan: Generate Take"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.TEXT_TO_VIDEO


class WAN_VSE_OT_generate_into_gap(TaskOperator, bpy.types.Operator):
    """Make a take from the prompt that is as long as the gap under the playhead, from strip to strip"""

    bl_idname = "wan_vse.generate_into_gap"
    bl_label = "Wan: Generate into Gap"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.TEXT_TO_VIDEO
    changed: ClassVar = {"length_mode": targets.ONLY_GAP}


class WAN_VSE_OT_animate_picture(TaskOperator, bpy.types.Operator):
    """Make a take that begins on the selected picture, and ends on the second one if two are selected"""

    bl_idname = "wan_vse.animate_picture"
    bl_label = "Wan: Animate Picture"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.IMAGE_TO_VIDEO


class WAN_VSE_OT_restyle(TaskOperator, bpy.types.Operator):
    """Restyle the selected footage in the look of the prompt, frame by frame on the channel above it"""

    bl_idname = "wan_vse.restyle"
    bl_label = "Wan: Restyle Footage"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.RESTYLE


class WAN_VSE_OT_fill_gap(TaskOperator, bpy.types.Operator):
    """Make a take that exactly fills the gap between two strips: the selected ones, or those around the playhead"""

    bl_idname = "wan_vse.fill_gap"
    bl_label = "Wan: Fill Gap"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.FILL_GAP


class WAN_VSE_OT_extend(TaskOperator, bpy.types.Operator):
    """Make a take that continues from the strip's end, or leads up to its start; a held part sets the length"""

    bl_idname = "wan_vse.extend"
    bl_label = "Wan: Extend Strip"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.EXTEND


class WAN_VSE_OT_dress_previs(TaskOperator, bpy.types.Operator):
    """Make a take with the scene strip's depth and camera move (with a Fun Camera model, the camera move alone), \
in the look of the prompt or a selected picture"""

    bl_idname = "wan_vse.dress_previs"
    bl_label = "Wan: Dress Previs"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.PREVIS


class WAN_VSE_OT_edit_footage(TaskOperator, bpy.types.Operator):
    """Change in the selected footage what the prompt says, frame by frame on the channel above it; stills that are \
selected along with it are reference pictures"""

    bl_idname = "wan_vse.edit_footage"
    bl_label = "Wan: Edit Footage"
    bl_options: ClassVar = {"REGISTER", "UNDO"}
    task = Task.EDIT


class WAN_VSE_OT_regenerate(Refusing, bpy.types.Operator):
    """Make another take with the settings of the active strip, above it and over the same frames"""

    bl_idname = "wan_vse.regenerate"
    bl_label = "Wan: Regenerate Take"
    bl_options: ClassVar = {
        "UNDO"
    }  # no REGISTER: adjusting it would undo a take that was placed meanwhile, and ask for another

    seed: bpy.props.EnumProperty(
        name="Seed",
        description="The seed of the new take",
        items=[
            ("NEW", "New Seed", "Another take with the same prompt"),
            ("SAME", "Same Seed", "The same take again, for example after its files were lost"),
        ],
    )

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return made_refusal(context) or backend_refusal()

    @timed("operator regenerate")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        strip = compat.active_strip(scene)
        made = identity.request_of(strip)
        if made is not None and made.finish is not None:
            again_made = takes_again.again_of(strip, untrusted.id_in(strip, identity.JOB))
            made = again_made.made if again_made is not None else None
        if made is None:
            self.report({"WARNING"}, f"{translated(made_refusal(context), rpt_)}.")
            return {"CANCELLED"}
        try:
            again = _request_again(scene, strip, made, self.seed == "SAME")
            session.current().generate(scene, planned_again(scene, strip, again), strip.name)
        except request.Refused as refused:
            self.report({"WARNING"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        self.report({"INFO"}, rpt_("Started another take on channel {}.").format(again.origin.channel))
        return {"FINISHED"}


def _request_again(scene: bpy.types.Scene, strip: compat.Strip, made: TakeRequest, same_seed: bool) -> TakeRequest:
    """The request that the strip was made for, for a take above the strip. Raises Refused."""
    start, end = compat.start(strip), compat.end_exclusive(strip)
    if made.sources or made.camera is not None:  # which are as long as the whole take
        start -= _left_out(strip)
        end = start + made.length_frames
    above = free_space.first_free_channel(scene, start, end, strip.channel + 1)
    channel = above or free_space.first_free_channel(scene, start, end)
    if channel is None:
        raise request.Refused("Every channel is taken over this strip: make room above it.")
    return replace(
        made,
        length_frames=end - start,
        frame_rate=scene_format.rate_of(scene),
        seed=made.seed if same_seed else secrets.randbelow(MAX_SEED + 1),
        media_folder=request.media_folder(preferences.get()),
        origin=Origin(project.path(), project.id_to_be(), scene.name_full, channel, start),
    )


def planned_again(
    scene: bpy.types.Scene, strip: compat.Strip, again: TakeRequest, made_from_text: str | None = None
) -> planned_takes.PlannedTake:
    """The take for `again`: with the files of its sources if they are on the disk, else from their strips.

    `made_from_text` is the Provenance as JSON; without one, the strip's own. Raises Refused.
    """
    text = untrusted.text_in(strip, provenance.PROPERTY) if made_from_text is None else made_from_text
    if all(unknown_jobs.may_be_read(source) and sourcing.is_there(source) for source in again.sources):
        is_made_from_strips = bool(again.sources) or again.camera is not None
        return planned_takes.PlannedTake(again, provenance_text=text if is_made_from_strips else "")
    made_from = provenance.read(text)
    if made_from is None:
        raise request.Refused(
            "The strips that this take was made from are no longer known: select them, and make the take again."
        )
    start = again.origin.start
    return planned_takes.PlannedTake(
        again, provenance.target_again(scene, made_from, start, start + again.length_frames, again.origin.channel)
    )


def _left_out(strip: compat.Strip) -> int:
    """How many of the take's first frames the strip leaves out."""
    if identity.role_of(strip) == identity.PLACEHOLDER_ROLE:
        return identity.offset_frames(strip)
    return max(0, compat.start(strip) - compat.content_start(strip) - strip_takes.shown_handle(strip))


CLASSES = (
    WAN_VSE_OT_generate,
    WAN_VSE_OT_generate_into_gap,
    WAN_VSE_OT_animate_picture,
    WAN_VSE_OT_restyle,
    WAN_VSE_OT_fill_gap,
    WAN_VSE_OT_extend,
    WAN_VSE_OT_dress_previs,
    WAN_VSE_OT_edit_footage,
    WAN_VSE_OT_regenerate,
)
