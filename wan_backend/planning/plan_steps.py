"""A request and a model become a Plan: every value settled, every change noted.

What can be snapped (sizes, lengths over the model's maximum) is snapped and noted; what can't be meant (an empty
prompt, a negative seed) is refused with one sentence, and if something would help, with a Fix for a button.
`machine_steps` goes on with what is on this machine.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Collection
from fractions import Fraction

from ..catalogue import entries
from ..catalogue.architecture import architecture_problem
from ..catalogue.entries import ModelEntry
from ..lora import resolve
from ..memory.needs import calculate_from_catalogue
from ..protocol import spoken
from ..protocol.messages import (
    MAX_PROMPT_CHARACTERS,
    MAX_TAKE_FRAMES,
    PROMPTLESS_ROLES,
    READ_PROMPT_CHARACTERS,
    Fix,
    FixSetting,
    FrameRate,
    MediaFormat,
    Plan,
    Problem,
    ProblemKind,
    Quality,
    Role,
    TakeRequest,
    Task,
    Training,
)
from ..protocol.sentences import Sentence
from ..storage import media_folder
from . import camera_moves, kept_pictures, needed_sources, sizes, skipped_work, words_over_time
from .draft import Draft, Step, empty_plan, run_steps, unless_refused
from .handles import choose_handles

MIN_FRAME_RATE, MAX_FRAME_RATE = Fraction(1), Fraction(240)
MAX_MODEL_FRAMES = 4001
"""The limit for scenes of so few frames a second that MAX_TAKE_FRAMES of them last very long."""
LIMITS: dict[FixSetting, tuple[float, float]] = {
    FixSetting.STEPS: (1, 200),
    FixSetting.GUIDANCE_SCALE: (0.0, 30.0),
    FixSetting.FLOW_SHIFT: (0.01, 100.0),
    FixSetting.STRENGTH: (0.0, 1.0),
}
"""Minimum and maximum of the settings that a request may give for itself."""
SETTINGS_IN_WORDS = {
    FixSetting.STEPS: Sentence("steps"),
    FixSetting.GUIDANCE_SCALE: Sentence("guidance scale"),
    FixSetting.FLOW_SHIFT: Sentence("flow shift"),
    FixSetting.STRENGTH: Sentence("strength"),
}
BYTES_A_PIXEL = {MediaFormat.PNG: 3.0, MediaFormat.FFV1: 3.0, MediaFormat.H264: 1.0}
"""Size of a take's files at the worst, which is grain."""


def plan(request: TakeRequest, entry: ModelEntry, loras: Collection[str] = ()) -> Plan:
    """What would be done for `request` by the model `entry`; `problem` says why it can't be, if it can't.

    `loras` are the ids of the catalogue's LoRAs that are on this machine.
    """
    return run_steps(Draft(request, entry, empty_plan(request), loras), REQUEST_STEPS).plan


def cleaned(request: TakeRequest) -> TakeRequest:
    """The request with its prompts free of what no text encoder can read: lone surrogates and control characters."""
    return dataclasses.replace(
        request,
        prompt=readable(request.prompt),
        negative_prompt=readable(request.negative_prompt),
        words=[dataclasses.replace(each, prompt=readable(each.prompt)) for each in request.words],
        training=None if request.training is None else _cleaned_training(request.training),
    )


def _cleaned_training(training: Training) -> Training:
    return dataclasses.replace(
        training,
        name=" ".join(readable(training.name).split()),
        trigger=" ".join(readable(training.trigger).split()),
        caption=readable(training.caption),
        captions=[readable(each) for each in training.captions],
        names=[" ".join(readable(each).split()) for each in training.names],
        sample_prompt=readable(training.sample_prompt),
    )


