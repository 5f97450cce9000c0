"""What the panel says, as the takes that one click asks for. Changes nothing; refuses in sentences."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import (
    TELLING_ROLES,
    Conform,
    FrameRate,
    Guide,
    ModelRow,
    Source,
    TakeRequest,
    Task,
)
from ...wan_backend.protocol.plain_names import is_name
from ..timeline import footage, picture_files, scene_format, selection, targets, untrusted
from ..timeline.targets import Target, Wishes
from . import request

SOURCES_FOLDER = "sources"
"""In the media folder; holds a folder for each job whose sources are rendered."""
_USUAL_RATE = FrameRate(16)
_STRENGTHS = {Task.RESTYLE: "strength", Task.PREVIS: "freedom"}


@dataclass(frozen=True)
class Order:
    """One take: the request without its sources, and its target."""

    request: TakeRequest
    target: Target | None = None
    asked: str = ""
    """What the placeholder is to remember, where that is not of `target`: the sources are those of an earlier take."""


def orders(
    scene: bpy.types.Scene, settings: Any, preferences: Any, task: Task, model: ModelRow | None = None
) -> list[Order]:
    """The takes that would be asked for now. Raises Refused."""
    if task is Task.TEXT_TO_VIDEO and settings.prompt_source != "TEXT_STRIP":
        return [Order(_tuned(request.build(scene, settings, preferences), settings, task))]
    made = targets_of(scene, settings, task, model)
    asked = []
    for target in made:
        told = any(wanted.role in TELLING_ROLES for wanted in target.wanted)
        prompt = request.checked(target.prompt) if target.prompt else request.prompt_of(scene, settings, told)
        place = request.Slot(target.channel, target.start, target.length_frames)
        composed = request.compose(scene, settings, preferences, prompt, place)
        asked.append(Order(_tuned(composed, settings, task), target))
    return asked


def targets_of(scene: bpy.types.Scene, settings: Any, task: Task, model: ModelRow | None = None) -> list[Target]:
    """Where the takes would go, and what they would be made from. Raises Refused."""
    found = targets.find_targets(scene, selection.read(scene), task, _wishes(scene, settings, model))
    if isinstance(found, str):
        raise request.Refused(found)
    return found


def places_of(scene: bpy.types.Scene, settings: Any, task: Task, model: ModelRow | None = None) -> list[request.Slot]:
    """Where the takes would go. Raises Refused."""
    if task is Task.TEXT_TO_VIDEO and settings.prompt_source != "TEXT_STRIP":
        return [request.length_of(scene, settings)]
    return [
        request.Slot(target.channel, target.start, target.length_frames)
        for target in targets_of(scene, settings, task, model)
    ]


def sources_of(
    scene: bpy.types.Scene, order: Order, job_id: str, look: picture_files.FileLook = picture_files.look_at_all
) -> list[tuple[footage.FootageRange, Source, bool]]:
    """What the take is made from, and what of it is to be rendered first. Raises Refused."""
    wanted = order.target.wanted if order.target is not None else ()
    folder = sources_folder(order.request, job_id)
    made = []
    for each in wanted:
        source = footage.source_or_render(scene, each, folder, look)
        if isinstance(source, str):
            raise request.Refused(source)
        made.append((each, *source))
    return made


def sources_folder(asked: TakeRequest, job_id: str) -> str:
    """The folder for what is rendered for a job. Raises ValueError for an id that can be none: it is part of a path."""
    if not is_name(job_id):
        raise ValueError(f"{job_id!r} is no job's id")
    return os.path.join(asked.media_folder, SOURCES_FOLDER, job_id)


def _guide(settings: Any, task: Task) -> Guide:
    if task is Task.PREVIS:  # its depth is what guides it, unless the outlines of that do
        return Guide.EDGES if settings.blocking == "EDGES" else Guide.NONE
    return untrusted.choice(Guide, settings.guide, Guide.EDGES) if task is Task.RESTYLE else Guide.NONE


def _wishes(scene: bpy.types.Scene, settings: Any, model: ModelRow | None) -> Wishes:
    rate = scene_format.rate_of(scene)
    seconds = settings.length_mode == "SECONDS"
    frames = max(1, scene_format.frames_of(settings.length_seconds, rate) if seconds else settings.length_frames)
    return Wishes(
        length_frames=frames,
        as_long_as_strip=settings.as_long_as_strip,
        extend_frames=max(1, settings.extend_frames),
        backward=settings.extend_direction == "BACKWARD",
        model_rate=(model.frame_rate if model else _USUAL_RATE).exact(),
        scene_rate=rate.exact(),
    )


def _tuned(asked: TakeRequest, settings: Any, task: Task) -> TakeRequest:
    """With what the task alone has to set."""
    return replace(
        asked,
        task=task,
        strength=round(untrusted.share(getattr(settings, _STRENGTHS[task])), 4) if task in _STRENGTHS else 1.0,
        guide=_guide(settings, task),
        conform=untrusted.choice(Conform, settings.conform, Conform.FLOW),
    )
