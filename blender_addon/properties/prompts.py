"""A prompt for each task, and that of the take which is selected. Part of WanSettings.

A file of an earlier version has one prompt for all tasks: it becomes that of each task that needs one.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.props import BoolProperty, StringProperty

from ...wan_backend.protocol.messages import TakeRequest
from ..timeline import compat, identity, untrusted
from . import task

TAKE_SETTINGS = (
    "take_prompt",
    "take_prompt_draft",
    "take_prompt_text",
    "take_prompt_for",
    "take_count",
    "prompts_apart",
)
"""Settings that make no difference to what the panel plans."""
_ONCE_SHARED = ("image_prompt", "restyle_prompt", "previs_prompt")
"""Of the tasks that need a prompt; `prompt` itself is the one for new footage."""


def take_of(settings: Any) -> TakeRequest | None:
    """What the active strip was made for, if it is selected and was made here. Safe in a draw."""
    strip = compat.active_strip(settings.id_data)
    if strip is None or not strip.select:
        return None
    return identity.request_of(strip)


def _take_key(settings: Any) -> str:
    """What an edited prompt belongs to: the job of the take that is shown."""
    strip = compat.active_strip(settings.id_data)
    return untrusted.text_in(strip, identity.JOB) if strip is not None else ""


def _get_take_prompt(settings: Any) -> str:
    made, key = take_of(settings), _take_key(settings)
    if made is None:
        return ""
    return str(settings.take_prompt_text) if key and settings.take_prompt_for == key else made.prompt


def _set_take_prompt(settings: Any, value: str) -> None:
    settings.take_prompt_text, settings.take_prompt_for = value, _take_key(settings)


def _take_prompt_confirmed(settings: Any, context: Any) -> None:
    """Hand on that the sidebar's field was left, by Enter or otherwise; a script that sets it leaves no field."""
    if bpy.app.background or context.region is None or context.region.type != "UI":
        return
    bpy.ops.wan_vse.enter_prompt("INVOKE_DEFAULT")  # type: ignore[attr-defined]  # an update knows no event, an operator does


def _prompt_changed(settings: Any, context: Any) -> None:
    if not settings.prompts_apart:
        settings.prompts_apart = True


class PromptSettings:
    """The prompts; the panel shows that of its task."""

    prompt: StringProperty(
        name="Prompt",
        description="What the take shows: subject, action, place, light, camera. English works best",
        update=_prompt_changed,
    )
    image_prompt: StringProperty(
        name="Prompt",
        description="What happens from the picture on: action, camera. English works best",
    )
    restyle_prompt: StringProperty(
        name="Prompt",
        description="What the footage becomes: its look, its materials, its light. English works best",
    )
    gap_prompt: StringProperty(
        name="Prompt",
        description="What happens in the gap. It may be empty: the strips on both sides say what it is about",
    )
    extend_prompt: StringProperty(
        name="Prompt",
        description="What happens next. It may be empty: the strip says what it is about, and a take has its prompt",
    )
    previs_prompt: StringProperty(
        name="Prompt",
        description="What the blocked out things are: subject, place, light. English works best",
    )
    edit_prompt: StringProperty(
        name="Prompt",
        description="What is to change, and what is to stay as it is: remove the car and leave all else unchanged. "
        "English works best",
    )
    style_words: StringProperty(
        name="Style Words",
        description="Words that are added to the end of each prompt, such as a look, a film stock or a light",
    )
    prompts_apart: BoolProperty(options={"HIDDEN"})
    """False in a file of an earlier version, whose prompt was that of all tasks."""
    take_prompt: StringProperty(
        name="Prompt",
        description="The prompt of the selected take. Change it, and make a new take with the same settings",
        get=_get_take_prompt,
        set=_set_take_prompt,
        update=_take_prompt_confirmed,
    )
    take_prompt_draft: StringProperty(
        name="Prompt",
        description="The prompt of the selected take. Change it, and make a new take with the same settings",
        get=_get_take_prompt,
        set=_set_take_prompt,
    )
    """The same words where Enter means something else: in a dialog, and for a menu that writes them."""
    take_prompt_text: StringProperty(options={"HIDDEN"})
    take_prompt_for: StringProperty(options={"HIDDEN"})
    """The job of the take whose prompt was edited."""


def part_prompts(settings: Any) -> None:
    """Give each task that needs one the prompt that was once that of all tasks."""
    if settings.prompts_apart or not settings.prompt:
        return
    for name in _ONCE_SHARED:
        if not getattr(settings, name):
            setattr(settings, name, settings.prompt)
    settings.prompts_apart = True


def _on_load(*_: object) -> None:
    task.forget()
    scenes: Any = bpy.data.scenes
    for scene in scenes:
        if scene.library is None:
            part_prompts(scene.wan_vse)


_handlers: list[Any] = []


def register() -> None:
    """Look at each file that is opened."""
    _handlers[:] = [persistent(_on_load)]
    bpy.app.handlers.load_post.extend(_handlers)


def unregister() -> None:
    """Look at no file any more."""
    for handler in _handlers:
        bpy.app.handlers.load_post.remove(handler)
    _handlers.clear()
