"""A request and a model become a Plan: every value settled, every change said. No torch; protocol and catalogue only.

What can be snapped (sizes, lengths over the model's most) is snapped and noted; what can't be meant (an empty prompt,
a negative seed) is refused with one sentence, and where something would help, with a Fix for a button.
"""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from fractions import Fraction

from ..protocol.messages import (
    MAX_PROMPT_CHARACTERS,
    Fix,
    FrameRate,
    MediaFormat,
    Plan,
    Problem,
    TakeRequest,
)
from . import media_place, memory_estimate, sizes
from .catalogue import ModelEntry
from .layout_tasks import unsuited

MIN_FRAME_RATE, MAX_FRAME_RATE = Fraction(1), Fraction(240)
LIMITS = {"steps": (1, 200), "guidance_scale": (0.0, 30.0), "flow_shift": (0.01, 100.0)}
"""Least and most of the settings that a request may give for itself."""
BYTES_A_PIXEL = {MediaFormat.PNG: 3.0, MediaFormat.FFV1: 3.0, MediaFormat.H264: 1.0}
"""Of a take's files, at the worst, which is grain."""

READ_CHARACTERS = 2000
"""About what 512 tokens hold, in English: so much of a prompt reaches the text encoder."""


def plan(request: TakeRequest, entry: ModelEntry) -> Plan:
    """What would be done for `request` by the model `entry`; `problem` says why it can't be, where it can't."""
    notes: list[str] = []
    problems = [_wrong_task(request, entry), _wrong_text(request), _wrong_settings(request)]
    problems.append(unsuited(request, entry.layout))
    if cleaned(request) != request:
        notes.append("Characters of the prompt that are no text were left out.")
    if len(request.prompt) > READ_CHARACTERS:
        notes.append(
            f"The model reads about the first {READ_CHARACTERS} characters of a prompt, and passes over the rest."
        )
    size = _size(request, entry, problems)
    notes += size.notes
    model_frames, take_frames = _frames(request, entry, notes, problems)
    preset = entry.preset(request.quality)
    made = Plan(
        model=entry.id,
        width=size.width,
        height=size.height,
        model_frames=model_frames,
        model_frame_rate=entry.rate,
        take_frames=take_frames,
        steps=preset.steps if request.steps is None else request.steps,
        guidance_scale=preset.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        flow_shift=preset.flow_shift if request.flow_shift is None else request.flow_shift,
        sampler=preset.sampler,
        memory_bytes=memory_estimate.peak_bytes(entry, size.width, size.height, model_frames),
        disk_bytes=_disk_bytes(request.media_format, size.width, size.height, take_frames),
        notes=notes,
    )
    problems.append(media_place.check(request.media_folder, made.disk_bytes))
    return dataclasses.replace(made, problem=next((p for p in problems if p is not None), None))


def impossible(request: TakeRequest, problem: Problem) -> Plan:
    """The plan for a request whose model is not known: only why."""
    return Plan(request.model, 0, 0, 0, FrameRate(1), 0, 0, 0.0, 0.0, "", problem=problem)


def cleaned(request: TakeRequest) -> TakeRequest:
    """The request with its prompts free of what no text encoder can read: lone surrogates and control characters."""
    return dataclasses.replace(
        request,
        prompt=_readable(request.prompt),
        negative_prompt=_readable(request.negative_prompt),
    )


def model_frames_for(length_frames: int, scene_rate: Fraction, entry: ModelEntry) -> int:
    """The fewest frames, 4k + 1, whose last is not before the take's last: both count their time from frame 0."""
    needed = Fraction(length_frames - 1) / scene_rate * entry.frame_rate
    return max(entry.min_frames, 4 * math.ceil(needed / 4) + 1)


def _readable(text: str) -> str:
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cs", "Cc") else " " for c in text)


def _wrong_task(request: TakeRequest, entry: ModelEntry) -> Problem | None:
    if request.task in entry.tasks:
        return None
    tasks = ", ".join(task.replace("_", " ") for task in entry.tasks)
    asked = request.task[:40].replace("_", " ")
    return Problem("bad_setting", f"{entry.label} can't do {asked}, only {tasks}; choose another model.")


def _wrong_text(request: TakeRequest) -> Problem | None:
    if not _readable(request.prompt).strip():
        return Problem("bad_prompt", "The prompt is empty; say in a sentence what is to be seen.")
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if len(text) > MAX_PROMPT_CHARACTERS:
            return Problem(
                "bad_prompt",
                f"The {name} has {len(text):,} characters; shorten it to {MAX_PROMPT_CHARACTERS:,} "
                "(the model reads about the first 500 words).",
            )
    return None


def _wrong_settings(request: TakeRequest) -> Problem | None:
    if not 0 <= request.seed < 1 << 63:
        fix = Fix("Use seed 1", "seed", "1")
        return Problem("bad_setting", f"The seed {request.seed} is not a number from 0 to 2^63 - 1.", [fix])
    for name, (least, most) in LIMITS.items():
        value = getattr(request, name)
        if value is not None and not least <= value <= most:
            nearest = min(max(value, least), most)
            words = name.replace("_", " ")
            sentence = f"The {words} of {value:g} is out of range; give {least:g} to {most:g}."
            return Problem("bad_setting", sentence, [Fix(f"Use {nearest:g}", name, f"{nearest:g}")])
    return None


def _size(request: TakeRequest, entry: ModelEntry, problems: list[Problem | None]) -> sizes.Snapped:
    try:
        return sizes.snap(entry, request.width, request.height, request.resolution)
    except sizes.SizeRefused as refused:
        name = entry.default_size
        problems.append(Problem("bad_size", str(refused), [Fix(f"Use {name}", "resolution", name)]))
        size = entry.size(name)
        assert size is not None, "the catalogue was checked when it was read"
        return sizes.snap(entry, size.width, size.height, name)


def _frames(
    request: TakeRequest, entry: ModelEntry, notes: list[str], problems: list[Problem | None]
) -> tuple[int, int]:
    """Frames that the model makes, and frames of the take."""
    scene_rate = _scene_rate(request.frame_rate)
    if scene_rate is None:
        sentence = "The scene's frame rate can't be used; set one from 1 to 240 frames a second."
        problems.append(Problem("bad_length", sentence))
        return entry.min_frames, entry.min_frames
    most = int(Fraction(entry.max_frames - 1) / entry.frame_rate * scene_rate) + 1
    if request.length_frames < 1:
        sentence = f"A length of {request.length_frames} frames is nothing; give 1 to {most} frames."
        one_second = min(most, round(scene_rate))
        fix = Fix(f"Use {one_second} frames", "length_frames", str(one_second))
        problems.append(Problem("bad_length", sentence, [fix]))
        return entry.min_frames, 1
    take_frames = min(request.length_frames, most)
    if take_frames < request.length_frames:
        seconds = (entry.max_frames - 1) / entry.frame_rate
        notes.append(
            f"{request.length_frames} frames became {take_frames}: {entry.label} makes at most {seconds:g} s in one go."
        )
    return model_frames_for(take_frames, scene_rate, entry), take_frames


def _scene_rate(rate: FrameRate) -> Fraction | None:
    try:
        exact = rate.exact()
    except ZeroDivisionError:
        return None
    return exact if MIN_FRAME_RATE <= exact <= MAX_FRAME_RATE else None


def _disk_bytes(media_format: MediaFormat, width: int, height: int, frames: int) -> int:
    return int(BYTES_A_PIXEL[media_format] * width * height * frames) + 4096 * frames
