"""Does what a Fix of the backend says: changes one setting of the panel, or one thing about the backend.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import bpy

from ...wan_backend.protocol.messages import Expert, FixAction, FixSetting, JobStatus, Task
from ..jobs import loras, tracker
from ..properties import WanSettings, scene_of, settings_of, task_of
from ..stopwatch import timed
from ..timeline import provenance
from .load_settings import fill
from .refusing import Refusing, job_of, request_of_job, timeline_refusal


class WAN_VSE_OT_apply_fix(Refusing, bpy.types.Operator):
    """Change the setting in the panel as the button says. For a job, its settings and strips come first"""

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
    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        if self.action in ACTIONS:
            return ACTIONS[FixAction(self.action)](self.value)
        if self.action:
            return self._refuse(f"do '{self.action}'")
        if self.setting in LEFT_TO_QUALITY:
            what = LEFT_TO_QUALITY[FixSetting(self.setting)]
            self.report({"WARNING"}, f"The panel leaves the {what} to the quality: choose another one there.")
            return {"CANCELLED"}
        if self.setting not in SETTERS:
            return self._refuse(f"set '{self.setting}'")
        job = job_of(self.job_id) if self.job_id else None
        if job is not None and not self._show(settings, job):
            return {"CANCELLED"}
        try:
            SETTERS[FixSetting(self.setting)](settings, self.value)
        except (TypeError, ValueError):
            return self._refuse(f"set '{self.setting}' to '{self.value}'")
        return {"FINISHED"}

    def _show(self, settings: WanSettings, job: JobStatus) -> bool:
        """Fill the panel with what the job was asked for; False, and said, where that isn't known yet."""
        request = request_of_job(self, job)
        if request is None:
            return False
        fill(settings, request)
        provenance.select(scene_of(settings), job.job_id)  # first: a task is chosen for what is selected
        settings.task = request.task.name
        return True

    def _refuse(self, what: str) -> set[str]:
        self.report({"WARNING"}, f"This version of the panel can't {what}: update Wan VSE.")
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


def _set_guide(settings: WanSettings, value: str) -> None:
    settings.guide = value.upper()


def _set_conform(settings: WanSettings, value: str) -> None:
    settings.conform = value.upper()


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


SETTERS: dict[FixSetting, Callable[[WanSettings, str], None]] = {
    FixSetting.SEED: _set_seed,
    FixSetting.LENGTH_FRAMES: _set_length,
    FixSetting.STRENGTH: _set_strength,
    FixSetting.GUIDE: _set_guide,
    FixSetting.CONFORM: _set_conform,
    FixSetting.TASK: _set_task,
    FixSetting.RESOLUTION: _set_resolution,
    FixSetting.MODEL: _set_model,
    FixSetting.QUALITY: _set_quality,
    FixSetting.MEDIA_FORMAT: _set_media_format,
    FixSetting.WITHOUT_LORA: loras.leave_out,
    FixSetting.LORA_BOTH: partial(loras.set_expert, expert=Expert.BOTH),
    FixSetting.LORA_HIGH: partial(loras.set_expert, expert=Expert.HIGH),
    FixSetting.LORA_LOW: partial(loras.set_expert, expert=Expert.LOW),
}
"""What a Fix of the backend may set."""
LEFT_TO_QUALITY = {
    FixSetting.STEPS: "number of steps",
    FixSetting.GUIDANCE_SCALE: "guidance scale",
    FixSetting.FLOW_SHIFT: "flow shift",
}
"""What the panel never asks for, so that only requests made elsewhere can need such a Fix."""


_OURS: Any = bpy.ops.wan_vse  # type: ignore[attr-defined]  # of which Blender's types know nothing


def _download(model: str) -> set[str]:
    if tracker.get().downloads.status(model) is not None:
        return _OURS.resume_download(model=model)
    return _OURS.download_model("INVOKE_DEFAULT", model=model)


ACTIONS: dict[FixAction, Callable[[str], set[str]]] = {
    FixAction.OPEN_PREFERENCES: lambda _: _OURS.open_preferences(),
    FixAction.SETUP_BACKEND: lambda _: _OURS.setup_backend("INVOKE_DEFAULT"),
    FixAction.RESTART_BACKEND: lambda _: _OURS.restart_backend(),
    FixAction.FREE_CARD: lambda _: _OURS.free_card(),
    FixAction.DOWNLOAD: _download,
}
"""What a Fix of the backend may do."""
