"""Operators that fill the panel with a take's settings, or apply a Fix that the backend proposes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ...wan_backend.protocol.messages import (
    Expert,
    FixAction,
    FixSetting,
    Guide,
    JobStatus,
    Role,
    TakeRequest,
    Task,
    TransformerPart,
)
from ..jobs import lora_rows, session
from ..jobs.request import PROMPT_FIELDS
from ..properties import MAX_SEED, WanSettings, scene_of, settings_of, task_of
from ..stopwatch import timed
from ..timeline import compat, identity, provenance
from .refusing import ROW_POINTER, Refusing, Result, job_of, request_of_job, timeline_refusal


class WAN_VSE_OT_load_settings(Refusing, bpy.types.Operator):
    """Load the settings of the active strip, or of the given job, into the panel"""

    bl_idname = "wan_vse.load_settings"
    bl_label = "Wan: Load Settings from Strip"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        sentence = timeline_refusal(context)
        if sentence or getattr(context, ROW_POINTER, None) is not None:
            return sentence
        return made_refusal(context)

    @timed("operator load_settings")
    def execute(self, context: bpy.types.Context) -> Result:
        job = job_of(self.job_id) if self.job_id else None
        if job is not None:
            request = request_of_job(self, job)
            if request is None:
                return {"CANCELLED"}
        else:
            request = identity.request_of(compat.active_strip(compat.sequencer_scene(context)))
        if request is None:
            self.report({"WARNING"}, "There are no settings to load: the active strip was not made by Wan VSE.")
            return {"CANCELLED"}
        settings = settings_of(context)
        if request.training is not None:
            fill_training(settings, request)
        else:
            fill(settings, request)
            settings.task = request.task.name
        self.report({"INFO"}, rpt_("Loaded the settings. The seed is locked to {}.").format(settings.seed))
        return {"FINISHED"}


def made_refusal(context: bpy.types.Context) -> str:
    """Why the settings of the active strip are not known; empty if they are."""
    sentence = timeline_refusal(context)
    if sentence:
        return sentence
    if identity.request_of(compat.active_strip(compat.sequencer_scene(context))) is None:
        return "The active strip was not made by Wan VSE: select a take"
    return ""


def fill_training(settings: WanSettings, request: TakeRequest) -> None:
    """Set the training panel to what `request` asked for, with its seed locked. The list of strips stays."""
    asked, training = request.training, settings.training
    if asked is None:
        return
    training.name, training.trigger, training.caption = asked.name, asked.trigger, asked.caption
    training.kind, training.length, training.sample_prompt = asked.kind.name, asked.length.name, asked.sample_prompt
    training.steps, training.rank = asked.steps or 0, asked.rank or 0
    training.learning_rate, training.noisy_share = asked.learning_rate or 0.0, asked.noisy_share or 0.0
    training.only_with_trigger = asked.only_with_trigger
    settings.model_id, settings.resolution_name = request.model, request.resolution
    settings.seed, settings.seed_locked = min(max(0, request.seed), MAX_SEED), True


def fill(settings: WanSettings, request: TakeRequest) -> None:
    """Set the panel to what `request` asked for, with its seed locked."""
    settings.prompt_source, settings.words_over_time = "FIELD", bool(request.words)
    settings.keep_pictures = bool(request.kept_pictures)
    setattr(settings, PROMPT_FIELDS[request.task], request.prompt)
    settings.negative_prompt = request.negative_prompt
    settings.model_id, settings.resolution_name = request.model, request.resolution
    settings.quality, settings.media_format = request.quality.name, request.media_format.name
    settings.length_mode, settings.length_frames = "FRAMES", request.length_frames
    settings.conform, settings.step_cache = request.conform.name, request.step_cache.name
    settings.guidance_in_part = request.guidance_interval is not None
    if request.guidance_interval is not None:
        settings.guidance_start, settings.guidance_end = request.guidance_interval.start, request.guidance_interval.end
    settings.matrix_precision, settings.handles = request.matrix_precision.name, request.handle_frames > 0
    lora_rows.fill(settings, request.loras)
    if request.task is Task.RESTYLE:
        settings.strength, settings.guide = request.strength, request.guide.name
    elif request.task is Task.PREVIS:
        if request.camera is not None:
            settings.camera_scale = request.camera.scale
        else:
            settings.freedom = request.strength
            settings.blocking = "EDGES" if request.guide is Guide.EDGES else "DEPTH"
    elif request.task is Task.EXTEND:
        settings.extend_frames = request.length_frames
        settings.extend_direction = "FORWARD" if request.source(Role.AFTER) is None else "BACKWARD"
    settings.seed, settings.seed_locked = min(max(0, request.seed), MAX_SEED), True


class WAN_VSE_OT_apply_fix(Refusing, bpy.types.Operator):
    """Change this setting in the panel. For a job, its settings and strips are loaded first"""

    bl_idname = "wan_vse.apply_fix"
    bl_label = "Wan: Apply Fix"
    bl_options: ClassVar = {"REGISTER", "UNDO", "INTERNAL"}

    setting: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    value: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    action: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    job_id: bpy.props.StringProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def refusal(cls, context: bpy.types.Context) -> str:
        return timeline_refusal(context)

    @timed("operator apply_fix")
    def execute(self, context: bpy.types.Context) -> Result:
        settings = settings_of(context)
        if self.action in ACTIONS:
            return ACTIONS[FixAction(self.action)](self.value)
        if self.action:
            return self._refuse("This version of the panel can't do '{}': update Wan VSE.", self.action)
        if self.setting in SET_BY_QUALITY:
            what = SET_BY_QUALITY[FixSetting(self.setting)]
            self.report({"WARNING"}, rpt_("The quality sets the {}: choose another quality.").format(rpt_(what)))
            return {"CANCELLED"}
        if self.setting not in SETTERS:
            return self._refuse("This version of the panel can't set '{}': update Wan VSE.", self.setting)
        job = job_of(self.job_id) if self.job_id else None
        if job is not None and not self._show(settings, job):
            return {"CANCELLED"}
        try:
            SETTERS[FixSetting(self.setting)](settings, self.value)
        except (TypeError, ValueError):
            words = "This version of the panel can't set '{}' to '{}': update Wan VSE."
            return self._refuse(words, self.setting, self.value)
        return {"FINISHED"}

    def _show(self, settings: WanSettings, job: JobStatus) -> bool:
        """Fill the panel with the job's request; if that isn't known yet, report it and return False."""
        request = request_of_job(self, job)
        if request is None:
            return False
        if request.training is not None:
            fill_training(settings, request)
            return True
        fill(settings, request)
        provenance.select(scene_of(settings), job.job_id)  # first: a task is chosen for what is selected
        settings.task = request.task.name
        return True

    def _refuse(self, sentence: str, *words: str) -> Result:
        self.report({"WARNING"}, rpt_(sentence).format(*words))
        return {"CANCELLED"}


def _set_seed(settings: WanSettings, value: str) -> None:
    settings.seed, settings.seed_locked = int(value), True


def _set_length(settings: WanSettings, value: str) -> None:
    frames = int(value)
    if task_of(settings) is Task.EXTEND:
        settings.extend_frames = frames
    else:
        settings.length_mode, settings.length_frames, settings.as_long_as_strip = "FRAMES", frames, False


def _set_strength(settings: WanSettings, value: str) -> None:
    setattr(settings, "freedom" if task_of(settings) is Task.PREVIS else "strength", float(value))


def _set_camera_scale(settings: WanSettings, value: str) -> None:
    settings.camera_scale = float(value)


def _set_guide(settings: WanSettings, value: str) -> None:
    settings.guide = value.upper()


def _set_conform(settings: WanSettings, value: str) -> None:
    settings.conform = value.upper()


def _set_matrix_precision(settings: WanSettings, value: str) -> None:
    settings.matrix_precision = value.upper()


def _set_task(settings: WanSettings, value: str) -> None:
    settings.task = value.upper()


def _set_resolution(settings: WanSettings, value: str) -> None:
    settings.resolution = value


def _set_model(settings: WanSettings, value: str) -> None:
    settings.model = value


def _set_quality(settings: WanSettings, value: str) -> None:
    settings.quality = value.upper()


def _set_media_format(settings: WanSettings, value: str) -> None:
    settings.media_format = value.upper()


def _set_step_cache(settings: WanSettings, value: str) -> None:
    settings.step_cache = value.upper()


SETTERS: dict[FixSetting, Callable[[WanSettings, str], None]] = {
    FixSetting.SEED: _set_seed,
    FixSetting.LENGTH_FRAMES: _set_length,
    FixSetting.STRENGTH: _set_strength,
    FixSetting.CAMERA_SCALE: _set_camera_scale,
    FixSetting.GUIDE: _set_guide,
    FixSetting.CONFORM: _set_conform,
    FixSetting.MATRIX_PRECISION: _set_matrix_precision,
    FixSetting.TASK: _set_task,
    FixSetting.RESOLUTION: _set_resolution,
    FixSetting.MODEL: _set_model,
    FixSetting.QUALITY: _set_quality,
    FixSetting.MEDIA_FORMAT: _set_media_format,
    FixSetting.STEP_CACHE: _set_step_cache,
    FixSetting.WITHOUT_LORA: lora_rows.leave_out,
    FixSetting.LORA_BOTH: partial(lora_rows.set_expert, expert=Expert.BOTH),
    FixSetting.LORA_HIGH: partial(lora_rows.set_expert, expert=Expert.HIGH),
    FixSetting.LORA_LOW: partial(lora_rows.set_expert, expert=Expert.LOW),
}
"""The settings that a Fix of the backend may change."""
SET_BY_QUALITY = {
    FixSetting.STEPS: "number of steps",
    FixSetting.GUIDANCE_SCALE: "guidance scale",
    FixSetting.FLOW_SHIFT: "flow shift",
}
"""Settings that the panel doesn't have, so that only requests made elsewhere can need such a Fix."""


