"""Operators on trainings: the strips that a LoRA is trained from, its start, and the use of what came of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import JobState, JobStatus, Plan, TakeRequest, TrainedLora
from .. import preferences
from ..jobs import lora_rows, planned_takes, planned_training, request, session
from ..jobs.planned_training import PlannedTraining
from ..properties import WanSettings, settings_in, settings_of, task_of, training
from ..stopwatch import timed
from ..timeline import compat, picture_files, strip_columns, text_strips, training_clips
from ..translation import translated
from .make_takes import PLANNED, may_yet_be_found
from .queue_jobs import OnJob
from .refusing import OnTimeline, Result, backend_refusal

LOOK_SECONDS = 0.5
"""For so long, or twenty times what it took, redraws use what was found."""
SLICE_SECONDS = 0.01
"""Strips are looked at for so long in a redraw; the next one goes on."""
KEPT_SECONDS = 3.0
"""What was found of a strip is looked at again after this."""
VALUES = (
    *("name", "trigger", "only_with_trigger", "kind", "length", "caption", "sample_prompt"),
    *("steps", "learning_rate", "rank", "noisy_share"),
)
"""The settings that a training is asked for with, beside its strips."""
PLAN_SECONDS = 10.0
"""For so long, a click waits for the backend's plan where no panel has asked for it yet."""
TICK_SECONDS = 0.1
NO_LORA = "The training has brought no LoRA yet"
NO_TRIGGER = "The LoRA's file names no trigger"


@dataclass(frozen=True)
class _Shown:
    """What the panel shows; valid until the time `until`."""

    key: tuple[Any, ...]
    until: float
    planned: PlannedTraining


_shown: _Shown | None = None


class _Reader:
    """Reads strips for redraws, a few at a time: a strip is held against all others, for what lies below it."""

    def __init__(self) -> None:
        self.is_whole = True
        """Whether every strip that was asked for since `begin` is known."""
        self._known: dict[training_clips.StripClips, tuple[float, planned_training.StripRead]] = {}
        self._until = 0.0

    def begin(self) -> None:
        """A redraw begins."""
        self.is_whole = True
        self._until = time.perf_counter() + SLICE_SECONDS
        if len(self._known) > 4 * training_clips.MAX_STRIPS:
            self._known.clear()

    def read(
        self, scene: bpy.types.Scene, clips: training_clips.StripClips, folder: str, look: picture_files.FileLook
    ) -> planned_training.StripRead:
        """What was found of the strip, or is found now; without sources where there is no time for it."""
        known, now = self._known.get(clips), time.perf_counter()
        if known is not None and (now < known[0] or now > self._until):
            return known[1]
        if now > self._until:
            self.is_whole = False
            return clips, []
        found = planned_training.read_strip(scene, clips, folder, look)
        self._known[clips] = now + KEPT_SECONDS, found
        return found


_reader = _Reader()


def is_whole() -> bool:
    """Whether all strips of the list were looked at; else the next redraws go on."""
    return _reader.is_whole


def shown(scene: bpy.types.Scene, settings: WanSettings) -> PlannedTraining:
    """What the panel's settings would train; worked out again when something changed, else now and then.

    Safe in a draw: of the strips' files, few are looked at each time.
    """
    global _shown
    key = _key(scene, settings)
    now = time.monotonic()
    if _shown is None or _shown.key != key or now > _shown.until or bpy.app.background:
        if bpy.app.background:
            planned = _plan(scene, settings, picture_files.look_at_all)
        else:
            _reader.begin()
            planned = _plan(scene, settings, picture_files.glance, _reader.read)
        took = time.monotonic() - now
        until = now + took + max(LOOK_SECONDS, 20 * took) if _reader.is_whole else now
        _shown = _Shown(key, until, planned)
    return _shown.planned


def _plan(
    scene: bpy.types.Scene,
    settings: WanSettings,
    look: picture_files.FileLook,
    read: planned_training.Read | None = None,
) -> PlannedTraining:
    model = session.current().server.model(settings.model)
    media = request.media_folder(preferences.get())
    folder = os.path.join(media, planned_takes.SOURCES_FOLDER, PLANNED)
    return planned_training.plan(scene, settings, preferences.get(), model, folder, look, read)


def _key(scene: bpy.types.Scene, settings: WanSettings) -> tuple[Any, ...]:
    asked = settings.training
    values = (getattr(asked, name) for name in VALUES)
    strips = compat.shown_strips(scene)
    columns = strip_columns.columns(strips)
    places = (columns.starts, columns.ends_exclusive, columns.channels, columns.kinds)
    return (
        scene.as_pointer(),
        *values,
        tuple((row.name, row.use, row.caption) for row in asked.clips),
        None if len(asked.clips) else tuple(strip_columns.selected(strips)),
        *(column.tobytes() for column in places),
        bytes(columns.mutes),
        text_strips.texts(scene),
        settings.model,
        settings.resolution,
        settings.seed_locked,
        settings.seed,
        tuple(session.current().server.models),
        request.media_folder(preferences.get()),
    )


