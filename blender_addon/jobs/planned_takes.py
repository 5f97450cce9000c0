"""The takes that one click asks for: where they go, their requests, and what they are made from. Nothing is changed.

If a click can't ask for any, a sentence is returned in their place that says why and what to do.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import (
    HANDLE_FRAMES,
    PROMPTLESS_ROLES,
    CameraMove,
    Conform,
    FrameRate,
    Guide,
    ModelRow,
    Origin,
    Role,
    Source,
    TakeRequest,
    Task,
    Words,
)
from ...wan_backend.protocol.plain_names import is_name
from ..timeline import (
    compat,
    footage,
    identity,
    kept_pictures,
    picture_files,
    scene_format,
    selection,
    targets,
    text_strips,
    untrusted,
)
from ..timeline.kept_pictures import NO_PICTURES, PicturesOver
from ..timeline.targets import Target, TargetSettings
from ..timeline.text_strips import NO_WORDS, WordsOver
from . import folders, request

SOURCES_FOLDER = "sources"
"""A folder in the media folder, with a folder for each job whose sources are rendered."""
_USUAL_RATE = FrameRate(16)
"""Of most Wan models, for as long as the chosen one is not known."""
_STRENGTHS = {Task.RESTYLE: "strength", Task.PREVIS: "freedom"}


@dataclass(frozen=True)
class PlannedTake:
    """One take: the request without its sources, and its target."""

    request: TakeRequest
    target: Target | None = None
    """None for another take with the sources of an earlier one."""
    provenance_text: str = ""
    """What the placeholder keeps of the strips (timeline.provenance), if there is no `target` to get it from."""
    words: WordsOver = NO_WORDS
    """The text strips and markers whose words the request has."""
    pictures: PicturesOver = NO_PICTURES
    """The strips whose pictures the take keeps."""


def targets_of(
    scene: bpy.types.Scene, settings: Any, selected: selection.Selection, task: Task, model: ModelRow | None
) -> list[Target] | str:
    """The targets of the takes of one click, at least one; or why there is none."""
    if _is_of_prompt_alone(settings, task):
        over_texts = settings.words_over_time and selected.texts
        target = targets.over_text_strips(scene, selected) if over_texts else targets.at_playhead(scene, settings)
        return target if isinstance(target, str) else [target]
    return targets.find_targets(scene, selected, task, _target_settings(scene, settings, model))


def takes_at(
    scene: bpy.types.Scene, settings: Any, preferences: Any, task: Task, found: list[Target] | str
) -> list[PlannedTake] | str:
    """The takes that one click would ask for at those targets; or why it can't: also why no target was found."""
    in_parts = _has_words_over_time(settings)
    if (
        not in_parts
        and not settings.keep_pictures
        and _is_of_prompt_alone(settings, task)
        and (refusal := request.read_prompt(scene, settings).refusal)
    ):
        return refusal  # what a person would do first
    if isinstance(found, str):
        return found
    takes: list[PlannedTake] = []
    for place in found:
        over = text_strips.words_over(scene, place, settings.words_of_markers) if in_parts else NO_WORDS
        if isinstance(over, str):
            return over
        pictures = kept_pictures.pictures_over(scene, place) if settings.keep_pictures else NO_PICTURES
        if isinstance(pictures, str):
            return pictures
        target = kept_pictures.with_kept(place, pictures)
        prompt = request.styled(_prompt_at(target, scene, settings, task, bool(over.words)), settings)
        said = [request.check_prompt(each.text) for each in over.words]
        if not prompt.text:
            said = [request.styled(each, settings) for each in said]
        refusal = next(filter(None, (each.refusal for each in (prompt, *said))), "")
        if refusal:
            return refusal
        made = request.make_request(scene, settings, preferences, prompt.text, target)
        if isinstance(made, str):
            return made
        words = [Words(each.first, each.last, text.text) for each, text in zip(over.words, said, strict=True)]
        asked = replace(_with_camera(_with_task(made, settings, task), settings, target), words=words)
        takes.append(PlannedTake(asked, target, words=over, pictures=pictures))
    return takes


def takes_now(
    scene: bpy.types.Scene,
    settings: Any,
    preferences: Any,
    task: Task,
    model: ModelRow | None = None,
    selected: selection.Selection | None = None,
) -> list[PlannedTake] | str:
    """The takes that one click asks for now, of `selected` in place of what is selected; or why it can't."""
    found = targets_of(scene, settings, selected or selection.read(scene), task, model)
    return takes_at(scene, settings, preferences, task, found)


