"""A request for a training becomes a Plan: what its clips come to, its steps and its memory, or why it can't be done.

No clip is opened: what they show is looked at by the worker, which says then which of them are black or alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from ..catalogue.architecture import Architecture
from ..library.component_files import ComponentFiles
from ..library.locate import LocatedModel
from ..lora import resolve
from ..memory import training_needs
from ..memory.needs import PLAIN_TOKEN_PIXELS, VideoShape
from ..memory.training_needs import TrainedShape
from ..protocol.errors import Refusal
from ..protocol.messages import (
    ENOUGH_CLIPS,
    ENOUGH_STILLS,
    KEPT_LORAS,
    MAX_CAPTION_CHARACTERS,
    MAX_CLIPS,
    MAX_PROMPT_CHARACTERS,
    MAX_RANK,
    MAX_TRAINING_STEPS,
    MAX_TRIGGER,
    Plan,
    Problem,
    ProblemKind,
    Role,
    TakeRequest,
    Training,
    TrainingKind,
    TrainingLength,
    TrainingPlan,
)
from ..protocol.plain_names import is_name
from ..protocol.sentences import Sentence
from ..protocol.training import name_limit
from ..storage import media_folder
from ..storage.byte_sizes import size_in_words
from . import machine_steps, needed_sources, plan_steps
from .draft import Draft, Inventory, Step, run_steps, unless_refused

STEPS = {TrainingLength.SHORT: 500, TrainingLength.USUAL: 2000, TrainingLength.LONG: 4000}
SAMPLE_EVERY = {TrainingLength.SHORT: 125, TrainingLength.USUAL: 250, TrainingLength.LONG: 500}
FRAMES = {TrainingKind.LOOK: 17, TrainingKind.SUBJECT: 33, TrainingKind.MOTION: 49}
"""The model's frames of a clip, at most: a look is in every picture, a motion takes its time."""
RANK = 32
SMALL_MODEL_WEIGHTS = 3_000_000_000
LEARNING_RATE, SMALL_MODEL_LEARNING_RATE = 1e-4, 2e-4
LEAST_RATE, MOST_RATE = 1e-6, 1e-2
WARM_UP_STEPS = 100
MOTION_SHIFT = 5 / 3
"""By this factor, noisy times come more often where a motion is trained: it is settled in these."""
MAX_SAMPLE_STEPS = 20
LATENT_NUMBER_BYTES = 4
WANTS_MOTION = (Architecture.FIRST_PICTURE, Architecture.PICTURES, Architecture.FIRST_AND_LAST)
"""Models that are given a clip's first picture: of a still, nothing is left to learn."""


def plan_on_machine(request: TakeRequest, inventory: Inventory) -> Plan:
    """What would be done for the training in `request` with what this machine has, and why not; changes nothing."""
    assert request.training is not None
    draft = machine_steps.begun(request, inventory)
    return draft if isinstance(draft, Plan) else run_steps(draft, STEPS_OF_A_TRAINING).plan


def _training(draft: Draft) -> Training:
    assert draft.request.training is not None
    return draft.request.training


def _check_model(draft: Draft) -> Draft | Problem:
    if draft.entry.standard.timesteps:
        return _bad(
            Sentence(
                "{model} was distilled to a few steps, which a training would undo; train on the model that it was "
                "made from, and use the LoRA with this one.",
                model=draft.entry.label,
            )
        )
    if draft.entry.architecture is Architecture.EDIT:
        return _bad(
            Sentence(
                "{model} is trained on pairs of footage before and after, which this version can't do; train on a "
                "model for text to video of its size, and try the LoRA with this one.",
                model=draft.entry.label,
            )
        )
    return draft


def _check_words(draft: Draft) -> Draft | Problem:
    cleaned = plan_steps.cleaned(draft.request).training
    assert cleaned is not None
    if not cleaned.name:
        return _bad(Sentence("The training has no name; give it one, after which its files are called."))
    longest = name_limit(cleaned.name)
    if len(cleaned.name) > longest:
        return _bad(Sentence("The name of the training is longer than {most} characters.", most=longest))
    if not is_name(cleaned.name, windows=True) or cleaned.name.startswith("."):
        return _bad(
            Sentence("'{name}' can't be the name of a file; use letters, digits and spaces.", name=cleaned.name)
        )
    if len(cleaned.trigger) > MAX_TRIGGER:
        return _bad(Sentence("The trigger word is longer than {most} characters.", most=MAX_TRIGGER))
    if any(len(each) > MAX_CAPTION_CHARACTERS for each in (cleaned.caption, *cleaned.captions)):
        most = f"{MAX_CAPTION_CHARACTERS:,}"
        return _bad(Sentence("A caption has more than {most} characters; shorten it.", most=most))
    if len(cleaned.sample_prompt) > MAX_PROMPT_CHARACTERS:
        most = f"{MAX_PROMPT_CHARACTERS:,}"
        return _bad(Sentence("The sample's prompt has more than {most} characters; shorten it.", most=most))
    return draft