_OURS: Any = bpy.ops.wan_vse  # type: ignore[attr-defined]  # Blender's types don't know it


def _download(model: str) -> Result:
    if session.current().server.downloads.status(model) is not None:
        result: Result = _OURS.resume_download(model=model)
    else:
        result = _OURS.download_model("INVOKE_DEFAULT", model=model)
    return result


def _name_transformer(file: str, part: TransformerPart) -> Result:
    session.current().server.name_transformer(file, part)
    return {"FINISHED"}


ACTIONS: dict[FixAction, Callable[[str], Result]] = {
    FixAction.OPEN_PREFERENCES: lambda _: _OURS.open_preferences(),
    FixAction.SETUP_BACKEND: lambda _: _OURS.setup_backend("INVOKE_DEFAULT"),
    FixAction.RESTART_BACKEND: lambda _: _OURS.restart_backend(),
    FixAction.FREE_CARD: lambda _: _OURS.free_card(),
    FixAction.DOWNLOAD: _download,
    FixAction.TRANSFORMER_WHOLE: partial(_name_transformer, part=TransformerPart.WHOLE),
    FixAction.TRANSFORMER_HIGH: partial(_name_transformer, part=TransformerPart.HIGH),
    FixAction.TRANSFORMER_LOW: partial(_name_transformer, part=TransformerPart.LOW),
    FixAction.TRANSFORMER_UNKNOWN: partial(_name_transformer, part=TransformerPart.UNKNOWN),
}
"""The actions that a Fix of the backend may have."""


CLASSES = (
    WAN_VSE_OT_load_settings,
    WAN_VSE_OT_apply_fix,
)
