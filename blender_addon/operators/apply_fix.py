"""Does what a Fix of the backend says: changes one setting of the panel, or one thing about the backend.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import bpy

from ...wan_backend.protocol.messages import Task
from ..jobs import loras, tracker
from ..properties import WanSettings, settings_of, task_of
from ..stopwatch import timed
from ..timeline import provenance
from .load_settings import fill
from .refusing import Refusing, job_of, timeline_refusal


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
        if self.action:
            return ACTIONS[self.action](self.value) if self.action in ACTIONS else self._refuse(f"do '{self.action}'")
        if self.setting not in SETTERS:
            return self._refuse(f"set '{self.setting}'")
        job = job_of(self.job_id) if self.job_id else None
        if job is not None:
            fill(settings, job.request)
            provenance.select(settings.id_data, job.job_id)  # first: a task is chosen for what is selected
            if job.request.task in list(Task):
                settings.task = Task(job.request.task).name
        try:
            SETTERS[self.setting](settings, self.value)
        except (TypeError, ValueError):
            return self._refuse(f"set '{self.setting}' to '{self.value}'")
        return {"FINISHED"}

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


def _leave_out_lora(settings: WanSettings, value: str) -> None:
    loras.leave_out(settings, value)


SETTERS: dict[str, Callable[[WanSettings, str], None]] = {
    "seed": _set_seed,
    "length_frames": _set_length,
    "strength": _set_strength,
    "guide": _set_guide,
    "conform": _set_conform,
    "task": _set_task,
    "resolution": _set_resolution,
    "model": _set_model,
    "quality": _set_quality,
    "media_format": _set_media_format,
    "without_lora": _leave_out_lora,
}
"""What a Fix of the backend may set, by the name of the request's field, or of what is left out."""


def _download(model: str) -> set[str]:
    if tracker.get().downloads.status(model) is not None:
        return bpy.ops.wan_vse.resume_download(model=model)
    return bpy.ops.wan_vse.download_model("INVOKE_DEFAULT", model=model)


ACTIONS: dict[str, Callable[[str], set[str]]] = {
    "open_preferences": lambda _: bpy.ops.wan_vse.open_preferences(),
    "setup_backend": lambda _: bpy.ops.wan_vse.setup_backend("INVOKE_DEFAULT"),
    "restart_backend": lambda _: bpy.ops.wan_vse.restart_backend(),
    "free_card": lambda _: bpy.ops.wan_vse.free_card(),
    "download": _download,
}
"""What a Fix of the backend may do, by its name."""