def _check_numbers(draft: Draft) -> Draft | Problem:
    wanted = _training(draft)
    limits: list[tuple[Sentence, float | None, float, float]] = [
        (Sentence("steps"), wanted.steps, 1, MAX_TRAINING_STEPS),
        (Sentence("steps between samples"), wanted.sample_every, 1, MAX_TRAINING_STEPS),
        (Sentence("rank"), wanted.rank, 1, MAX_RANK),
        (Sentence("learning rate"), wanted.learning_rate, LEAST_RATE, MOST_RATE),
        (Sentence("share of noisy steps"), wanted.noisy_share, 0.0, 1.0),
    ]
    for words, value, least, most in limits:
        if value is not None and not least <= value <= most:
            return Problem(
                ProblemKind.BAD_SETTING,
                Sentence(
                    "The {setting} of {value} is out of range; give {minimum} to {maximum}.",
                    setting=words,
                    value=f"{value:g}",
                    minimum=f"{least:g}",
                    maximum=f"{most:g}",
                ),
            )
    return draft


def _check_clips(draft: Draft) -> Draft | Problem:
    sources = draft.request.sources
    if draft.entry.follows_camera:
        sentence = Sentence(
            "{model} follows a camera, and no clip says how its camera moved; train on another model.",
            model=draft.entry.label,
        )
        return Problem(ProblemKind.BAD_SETTING, sentence)
    if not sources or any(source.role is not Role.CLIP for source in sources):
        return Problem(
            ProblemKind.BAD_SOURCE, Sentence("There are no clips to train on; select strips whose pictures have it.")
        )
    if len(sources) > MAX_CLIPS:
        return Problem(
            ProblemKind.BAD_SOURCE,
            Sentence("{count} clips are too many; select at most {most}.", count=len(sources), most=MAX_CLIPS),
        )
    if plan_steps.scene_rate(draft.request.frame_rate) is None:
        sentence = Sentence("The scene's frame rate can't be used; set one from 1 to 240 frames a second.")
        return Problem(ProblemKind.BAD_LENGTH, sentence)
    found = needed_sources.check(draft.request, draft.inventory.source_problem)
    if found is not None:
        return found
    moving = sum(frames_of(source.frames, draft.request, draft.plan) >= draft.entry.min_frames for source in sources)
    if not moving and draft.entry.architecture in WANTS_MOTION:
        return Problem(
            ProblemKind.BAD_SOURCE,
            Sentence(
                "{model} is given a clip's first picture, so it learns nothing from stills; select movies, or train on "
                "another model.",
                model=draft.entry.label,
            ),
        )
    if moving < ENOUGH_CLIPS and len(sources) < ENOUGH_STILLS:
        return draft.with_plan(
            Sentence(
                "{count} clips are few: with less than {stills} stills or {clips} moving clips, the LoRA mostly "
                "repeats them.",
                count=len(sources),
                stills=ENOUGH_STILLS,
                clips=ENOUGH_CLIPS,
            )
        )
    return draft


def frames_of(source_frames: int, request: TakeRequest, plan: Plan) -> int:
    """How many of the model's frames, 4k + 1, fit into so many frames of the scene."""
    step = plan.model_frame_rate.exact() / (plan_steps.scene_rate(request.frame_rate) or Fraction(1))
    return (int((source_frames - 1) * step) + 1 - 1) // 4 * 4 + 1


def _settle_frames(draft: Draft) -> Draft:
    """The frames of a clip: what suits the kind, unless all clips are shorter."""
    longest = max(frames_of(source.frames, draft.request, draft.plan) for source in draft.request.sources)
    frames = min(FRAMES[_training(draft).kind], draft.entry.max_frames, longest)
    return draft.with_plan(model_frames=frames if frames >= draft.entry.min_frames else 1, take_frames=1)