def readable(text: str) -> str:
    """`text` with spaces in place of lone surrogates and control characters."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cs", "Cc") else " " for c in text)


def name_model(draft: Draft) -> Draft:
    """Settle the model, and the rate of its frames."""
    return draft.with_plan(model=draft.entry.id, model_frame_rate=draft.entry.rate)


def _check_task(draft: Draft) -> Draft | Problem:
    entry, task = draft.entry, draft.request.task
    if task in entry.tasks:
        return draft
    tasks, asked = Sentence.joined(map(spoken.task, entry.tasks), ", "), spoken.task(task)
    return Problem(
        ProblemKind.BAD_SETTING,
        Sentence(
            "{model} can't do {asked}, only {tasks}; choose another model.", model=entry.label, asked=asked, tasks=tasks
        ),
    )


def _check_prompts(draft: Draft) -> Draft | Problem:
    request = draft.request
    shown = any(source.role in PROMPTLESS_ROLES for source in request.sources)
    if not shown and not request.words and not readable(request.prompt).strip():
        return Problem(
            ProblemKind.BAD_PROMPT, Sentence("The prompt is empty; describe in a sentence what the take shows.")
        )
    prompts = ((Sentence("prompt"), request.prompt), (Sentence("negative prompt"), request.negative_prompt))
    for name, text in prompts:
        if len(text) > MAX_PROMPT_CHARACTERS:
            return Problem(
                ProblemKind.BAD_PROMPT,
                Sentence(
                    "The {name} has {count} characters, and the model reads about the first "
                    "{read}: shorten it to at most {most}.",
                    name=name,
                    count=f"{len(text):,}",
                    read=f"{READ_PROMPT_CHARACTERS:,}",
                    most=f"{MAX_PROMPT_CHARACTERS:,}",
                ),
            )
    return words_over_time.problem_of(cleaned(request)) or draft


def check_settings(draft: Draft) -> Draft | Problem:
    """Find a seed or another number that is out of bounds."""
    request = draft.request
    if not 0 <= request.seed < 1 << 63:
        fix = Fix(Sentence("Use seed 1"), FixSetting.SEED, "1")
        return Problem(
            ProblemKind.BAD_SETTING,
            Sentence("The seed {seed} is not a number from 0 to 2^63 - 1.", seed=request.seed),
            [fix],
        )
    for setting, (minimum, maximum) in LIMITS.items():
        value = getattr(request, setting.value)
        if value is not None and not minimum <= value <= maximum:
            nearest = min(max(value, minimum), maximum)
            words = SETTINGS_IN_WORDS[setting]
            sentence = Sentence(
                "The {setting} of {value} is out of range; give {minimum} to {maximum}.",
                setting=words,
                value=f"{value:g}",
                minimum=f"{minimum:g}",
                maximum=f"{maximum:g}",
            )
            return Problem(
                ProblemKind.BAD_SETTING,
                sentence,
                [Fix(Sentence("Use {nearest}", nearest=f"{nearest:g}"), setting, f"{nearest:g}")],
            )
    return draft


def _check_architecture(draft: Draft) -> Draft | Problem:
    return architecture_problem(draft.request, draft.entry.architecture) or draft


def _note_unread_prompt(draft: Draft) -> Draft:
    notes = []
    if cleaned(draft.request) != draft.request:
        notes.append(Sentence("Invalid characters were removed from the prompt."))
    if len(draft.request.prompt) > READ_PROMPT_CHARACTERS:
        read = f"{READ_PROMPT_CHARACTERS:,}"
        notes.append(
            Sentence("The model reads about the first {read} characters of a prompt and ignores the rest.", read=read)
        )
    return draft.with_plan(*notes)


def settle_size(draft: Draft) -> Draft:
    """Settle the size of the pictures."""
    request, entry = draft.request, draft.entry
    if request.least_size:
        size = sizes.least_size(entry, request.width, request.height)
    else:
        size = sizes.snap(entry, request.width, request.height, request.resolution)
    if isinstance(size, Problem):
        draft, size = draft.with_problem(size), sizes.default_size(entry)
    return draft.with_plan(*size.notes, width=size.width, height=size.height)


def _settle_length(draft: Draft) -> Draft:
    """Settle the frames of the take, and those of the clip that the model makes for it."""
    request, entry = draft.request, draft.entry
    rate = scene_rate(request.frame_rate)
    if rate is None:
        sentence = Sentence("The scene's frame rate can't be used; set one from 1 to 240 frames a second.")
        problem = Problem(ProblemKind.BAD_LENGTH, sentence)
        return draft.with_problem(problem).with_plan(take_frames=entry.min_frames, model_frames=entry.min_frames)
    max_frames = min(MAX_TAKE_FRAMES, int(MAX_MODEL_FRAMES / entry.frame_rate * rate))
    if not 1 <= request.length_frames <= max_frames:
        problem = _wrong_length(request.length_frames, max_frames, rate)
        return draft.with_problem(problem).with_plan(take_frames=1, model_frames=entry.min_frames)
    take_frames = request.length_frames
    if not entry.makes_long(request.task):
        take_frames = min(take_frames, int(Fraction(entry.max_frames - 1) / entry.frame_rate * rate) + 1)
    handles = choose_handles(request, take_frames, rate, entry)
    clip = handles.clip
    draft = draft.with_plan(
        *([handles.note] if handles.note else []),
        take_frames=take_frames,
        handle_before=handles.before,
        handle_after=handles.after,
        model_frames=clip.model_frames,
        kept_before=clip.kept_before,
        kept_after=clip.kept_after,
        window_frames=entry.max_frames if clip.model_frames > entry.max_frames else 0,
    )
    seconds = (entry.max_frames - 1) / entry.frame_rate
    if take_frames < request.length_frames and not entry.follows_camera:  # which refuses it
        return draft.with_plan(
            Sentence(
                "{asked} frames became {frames}: from a picture, {model} makes at most "
                "{seconds} s. A VACE model makes longer ones.",
                asked=request.length_frames,
                frames=take_frames,
                model=entry.label,
                seconds=f"{seconds:g}",
            )
        )
    if draft.plan.window_frames:
        return draft.with_plan(
            Sentence(
                "{model} makes {seconds} s at a time, so the take is made in parts that overlap.",
                model=entry.label,
                seconds=f"{seconds:g}",
            )
        )
    return draft


def _wrong_length(length_frames: int, max_frames: int, rate: Fraction) -> Problem:
    if length_frames < 1:
        use = min(max_frames, round(rate))
        sentence = Sentence(
            "A length of {frames} frames is too short; give 1 to {most} frames.", frames=length_frames, most=max_frames
        )
    else:
        use = max_frames
        sentence = Sentence(
            "A take of {frames} frames is too long; give 1 to {most} frames.",
            frames=f"{length_frames:,}",
            most=max_frames,
        )
    fix = Fix(Sentence("Use {frames} frames", frames=use), FixSetting.LENGTH_FRAMES, str(use))
    return Problem(ProblemKind.BAD_LENGTH, sentence, [fix])


def scene_rate(rate: FrameRate) -> Fraction | None:
    """The rate as a fraction; None if no scene has it."""
    try:
        exact = rate.exact()
    except ZeroDivisionError:
        return None
    return exact if MIN_FRAME_RATE <= exact <= MAX_FRAME_RATE else None


def _check_sources(draft: Draft) -> Draft | Problem:
    return needed_sources.check(draft.request, draft.inventory.source_problem) or draft


def _count_sources(draft: Draft) -> Draft:
    """Settle how many sources the transformer sees: all of an edit's, none of another task's."""
    request = draft.request
    if request.task is not Task.EDIT:
        return draft
    return draft.with_plan(seen_sources=1 + len(request.references))


def _check_camera(draft: Draft) -> Draft | Problem:
    entry, request = draft.entry, draft.request
    rate = scene_rate(request.frame_rate)
    if entry.follows_camera and rate is not None and draft.plan.take_frames < request.length_frames:
        return camera_moves.too_long(entry.label, entry.max_frames, entry.frame_rate, rate)
    return camera_moves.problem_of(request) or draft


def _check_loras(draft: Draft) -> Draft | Problem:
    return resolve.find_lora_problem(draft.request) or draft


def _settle_sampling(draft: Draft) -> Draft:
    """Settle steps, guidance and sampler: those of the quality, but for what the request gives for itself."""
    request, entry, notes = draft.request, draft.entry, []
    preset, lora = entry.preset(request.quality), ""
    known = entries.load().loras.get(entry.draft_lora) if entry.draft_lora in draft.loras else None
    if known is not None and known.preset is not None and request.quality is Quality.DRAFT:
        preset, lora = known.preset, known.id
        notes.append(Sentence("Draft in {steps} steps, with a speed LoRA.", steps=preset.steps))
    own = (preset.steps, preset.flow_shift)
    if preset.timesteps and (request.steps or preset.steps, request.flow_shift or preset.flow_shift) != own:
        made_by = Sentence("This LoRA") if lora else entry.label
        notes.append(
            Sentence(
                "{made_by} was trained for {steps} fixed steps; steps and flow shift can't be changed.",
                made_by=made_by,
                steps=preset.steps,
            )
        )
    guided = request.guidance_scale is not None
    return draft.with_plan(
        *notes,
        steps=preset.steps if request.steps is None or preset.timesteps else request.steps,
        guidance_scale=request.guidance_scale if guided else preset.guidance_scale,
        flow_shift=preset.flow_shift if request.flow_shift is None or preset.timesteps else request.flow_shift,
        sampler=preset.sampler,
        low_noise_guidance_scale=None if guided else preset.low_noise_guidance_scale,
        timesteps=list(preset.timesteps),
        lora=lora,
    )


def _estimate_memory(draft: Draft) -> Draft:
    made = draft.plan
    needs = calculate_from_catalogue(
        draft.entry, made.width, made.height, made.frames_at_once, sources=made.seen_sources
    )
    return draft.with_plan(memory_bytes=needs.one_at_a_time)


def _estimate_disk(draft: Draft) -> Draft:
    """Estimate the take's files, and the model's frames that wait in a file for those after the take."""
    request, made = draft.request, draft.plan
    waiting = any(source.role in (Role.AFTER, Role.LAST) for source in request.sources)
    disk_bytes = files_bytes(request, made.width, made.height, made.all_frames)
    return draft.with_plan(disk_bytes=disk_bytes + (3 * made.width * made.height * made.model_frames if waiting else 0))


def files_bytes(request: TakeRequest, width: int, height: int, frames: int) -> int:
    """The size of the files of a take of so many frames, at the worst."""
    return int(BYTES_A_PIXEL[request.media_format] * width * height * frames) + 4096 * frames


def _check_media_folder(draft: Draft) -> Draft | Problem:
    return media_folder.check(draft.request.media_folder, draft.plan.disk_bytes) or draft


REQUEST_STEPS: tuple[Step, ...] = (
    name_model,
    _check_task,
    _check_prompts,
    check_settings,
    _check_architecture,
    _note_unread_prompt,
    settle_size,
    _settle_length,
    unless_refused(words_over_time.settle),
    unless_refused(_check_sources),
    unless_refused(_check_camera),
    unless_refused(kept_pictures.settle),
    unless_refused(_check_loras),
    _count_sources,
    _settle_sampling,
    skipped_work.settle_guidance,
    _estimate_memory,
    _estimate_disk,
    unless_refused(_check_media_folder),
)
"""The steps from a request to a plan for a model, whether or not that is on this machine."""
