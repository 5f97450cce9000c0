"""A request and a model become a Plan: every value settled, every change said. No torch; protocol and catalogue only.

What can be snapped (sizes, lengths over the model's most) is snapped and noted; what can't be meant (an empty prompt,
a negative seed) is refused with one sentence, and where something would help, with a Fix for a button.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Collection
from fractions import Fraction

from ..catalogue import entries
from ..catalogue.abilities import architecture_problem
from ..catalogue.entries import ModelEntry, QualityPreset
from ..lora import resolve
from ..memory.needs import calculate_from_catalogue
from ..protocol.messages import (
    MAX_PROMPT_CHARACTERS,
    MAX_TAKE_FRAMES,
    TELLING_ROLES,
    Fix,
    FixSetting,
    FrameRate,
    MediaFormat,
    Plan,
    Problem,
    ProblemKind,
    Quality,
    Role,
    Sampler,
    TakeRequest,
)
from ..storage import media_folder
from . import needed_sources, sizes
from .lengths import Lengths, lengths

MIN_FRAME_RATE, MAX_FRAME_RATE = Fraction(1), Fraction(240)
MOST_MODEL_FRAMES = 4001
"""For scenes of so few frames a second that 2,000 of them last very long."""
LIMITS: dict[FixSetting, tuple[float, float]] = {
    FixSetting.STEPS: (1, 200),
    FixSetting.GUIDANCE_SCALE: (0.0, 30.0),
    FixSetting.FLOW_SHIFT: (0.01, 100.0),
    FixSetting.STRENGTH: (0.0, 1.0),
}
"""Least and most of the settings that a request may give for itself."""
BYTES_A_PIXEL = {MediaFormat.PNG: 3.0, MediaFormat.FFV1: 3.0, MediaFormat.H264: 1.0}
"""Of a take's files, at the worst, which is grain."""

READ_CHARACTERS = 2000
"""About what 512 tokens hold, in English: so much of a prompt reaches the text encoder."""


def plan(request: TakeRequest, entry: ModelEntry, loras: Collection[str] = ()) -> Plan:
    """What would be done for `request` by the model `entry`; `problem` says why it can't be, where it can't.

    `loras` are those of the catalogue that are on this machine.
    """
    notes: list[str] = []
    problems = [_wrong_task(request, entry), _wrong_text(request), _wrong_settings(request)]
    problems.append(architecture_problem(request, entry.architecture))
    if cleaned(request) != request:
        notes.append("Characters of the prompt that are no text were left out.")
    if len(request.prompt) > READ_CHARACTERS:
        notes.append(
            f"The model reads about the first {READ_CHARACTERS} characters of a prompt, and passes over the rest."
        )
    size = _size(request, entry, problems)
    notes += size.notes
    take_frames, clip = _frames(request, entry, notes, problems)
    if not any(problems):  # nothing is looked for on a disk for a request that can't be done anyhow
        problems += [needed_sources.check(request), resolve.wrong(request)]
    window_frames = entry.max_frames if clip.model_frames > entry.max_frames else 0
    waits = any(source.role in (Role.AFTER, Role.LAST) for source in request.sources)
    spooled = clip.model_frames if waits else 0
    preset, lora = _preset(request, entry, loras, notes)
    made = Plan(
        model=entry.id,
        width=size.width,
        height=size.height,
        model_frames=clip.model_frames,
        model_frame_rate=entry.rate,
        take_frames=take_frames,
        steps=preset.steps if request.steps is None or preset.timesteps else request.steps,
        guidance_scale=preset.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        flow_shift=preset.flow_shift if request.flow_shift is None or preset.timesteps else request.flow_shift,
        sampler=preset.sampler,
        low_noise_guidance_scale=preset.low_noise_guidance_scale if request.guidance_scale is None else None,
        timesteps=list(preset.timesteps),
        lora=lora,
        kept_before=clip.kept_before,
        kept_after=clip.kept_after,
        window_frames=window_frames,
        memory_bytes=calculate_from_catalogue(
            entry, size.width, size.height, window_frames or clip.model_frames
        ).one_at_a_time,
        disk_bytes=_disk_bytes(request.media_format, size.width, size.height, take_frames, spooled),
        notes=notes,
    )
    if not any(problems):
        problems.append(media_folder.check(request.media_folder, made.disk_bytes))
    return dataclasses.replace(made, problem=next((p for p in problems if p is not None), None))


def impossible(request: TakeRequest, problem: Problem) -> Plan:
    """The plan for a request whose model is not known: only why."""
    return Plan(request.model, 0, 0, 0, FrameRate(1), 0, 0, 0.0, 0.0, Sampler.UNIPC, problem=problem)


def cleaned(request: TakeRequest) -> TakeRequest:
    """The request with its prompts free of what no text encoder can read: lone surrogates and control characters."""
    return dataclasses.replace(
        request,
        prompt=_readable(request.prompt),
        negative_prompt=_readable(request.negative_prompt),
    )


def _readable(text: str) -> str:
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cs", "Cc") else " " for c in text)