def _settle_training(draft: Draft) -> Draft:
    wanted, entry = _training(draft), draft.entry
    preset, experts = entry.standard, entry.weights.experts
    small = entry.weights.transformer < SMALL_MODEL_WEIGHTS
    steps = wanted.steps or STEPS[wanted.length]
    own_rate = entry.training.learning_rate or (SMALL_MODEL_LEARNING_RATE if small else LEARNING_RATE)
    own_share = entry.training.noisy_share
    settled = TrainingPlan(
        steps=steps,
        sample_every=min(wanted.sample_every or SAMPLE_EVERY[wanted.length], steps),
        rank=wanted.rank or RANK,
        learning_rate=wanted.learning_rate or own_rate,
        warm_up_steps=min(WARM_UP_STEPS, steps // 10),
        clips=len(draft.request.sources),
        timestep_shift=preset.flow_shift * (MOTION_SHIFT if wanted.kind is TrainingKind.MOTION else 1),
        only_with_trigger=wanted.only_with_trigger and bool(wanted.trigger.strip()),
        noisy_share=own_share if wanted.noisy_share is None else wanted.noisy_share,
        sample_steps=min(preset.steps, MAX_SAMPLE_STEPS) if wanted.sample_prompt.strip() else 0,
    )
    return draft.with_plan(
        training=settled,
        steps=steps * experts,
        guidance_scale=preset.guidance_scale,
        low_noise_guidance_scale=preset.low_noise_guidance_scale,
        flow_shift=preset.flow_shift,
        sampler=preset.sampler,
    )


def _check_folder(draft: Draft) -> Draft | Problem:
    """The room for the LoRAs that are kept; what else the work needs is in the state folder."""
    assert draft.plan.training is not None
    shape = _shape(draft, {})
    lora_bytes = shape.adapter_numbers * 2 * draft.entry.weights.experts
    draft = draft.with_plan(disk_bytes=lora_bytes * (KEPT_LORAS + 2))
    return media_folder.check(draft.request.media_folder, draft.plan.disk_bytes, media_folder.LORAS) or draft


def _shape(draft: Draft, config: Mapping[str, Any]) -> TrainedShape:
    """By the model's own configuration, else by the catalogue."""
    plan, entry, machine = draft.plan, draft.entry, draft.inventory.machine
    assert plan.training is not None
    patched = entry.multiple > PLAIN_TOKEN_PIXELS
    video = VideoShape(plan.width, plan.height, plan.model_frames, entry.multiple if patched else PLAIN_TOKEN_PIXELS)
    number_bytes = 2 if machine is None or machine.kind != "cpu" else 4
    weights, rank = entry.weights, plan.training.rank
    with contextlib.suppress(KeyError, ValueError, TypeError):  # of a file without some of it
        return TrainedShape.of(config, weights.transformer, rank, video, number_bytes)
    hidden, layers = weights.hidden, weights.layers or 12
    ffn = max(hidden, int((weights.transformer / layers - 8 * hidden**2) / (2 * hidden)))
    return TrainedShape(hidden, ffn, layers, weights.transformer, rank, video, number_bytes)


def _check_files(draft: Draft) -> Draft | Problem:
    """Refuse a model whose weights are in 8 bit or less already: what is frozen has to be exact."""
    assert isinstance(draft.model, LocatedModel)
    files = ComponentFiles(draft.model.folder, draft.model.components)
    try:
        quantized = resolve.quantized_bytes(files) if draft.model.components else 0
    except (Refusal, OSError):  # loading the file says what is wrong with it
        quantized = 0
    if quantized:
        file = files.file("transformer")
        return Problem(
            ProblemKind.BAD_SETTING,
            Sentence(
                "{file} has {model} in 8 bit or less (fp8 or GGUF), on which nothing can be trained well; download the "
                "model in 16 bit.",
                file="" if file is None else file.file.name,
                model=draft.entry.label,
            ),
        )
    return draft


def _fit_into_memory(draft: Draft) -> Draft | Problem:
    machine, config = draft.inventory.machine, {}
    if isinstance(draft.model, LocatedModel):
        try:
            config = ComponentFiles(draft.model.folder, draft.model.components).config("transformer")
        except Refusal:
            config = {}
    shape = _shape(draft, config)
    device_bytes = machine.emptied.usable_bytes if machine is not None else 1 << 62
    memory = training_needs.choose(shape, device_bytes, on_cpu=machine is not None and not machine.is_card)
    words = Sentence("All weights stay in memory.")
    if memory.stay_bytes is not None:
        words = Sentence("The frozen weights are in 8 bit, and some visit the card block by block.")
    elif memory.eight_bit:
        words = Sentence("The frozen weights stay on the card in 8 bit.")
    draft = draft.with_plan(memory_bytes=memory.peak_bytes, memory=words)
    if machine is None or memory.peak_bytes <= device_bytes:
        return draft
    place = Sentence("of the card") if machine.is_card else Sentence("of memory")
    return Problem(
        ProblemKind.TOO_LARGE,
        Sentence(
            "Training on {model} needs about {needed} {place} for such clips, and there are {there}; choose a smaller "
            "size, or another model.",
            model=draft.entry.label,
            needed=size_in_words(memory.peak_bytes),
            place=place,
            there=size_in_words(device_bytes),
        ),
    )


def _bad(sentence: Sentence) -> Problem:
    return Problem(ProblemKind.BAD_SETTING, sentence)


STEPS_OF_A_TRAINING: tuple[Step, ...] = (
    plan_steps.name_model,
    _check_model,
    _check_words,
    _check_numbers,
    plan_steps.check_settings,
    plan_steps.settle_size,
    unless_refused(_check_clips),
    unless_refused(_settle_frames),
    unless_refused(_settle_training),
    unless_refused(_check_folder),
    unless_refused(machine_steps.check_model),
    unless_refused(_check_files),
    unless_refused(_fit_into_memory),
)
