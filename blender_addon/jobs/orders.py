"""The takes that one click asks for: where they go, their requests, and what they are made from. Nothing is changed.

If a click can't ask for any, a sentence is returned in their place that says why and what to do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import (
    PROMPTLESS_ROLES,
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
from ..timeline.targets import Target, TargetSettings
from . import request

SOURCES_FOLDER = "sources"
"""A folder in the media folder, with a folder for each job whose sources are rendered."""
_USUAL_RATE = FrameRate(16)
"""Of most Wan models, for as long as the chosen one is not known."""
_STRENGTHS = {Task.RESTYLE: "strength", Task.PREVIS: "freedom"}


@dataclass(frozen=True)
class TakeOrder:
    """One take: the request without its sources, and its target."""

    request: TakeRequest
    target: Target | None = None
    provenance_text: str = ""
    """What the placeholder keeps of the strips (timeline.provenance), for a take with the sources of an earlier one.
    Any other take gets it from `target`."""


@dataclass(frozen=True)
class Place:
    """Where a take goes, and its target; a take of the prompt alone has none."""

    slot: request.Slot
    target: Target | None = None


def find_places(
    scene: bpy.types.Scene, settings: Any, selected: selection.Selection, task: Task, model: ModelRow | None
) -> list[Place] | str:
    """Where the takes of one click would go, at least one; or why there is none."""
    if _is_of_prompt_alone(settings, task):
        slot = request.find_slot(scene, settings)
        return slot if isinstance(slot, str) else [Place(slot)]
    found = targets.find_targets(scene, selected, task, _target_settings(scene, settings, model))
    if isinstance(found, str):
        return found
    return [Place(request.Slot(target.channel, target.start, target.length_frames), target) for target in found]


def make_orders(
    scene: bpy.types.Scene, settings: Any, preferences: Any, task: Task, places: list[Place] | str
) -> list[TakeOrder] | str:
    """The takes that one click would ask for at those places; or why it can't. A missing place is a reason."""
    if _is_of_prompt_alone(settings, task) and (refusal := request.read_prompt(scene, settings).refusal):
        return refusal  # what a person would do first
    if isinstance(places, str):
        return places
    orders: list[TakeOrder] = []
    for place in places:
        prompt = _prompt_at(place, scene, settings)
        if prompt.refusal:
            return prompt.refusal
        composed = request.compose(scene, settings, preferences, prompt.text, place.slot)
        if isinstance(composed, str):
            return composed
        orders.append(TakeOrder(_with_task(composed, settings, task), place.target))
    return orders


def find_orders(
    scene: bpy.types.Scene, settings: Any, preferences: Any, task: Task, model: ModelRow | None = None
) -> list[TakeOrder] | str:
    """The takes that one click asks for now; or why it can't."""
    places = find_places(scene, settings, selection.read(scene), task, model)
    return make_orders(scene, settings, preferences, task, places)


def sources_of(
    scene: bpy.types.Scene,
    order: TakeOrder,
    job_id: str,
    look: picture_files.FileLook = picture_files.look_at_all,
) -> list[tuple[footage.FootageRange, Source, bool]] | str:
    """What the take is made from, and whether that is to be rendered first; or why it can't be made."""
    folder = sources_folder(order.request, job_id)
    made = []
    for wanted in order.target.wanted if order.target is not None else ():
        source = footage.source_or_render(scene, wanted, folder, look)
        if isinstance(source, str):
            return source
        made.append((wanted, *source))
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


def _target_settings(scene: bpy.types.Scene, settings: Any, model: ModelRow | None) -> TargetSettings:
    rate = scene_format.rate_of(scene)
    seconds = settings.length_mode == "SECONDS"
    frames = max(1, scene_format.frames_of(settings.length_seconds, rate) if seconds else settings.length_frames)
    return TargetSettings(
        length_frames=frames,
        as_long_as_strip=settings.as_long_as_strip,
        extend_frames=max(1, settings.extend_frames),
        backward=settings.extend_direction == "BACKWARD",
        model_rate=(model.frame_rate if model else _USUAL_RATE).exact(),
        scene_rate=rate.exact(),
    )


def _is_of_prompt_alone(settings: Any, task: Task) -> bool:
    return task is Task.TEXT_TO_VIDEO and settings.prompt_source != "TEXT_STRIP"


def _prompt_at(place: Place, scene: bpy.types.Scene, settings: Any) -> request.Prompt:
    """The prompt of the text strip that the take is made for, else the panel's, which footage may make needless."""
    if place.target is None:
        return request.read_prompt(scene, settings)
    if place.target.prompt:
        return request.check_prompt(place.target.prompt)
    may_be_empty = any(wanted.role in PROMPTLESS_ROLES for wanted in place.target.wanted)
    return request.read_prompt(scene, settings, may_be_empty)


def _with_task(asked: TakeRequest, settings: Any, task: Task) -> TakeRequest:
    """The request with the task and the settings that only this task has."""
    return replace(
        asked,
        task=task,
        strength=round(untrusted.share(getattr(settings, _STRENGTHS[task])), 4) if task in _STRENGTHS else 1.0,
        guide=_guide(settings, task),
        conform=untrusted.choice(Conform, settings.conform, Conform.FLOW),
    )