def _preset(
    request: TakeRequest, entry: ModelEntry, loras: Collection[str], notes: list[str]
) -> tuple[QualityPreset, str]:
    """The settings of the request's quality, and the LoRA that they are for, or nothing."""
    preset, lora = entry.preset(request.quality), ""
    known = entries.load().loras.get(entry.draft_lora) if entry.draft_lora in loras else None
    if known is not None and known.preset is not None and request.quality is Quality.DRAFT:
        preset, lora = known.preset, known.id
        notes.append(f"The draft is made in {preset.steps} steps, by a LoRA for that.")
    own = (preset.steps, preset.flow_shift)
    if preset.timesteps and (request.steps or preset.steps, request.flow_shift or preset.flow_shift) != own:
        made_by = "This LoRA" if lora else entry.label
        notes.append(f"{made_by} was trained for {preset.steps} certain steps; steps and flow shift stay as they are.")
    return preset, lora


def _wrong_task(request: TakeRequest, entry: ModelEntry) -> Problem | None:
    if request.task in entry.tasks:
        return None
    tasks = ", ".join(task.replace("_", " ") for task in entry.tasks)
    asked = request.task.replace("_", " ")
    return Problem(ProblemKind.BAD_SETTING, f"{entry.label} can't do {asked}, only {tasks}; choose another model.")


def _wrong_text(request: TakeRequest) -> Problem | None:
    told = any(source.role in TELLING_ROLES for source in request.sources)
    if not told and not _readable(request.prompt).strip():
        return Problem(ProblemKind.BAD_PROMPT, "The prompt is empty; say in a sentence what is to be seen.")
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if len(text) > MAX_PROMPT_CHARACTERS:
            return Problem(
                ProblemKind.BAD_PROMPT,
                f"The {name} has {len(text):,} characters; shorten it to {MAX_PROMPT_CHARACTERS:,} "
                "(the model reads about the first 500 words).",
            )
    return None


def _wrong_settings(request: TakeRequest) -> Problem | None:
    if not 0 <= request.seed < 1 << 63:
        fix = Fix("Use seed 1", FixSetting.SEED, "1")
        return Problem(ProblemKind.BAD_SETTING, f"The seed {request.seed} is not a number from 0 to 2^63 - 1.", [fix])
    for setting, (least, most) in LIMITS.items():
        value = getattr(request, setting.value)
        if value is not None and not least <= value <= most:
            nearest = min(max(value, least), most)
            words = setting.replace("_", " ")
            sentence = f"The {words} of {value:g} is out of range; give {least:g} to {most:g}."
            return Problem(ProblemKind.BAD_SETTING, sentence, [Fix(f"Use {nearest:g}", setting, f"{nearest:g}")])
    return None


def _size(request: TakeRequest, entry: ModelEntry, problems: list[Problem | None]) -> sizes.Snapped:
    try:
        return sizes.snap(entry, request.width, request.height, request.resolution)
    except sizes.SizeRefused as refused:
        name = entry.default_size
        problems.append(Problem(ProblemKind.BAD_SIZE, str(refused), [Fix(f"Use {name}", FixSetting.RESOLUTION, name)]))
        size = entry.size(name)
        assert size is not None, "the catalogue was checked when it was read"
        return sizes.snap(entry, size.width, size.height, name)


def _frames(
    request: TakeRequest, entry: ModelEntry, notes: list[str], problems: list[Problem | None]
) -> tuple[int, Lengths]:
    """Frames of the take, and the clip that the model makes for it."""
    scene_rate = _scene_rate(request.frame_rate)
    if scene_rate is None:
        sentence = "The scene's frame rate can't be used; set one from 1 to 240 frames a second."
        problems.append(Problem(ProblemKind.BAD_LENGTH, sentence))
        return entry.min_frames, Lengths(entry.min_frames)
    most = min(MAX_TAKE_FRAMES, int(MOST_MODEL_FRAMES / entry.frame_rate * scene_rate))
    if not 1 <= request.length_frames <= most:
        problems.append(_wrong_length(request.length_frames, most, scene_rate))
        return 1, Lengths(entry.min_frames)
    take_frames = request.length_frames
    if not entry.makes_long(request.task):
        take_frames = min(take_frames, int(Fraction(entry.max_frames - 1) / entry.frame_rate * scene_rate) + 1)
    clip = lengths(request, take_frames, scene_rate, entry)
    seconds = (entry.max_frames - 1) / entry.frame_rate
    if take_frames < request.length_frames:
        notes.append(
            f"{request.length_frames} frames became {take_frames}: from a picture, {entry.label} makes at most "
            f"{seconds:g} s. A VACE model makes longer ones."
        )
    elif clip.model_frames > entry.max_frames:
        notes.append(f"{entry.label} makes {seconds:g} s at a time, so the take is made in parts that overlap.")
    return take_frames, clip


def _wrong_length(length_frames: int, most: int, scene_rate: Fraction) -> Problem:
    if length_frames < 1:
        use, sentence = min(most, round(scene_rate)), f"A length of {length_frames} frames is nothing"
    else:
        use, sentence = most, f"A take of {length_frames:,} frames is too long"
    fix = Fix(f"Use {use} frames", FixSetting.LENGTH_FRAMES, str(use))
    return Problem(ProblemKind.BAD_LENGTH, f"{sentence}; give 1 to {most} frames.", [fix])


def _scene_rate(rate: FrameRate) -> Fraction | None:
    try:
        exact = rate.exact()
    except ZeroDivisionError:
        return None
    return exact if MIN_FRAME_RATE <= exact <= MAX_FRAME_RATE else None


def _disk_bytes(media_format: MediaFormat, width: int, height: int, frames: int, spooled: int) -> int:
    """Of the take's files, and of the model's frames that wait in a file meanwhile, as they do for those after it."""
    return int(BYTES_A_PIXEL[media_format] * width * height * frames) + 4096 * frames + 3 * width * height * spooled