def plan_of(asked: TakeRequest | None) -> Plan | None:
    """The backend's plan for that training; None while it isn't known."""
    return session.current().server.training_plan_query.plan_of(asked) if asked is not None else None


def wanted_plan(asked: TakeRequest | None) -> Plan | None:
    """The backend's plan for that training, which is asked for: also where no panel shows it."""
    server = session.current().server
    if asked is not None and server.status.state == "ready":
        server.training_plan_query.want(asked)
    return plan_of(asked)


def refusals(scene: bpy.types.Scene, settings: WanSettings) -> str:
    """All that stands against the training, as one text; empty where nothing does."""
    planned = shown(scene, settings)
    found = [planned.refusal] if planned.refusals else []
    plan = wanted_plan(planned.request)
    if plan is not None and plan.problem is not None:
        waits = may_yet_be_found(plan)
        found.append(translated(session.current().server.looking if waits else plan.problem.sentence))
    return " ".join(found)


def _waits_for_plan(scene: bpy.types.Scene, settings: WanSettings) -> bool:
    """Whether the backend has yet to say if it can train that."""
    asked, server = shown(scene, settings).request, session.current().server
    if asked is None or server.status.state != "ready" or server.training_plan_query.sentence:
        return False
    return wanted_plan(asked) is None


def _too_many() -> str:
    return rpt_(training_clips.TOO_MANY).format(training_clips.MAX_STRIPS)


class WAN_VSE_OT_choose_clips(OnTimeline, bpy.types.Operator):
    """Make the selected strips those that a LoRA is trained from. With Shift, add them to the list"""

    bl_idname = "wan_vse.choose_clips"
    bl_label = "Wan: Train from Selected Strips"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    extend: bpy.props.BoolProperty(
        name="Extend", description="Add them to the strips that are on the list", options={"SKIP_SAVE"}
    )

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        scene = compat.sequencer_scene(context)
        if not strip_columns.selected_strips(scene, 1):
            return "Select the strips to train from: movies, pictures, scenes, meta strips"
        return ""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Take note of Shift."""
        self.extend = self.extend or event.shift
        return self.execute(context)

    @timed("operator choose_clips")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        found = training_clips.selected(scene)
        if not found:
            self.report({"WARNING"}, "None of the selected strips has a picture to train from.")
            return {"CANCELLED"}
        asked = settings_in(scene).training
        most = training_clips.MAX_STRIPS - (len(asked.clips) if self.extend else 0)
        if len(found) > most:
            self.report({"WARNING"}, _too_many())
            return {"CANCELLED"}
        training.choose(asked, [each.name for each in found], self.extend)
        return {"FINISHED"}


class WAN_VSE_OT_remove_clip(OnTimeline, bpy.types.Operator):
    """Take the chosen strip off the list. It stays on the timeline"""

    bl_idname = "wan_vse.remove_clip"
    bl_label = "Wan: Take Strip off the List"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        return "" if len(settings_of(context).training.clips) else "The list is empty"

    @timed("operator remove_clip")
    def execute(self, context: bpy.types.Context) -> Result:
        asked = settings_of(context).training
        number = min(max(0, asked.active_clip), len(asked.clips) - 1)
        asked.clips.remove(number)
        asked.active_clip = max(0, min(number, len(asked.clips) - 1))
        return {"FINISHED"}


class WAN_VSE_OT_train_lora(OnTimeline, bpy.types.Operator):
    """Train a LoRA from the strips of the list, or from the selected ones while it is empty"""

    bl_idname = "wan_vse.train_lora"
    bl_label = "Wan: Train LoRA"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        scene = compat.sequencer_scene(context)
        settings = settings_in(scene)
        sentence = backend_refusal()
        if sentence:
            return sentence
        return refusals(scene, settings).removesuffix(".")

    _timer: bpy.types.Timer | None = None
    _until = 0.0

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Wait for the plan where it isn't known: nothing is rendered for a model that can't be trained."""
        scene = compat.sequencer_scene(context)
        if not _waits_for_plan(scene, settings_in(scene)) or context.window is None:
            return self.execute(context)
        self._timer = context.window_manager.event_timer_add(TICK_SECONDS, window=context.window)
        self._until = time.monotonic() + PLAN_SECONDS
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> Result:
        """Start once the plan is there, unless it says that nothing can be trained."""
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        scene = compat.sequencer_scene(context)
        settings = settings_in(scene)
        if _waits_for_plan(scene, settings) and time.monotonic() < self._until:
            return {"PASS_THROUGH"}
        self.cancel(context)
        sentence = refusals(scene, settings)
        if sentence:
            self.report({"WARNING"}, sentence)
            return {"CANCELLED"}
        return self.execute(context)

    def cancel(self, context: bpy.types.Context) -> None:
        """Wait no more."""
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None

    @timed("operator train_lora")
    def execute(self, context: bpy.types.Context) -> Result:
        scene = compat.sequencer_scene(context)
        settings = settings_in(scene)
        if not len(settings.training.clips):
            found = training_clips.selected(scene)
            if len(found) > training_clips.MAX_STRIPS:
                self.report({"WARNING"}, _too_many())
                return {"CANCELLED"}
            training.choose(settings.training, [each.name for each in found], False)
        planned = _plan(scene, settings, picture_files.look_at_many)
        if planned.refusals or planned.take is None:
            self.report({"WARNING"}, planned.refusal or rpt_(planned_training.NOTHING_CHOSEN))
            return {"CANCELLED"}
        try:
            session.current().train(scene, planned.take)
        except request.Refused as refused:
            self.report({"ERROR"}, translated(refused.sentence, rpt_))
            return {"CANCELLED"}
        words = "Training '{}': it stands in the queue, and other takes may go first."
        self.report({"INFO"}, rpt_(words).format(settings.training.name.strip()))
        return {"FINISHED"}


