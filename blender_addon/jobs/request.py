"""Makes a TakeRequest of the panel's settings. Nothing is changed.

If that can't be done, a sentence is returned in its place that says why and what to do.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, replace
from typing import Any

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ...wan_backend.protocol.messages import (
    HANDLE_FRAMES,
    MAX_PROMPT_CHARACTERS,
    READ_PROMPT_CHARACTERS,
    GuidanceInterval,
    MatrixPrecision,
    MediaFormat,
    Origin,
    Plan,
    Quality,
    StepCache,
    TakeRequest,
    Task,
)
from ..timeline import scene_format, selection, targets, untrusted
from ..timeline.targets import MAY_BE_SHORTER, Target
from . import folders, lora_rows, project

MAX_SEED = 2**31 - 1
PROMPT_FIELDS = {
    Task.TEXT_TO_VIDEO: "prompt",
    Task.IMAGE_TO_VIDEO: "image_prompt",
    Task.RESTYLE: "restyle_prompt",
    Task.FILL_GAP: "gap_prompt",
    Task.EXTEND: "extend_prompt",
    Task.PREVIS: "previs_prompt",
    Task.EDIT: "edit_prompt",
}
"""The setting that holds each task's own prompt."""
MEDIA_FOLDER = "wan"
"""The folder beside the .blend that takes go into."""
TOO_LONG = "The prompt has {} characters, and the model reads about the first {:,}: shorten it to at most {:,}."
NEGATIVE_TOO_LONG = (
    "The negative prompt has {} characters, and the model reads about the first {:,}: shorten it to at most {:,}."
)


class Refused(Exception):
    """An operator can't do what was asked for; `sentence` says why, and what to do. A redraw raises none."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Prompt:
    """A prompt as it would be sent; or, in `refusal`, why it can't be."""

    text: str
    refusal: str = ""


def read_prompt(
    scene: bpy.types.Scene, settings: Any, may_be_empty: bool = False, task: Task = Task.TEXT_TO_VIDEO
) -> Prompt:
    """The prompt from wherever the settings say: the task's field, a text block or the selected text strip."""
    if settings.prompt_source == "TEXT_BLOCK":
        if settings.prompt_text is None:
            return Prompt("", "Choose the text block that holds the prompt.")
        return check_prompt(selection.prompt_of_text_block(settings.prompt_text), may_be_empty)
    if settings.prompt_source == "TEXT_STRIP":
        text = selection.prompt_of_text_strip(scene)
        if text is None:
            return Prompt("", "Select the text strip that holds the prompt.")
        return check_prompt(text, may_be_empty)
    prompt = getattr(settings, PROMPT_FIELDS[task])
    if task is Task.EDIT and not prompt.strip() and not may_be_empty:
        return Prompt("", "The prompt is empty: describe what is to change.")
    return check_prompt(prompt, may_be_empty)


def styled(prompt: Prompt, settings: Any) -> Prompt:
    """The prompt with the style words at its end; an empty one stays empty."""
    words = settings.style_words.strip()
    if not words or not prompt.text or prompt.refusal or prompt.text.endswith(words):
        return prompt
    return check_prompt(f"{prompt.text.rstrip(' .,;')}, {words}")


def check_prompt(text: str, may_be_empty: bool = False) -> Prompt:
    """The text without the spaces around it; or why it can't be a prompt."""
    prompt = text.strip()
    if not prompt and not may_be_empty:
        return Prompt("", "The prompt is empty: describe what the take shows.")
    return Prompt(prompt, _length_refusal(prompt, TOO_LONG))


def within_plan(asked: TakeRequest, plan: Plan | None) -> TakeRequest:
    """The request, shortened to the take that its plan promises, so that the placeholder is as long as the take."""
    if plan is None or plan.problem is not None or asked.task not in MAY_BE_SHORTER:
        return asked
    return replace(asked, length_frames=min(asked.length_frames, plan.take_frames))


def build(scene: bpy.types.Scene, settings: Any, preferences: Any) -> TakeRequest | str:
    """A take of the prompt at the playhead or in the gap around it; or why there can be none."""
    prompt = read_prompt(scene, settings)
    if prompt.refusal:
        return prompt.refusal
    target = targets.at_playhead(scene, settings)
    return target if isinstance(target, str) else make_request(scene, settings, preferences, prompt.text, target)


def make_request(
    scene: bpy.types.Scene, settings: Any, preferences: Any, prompt: str, target: Target
) -> TakeRequest | str:
    """A take of `prompt` at `target`, with the settings that every task has; or why there can be none.

    The seed is random unless it is locked.
    """
    negative_prompt = settings.negative_prompt.strip()
    refusal = _length_refusal(negative_prompt, NEGATIVE_TOO_LONG)
    if refusal:
        return refusal
    if not settings.model:
        return "Choose a model; the list is empty until the backend answers."
    width, height = scene_format.square_size(scene, scene.render.resolution_percentage)
    return TakeRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        model=settings.model,
        width=width,
        height=height,
        resolution=settings.resolution or "exact",
        length_frames=target.length_frames,
        frame_rate=scene_format.rate_of(scene),
        seed=max(0, settings.seed) if settings.seed_locked else random.randint(0, MAX_SEED),
        quality=untrusted.choice(Quality, settings.quality, Quality.STANDARD),
        media_format=untrusted.choice(MediaFormat, settings.media_format, MediaFormat.PNG),
        matrix_precision=untrusted.choice(MatrixPrecision, settings.matrix_precision, MatrixPrecision.EXACT),
        media_folder=media_folder(preferences),
        loras=lora_rows.uses(settings.loras),
        guidance_interval=_guidance_interval(settings),
        step_cache=untrusted.choice(StepCache, settings.step_cache, StepCache.OFF),
        handle_frames=HANDLE_FRAMES if settings.handles else 0,
        origin=Origin(project.path(), project.id_to_be(), scene.name_full, target.channel, target.start),
    )


def _guidance_interval(settings: Any) -> GuidanceInterval | None:
    """The part of the steps with guidance, rounded as the panel shows it; None for all of them."""
    if not settings.guidance_in_part:
        return None
    return GuidanceInterval(round(settings.guidance_start, 3), round(settings.guidance_end, 3))


def media_folder(preferences: Any) -> str:
    """The absolute folder that takes go into: the preferences', else `wan/` beside the .blend, else our own."""
    wanted = preferences.media_folder.strip() if preferences is not None else ""
    saved = bool(bpy.data.filepath)
    if wanted and (saved or not wanted.startswith("//")):
        return os.path.abspath(bpy.path.abspath(wanted))
    if saved:
        return os.path.join(os.path.dirname(project.path()), MEDIA_FOLDER)
    return str(folders.user_folder() / "media" / project.id_to_be())


def _length_refusal(text: str, words: str) -> str:
    """Why a prompt is too long, in `words`; empty if it isn't."""
    if len(text) <= MAX_PROMPT_CHARACTERS:
        return ""
    most = selection.MAX_TEXT_CHARACTERS
    count = iface_("more than {:,}").format(most) if len(text) > most else f"{len(text):,}"
    return iface_(words).format(count, READ_PROMPT_CHARACTERS, MAX_PROMPT_CHARACTERS)