def sources_of(
    scene: bpy.types.Scene,
    take: PlannedTake,
    job_id: str,
    look: picture_files.FileLook = picture_files.look_at_all,
) -> list[tuple[footage.FootageRange, Source, bool]] | str:
    """What the take is made from, and whether that is to be rendered first; or why it can't be made."""
    folder = sources_folder(take.request, job_id)
    made = []
    for wanted in take.target.wanted if take.target is not None else ():
        source = footage.source_or_render(scene, wanted, folder, look)
        if isinstance(source, str):
            return source
        made.append((wanted, *source))
    return made


def sources_folder(asked: TakeRequest, job_id: str) -> str:
    """The folder for what is rendered for a job. Raises ValueError for an id that can be none: it is part of a path."""
    if not is_name(job_id):
        raise ValueError(f"{job_id!r} is no job's id")
    if asked.training is not None:  # its media folder is one of LoRAs, perhaps other programs', too
        return clips_folder(job_id)
    return os.path.join(asked.media_folder, SOURCES_FOLDER, job_id)


def clips_folder(job_id: str) -> str:
    """The folder for what is rendered for a training of the open film."""
    return os.path.join(request.media_folder(folders.preferences()), SOURCES_FOLDER, job_id)


def clips_folders(job_id: str, origin: Origin) -> list[str]:
    """Where what was rendered for a training may lie: also where the film was when it was asked for."""
    found = [clips_folder(job_id)]
    if origin.project:
        beside = os.path.dirname(origin.project)
        own = folders.preferences().media_folder.strip() if folders.preferences() is not None else ""
        if own.startswith("//"):
            found.append(os.path.join(beside, own[2:], SOURCES_FOLDER, job_id))
        found.append(os.path.join(beside, request.MEDIA_FOLDER, SOURCES_FOLDER, job_id))
    elif is_name(origin.project_id):
        found.append(str(folders.user_folder() / "media" / origin.project_id / SOURCES_FOLDER / job_id))
    return list(dict.fromkeys(map(os.path.normpath, found)))


def _camera_scale(settings: Any) -> float:
    scale = float(settings.camera_scale)
    return float(f"{scale:.6g}") if math.isfinite(scale) and scale > 0 else 1.0


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
        handle_frames=HANDLE_FRAMES if settings.handles else 0,
        follows_camera=model is not None and model.follows_camera,
        model_rate=(model.frame_rate if model else _USUAL_RATE).exact(),
        scene_rate=rate.exact(),
    )


def _is_of_prompt_alone(settings: Any, task: Task) -> bool:
    return task is Task.TEXT_TO_VIDEO and settings.prompt_source != "TEXT_STRIP"


def _has_words_over_time(settings: Any) -> bool:
    """Whether text strips give the words for their own time; where they give the prompts, each has a take."""
    return bool(settings.words_over_time) and settings.prompt_source != "TEXT_STRIP"


def _prompt_at(target: Target, scene: bpy.types.Scene, settings: Any, task: Task, has_words: bool) -> request.Prompt:
    """The prompt of the text strip that the take is made for, else the panel's, which footage may make needless.

    Where that is empty, what goes on from a take goes on with its prompt.
    """
    if target.prompt:
        return request.check_prompt(target.prompt)
    may_be_empty = has_words or any(wanted.role in PROMPTLESS_ROLES for wanted in target.wanted)
    prompt = request.read_prompt(scene, settings, may_be_empty, task)
    if may_be_empty and not has_words and not prompt.text and not prompt.refusal:
        return request.check_prompt(prompt_of_sources(scene, target), may_be_empty)
    return prompt


def prompt_of_sources(scene: bpy.types.Scene, target: Target) -> str:
    """The prompt of the first take that `target` is made from; empty if it is made from none."""
    for summary in target.sources:
        made = identity.request_of(compat.strip_named(scene, summary.name))
        if made is not None and made.prompt.strip():
            return made.prompt
    return ""


def _with_camera(asked: TakeRequest, settings: Any, target: Target) -> TakeRequest:
    """The request of a previs that follows the scene's camera, whose numbers are still to come; others as they are."""
    if not any(wanted.role is Role.CAMERA for wanted in target.wanted):
        return asked
    return replace(asked, strength=1.0, guide=Guide.NONE, camera=CameraMove(scale=_camera_scale(settings)))


def _with_task(asked: TakeRequest, settings: Any, task: Task) -> TakeRequest:
    """The request with the task and the settings that only this task has."""
    return replace(
        asked,
        task=task,
        strength=round(untrusted.share(getattr(settings, _STRENGTHS[task])), 4) if task in _STRENGTHS else 1.0,
        guide=_guide(settings, task),
        conform=untrusted.choice(Conform, settings.conform, Conform.FLOW),
    )