def kept_lora(job: JobStatus, step: int) -> TrainedLora | None:
    """The LoRA that a training has kept after that step; the newest for step 0. None if there is none."""
    kept = job.training.kept if job.training is not None else []
    return next((each for each in reversed(kept) if step in (0, each.step)), None)


class WAN_VSE_OT_use_trained(OnJob, bpy.types.Operator):
    """Use this LoRA for takes, in place of the others of its training"""

    bl_idname = "wan_vse.use_trained"
    bl_label = "Wan: Use Trained LoRA"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    step: bpy.props.IntProperty(
        name="Step",
        description="The step after which the LoRA was kept; 0 for the newest",
        min=0,
        options={"SKIP_SAVE"},
    )

    @classmethod
    def job_refusal(cls, job: JobStatus) -> str:
        return "" if kept_lora(job, 0) is not None else NO_LORA

    def run(self, context: bpy.types.Context, job: JobStatus) -> Result:
        settings = settings_of(context)
        lora = kept_lora(job, self.step)
        if settings is None or lora is None:
            self.report({"WARNING"}, rpt_("The LoRA of step {} is not kept anymore.").format(self.step))
            return {"CANCELLED"}
        if not os.path.exists(lora.path):
            self.report({"WARNING"}, rpt_("{} is not there: train it again, or move it back.").format(lora.path))
            return {"CANCELLED"}
        assert job.training is not None
        row = lora_rows.use_trained(settings, job.training, lora, job.summary.title)
        is_done = job.state is JobState.DONE and lora == job.training.newest
        words = "Takes are made with '{}' now." if is_done else "Takes are made with '{}' now; the training goes on."
        if job.state.ended and not is_done:
            words = "Takes are made with '{}' now."
        self.report({"INFO"}, rpt_(words).format(row.name))
        return {"FINISHED"}


class WAN_VSE_OT_add_trigger(OnTimeline, bpy.types.Operator):
    """Put the chosen LoRA's trigger before the prompt, if the prompt lacks it"""

    bl_idname = "wan_vse.add_trigger"
    bl_label = "Wan: Trigger into Prompt"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    @classmethod
    def refusal_there(cls, context: bpy.types.Context) -> str:
        settings = settings_of(context)
        row = lora_rows.chosen(settings)
        if row is None:
            return "The list of LoRAs is empty"
        if not row.trigger:
            return NO_TRIGGER
        if settings.prompt_source != "FIELD":
            return "The prompt isn't written in the panel: write the trigger where it is"
        field = request.PROMPT_FIELDS[task_of(settings)]
        return "The prompt has it already" if lora_rows.has_trigger(getattr(settings, field), row.trigger) else ""

    @timed("operator add_trigger")
    def execute(self, context: bpy.types.Context) -> Result:
        settings = settings_of(context)
        row = lora_rows.chosen(settings)
        field = request.PROMPT_FIELDS[task_of(settings)]
        if row is None or not row.trigger or lora_rows.has_trigger(getattr(settings, field), row.trigger):
            self.report({"WARNING"}, NO_TRIGGER)
            return {"CANCELLED"}
        setattr(settings, field, ", ".join(filter(None, (row.trigger, getattr(settings, field).strip()))))
        return {"FINISHED"}


CLASSES = (
    WAN_VSE_OT_choose_clips,
    WAN_VSE_OT_remove_clip,
    WAN_VSE_OT_train_lora,
    WAN_VSE_OT_use_trained,
    WAN_VSE_OT_add_trigger,
)
