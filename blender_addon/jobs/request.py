"""What the panel says, as a TakeRequest. Changes nothing; refuses in sentences."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from typing import Any

import bpy

from ...wan_backend.protocol.messages import (
    MAX_PROMPT_CHARACTERS,
    MAX_TAKE_FRAMES,
    MediaFormat,
    Origin,
    Plan,
    Quality,
    TakeRequest,
    Task,
)
from ..timeline import footage, free_space, scene_format, selection, untrusted
from . import folders, lora_rows, project

HIGHEST_SEED = 2**31 - 1
MEDIA_FOLDER = "wan"
"""Beside the .blend."""
_MAY_BE_SHORTER = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
"""The others are as long as what they are made from, or as the place that they fill."""


class Refused(Exception):
    """What was asked can't be asked; `sentence` says what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Placement:
    """Where on the timeline a take is to go."""

    channel: int
    start: int
    length_frames: int

    @property
    def end_exclusive(self) -> int:
        """The first frame after it."""
        return self.start + self.length_frames


def length_of(scene: bpy.types.Scene, settings: Any) -> Placement:
    """Where the take would go and how long it would be. Raises Refused."""
    start = scene.frame_current
    if settings.length_mode == "HOLE":
        gap = free_space.gap_at(scene, start)
        if gap is None:
            raise Refused("There is no gap under the playhead: move it into one, or set a length.")
        start, frames = gap.start, min(gap.length_frames, MAX_TAKE_FRAMES)  # no model fills a longer one
    elif settings.length_mode == "SECONDS":
        frames = scene_format.frames_of(settings.length_seconds, scene_format.rate_of(scene))
    else:
        frames = settings.length_frames
    check_frames(frames)
    if start + frames - 1 > scene_format.LAST_FRAME:
        raise Refused(
            f"The take would reach past frame {scene_format.LAST_FRAME:,}, Blender's last: move the playhead to the "
            "left."
        )
    channel = free_space.first_free_channel(scene, start, start + frames)
    if channel is None:
        raise Refused("Every channel is taken, locked or muted at the playhead: make room there, or move the playhead.")
    return Placement(channel, start, frames)


def check_frames(frames: int) -> None:
    """Raises Refused where no take can be so long."""
    if frames < 1:
        raise Refused("A take has one frame or more: set its length.")
    if frames > MAX_TAKE_FRAMES:
        raise Refused(footage.too_long(frames))


def prompt_of(scene: bpy.types.Scene, settings: Any, may_be_empty: bool = False) -> str:
    """The prompt, from wherever the settings say. Raises Refused where it is too long, or empty and may not be."""
    return checked(_raw_prompt(scene, settings), may_be_empty)


def checked(text: str, may_be_empty: bool = False) -> str:
    """The text as a prompt. Raises Refused where it is too long, or empty and may not be."""
    prompt = text.strip()
    if not prompt and not may_be_empty:
        raise Refused("The prompt is empty: describe what is to be seen.")
    _check_length(prompt, "prompt")
    return prompt


def within_plan(asked: TakeRequest, plan: Plan | None) -> TakeRequest:
    """The request, no longer than what its plan says will come: a placeholder then covers just that."""
    if plan is None or plan.problem is not None or asked.task not in _MAY_BE_SHORTER:
        return asked
    return replace(asked, length_frames=min(asked.length_frames, plan.take_frames))


def build(scene: bpy.types.Scene, settings: Any, preferences: Any) -> TakeRequest:
    """A take of the prompt at the playhead or in the gap; draws a seed where none is locked. Raises Refused."""
    prompt = prompt_of(scene, settings)
    return compose(scene, settings, preferences, prompt, length_of(scene, settings))


def compose(scene: bpy.types.Scene, settings: Any, preferences: Any, prompt: str, placement: Placement) -> TakeRequest:
    """A take of `prompt` at `placement`, with the settings that every task has. Raises Refused."""
    negative_prompt = settings.negative_prompt.strip()
    _check_length(negative_prompt, "negative prompt")
    if not settings.model:
        raise Refused("Choose a model; the list is empty until the backend has answered.")
    width, height = scene_format.square_size(scene, scene.render.resolution_percentage)
    return TakeRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        model=settings.model,
        width=width,
        height=height,
        resolution=settings.resolution or "exact",
        length_frames=placement.length_frames,
        frame_rate=scene_format.rate_of(scene),
        seed=max(0, settings.seed) if settings.seed_locked else random.randint(0, HIGHEST_SEED),
        quality=untrusted.choice(Quality, settings.quality, Quality.STANDARD),
        media_format=untrusted.choice(MediaFormat, settings.media_format, MediaFormat.PNG),
        media_folder=media_folder(preferences),
        loras=lora_rows.uses(settings.loras),
        origin=Origin(project.path(), project.id_to_be(), scene.name_full, placement.channel, placement.start),
    )


def media_folder(preferences: Any) -> str:
    """The absolute folder that takes go into: the preferences', else `wan/` beside the .blend, else our own."""
    wanted = preferences.media_folder.strip() if preferences is not None else ""
    saved = bool(bpy.data.filepath)
    if wanted and (saved or not wanted.startswith("//")):
        return os.path.abspath(bpy.path.abspath(wanted))
    if saved:
        return os.path.join(os.path.dirname(project.path()), MEDIA_FOLDER)
    return str(folders.user_folder() / "media" / project.id_to_be())


def _raw_prompt(scene: bpy.types.Scene, settings: Any) -> str:
    if settings.prompt_source == "TEXT_BLOCK":
        if settings.prompt_text is None:
            raise Refused("Choose the text block that holds the prompt.")
        return selection.prompt_of_text_block(settings.prompt_text)
    if settings.prompt_source == "TEXT_STRIP":
        text = selection.prompt_of_text_strip(scene)
        if text is None:
            raise Refused("Select the text strip that holds the prompt.")
        return text
    return settings.prompt


def _check_length(text: str, what: str) -> None:
    if len(text) > MAX_PROMPT_CHARACTERS:
        most = selection.MAX_TEXT_CHARACTERS
        count = f"{len(text):,}" if len(text) <= most else f"more than {most:,}"
        raise Refused(
            f"The {what} has {count} characters, and the model reads about "
            f"{MAX_PROMPT_CHARACTERS // 10}: shorten it to at most {MAX_PROMPT_CHARACTERS:,}."
        )
