"""The conditions of text to video, a prompt and noise, with which every other task begins too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ..catalogue import entries
from ..catalogue.architecture import Architecture
from ..loading import finite
from ..loading.residency import PlacedModel
from ..planning.lengths import latent_frames
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, ProblemKind, Role, TakeRequest, Task
from ..protocol.sentences import Sentence
from . import prompt_relay
from .conditions import Conditions
from .encode import spatial_factor
from .preparation import Preparation
from .prompt_encoding import PromptCache, clean, encode
from .stopping import check

BEFORE_AN_EDIT = "You are a helpful assistant specialized in video editing."
BEFORE_AN_EDIT_WITH_REFERENCES = "You are a helpful assistant specialized in video editing with reference."
"""Bernini-R's makers put these before the prompts of edits, without a space."""


def prepare(job: Preparation) -> Conditions:
    """The conditions of a text to video job, whose canvas is not looked at; raises Refusal, Stopped."""
    model = job.placement.model
    if model.architecture not in (Architecture.TEXT, Architecture.CONTROL, Architecture.FIRST_LATENT):
        raise Refusal.of(
            ProblemKind.BAD_SETTING, Sentence("This model needs a first picture; choose a model for text to video.")
        )
    conditions = start(job)
    if not model.controlled or _trunk_suffices(job.plan):
        return conditions
    control = job.cache.blank(job.plan)
    if control is None:
        with job.placement.use("vae") as vae:
            control = job.cache.make_blank(vae, job.plan, job.should_stop)
    check(job.should_stop)
    return replace(conditions, control=control.to(model.device, model.precision.transformer))


def _trunk_suffices(plan: Plan) -> bool:
    """True if the model's transformer is the text to video model itself if it gets no control."""
    known = entries.load().models.get(plan.model)
    return known is not None and known.trunk_makes_text


def start(job: Preparation, references: int = 0) -> Conditions:
    """The conditions that every task begins with: the prompts and the noise, without any control.

    `references` is the number of latent frames before the take's own. Raises Refusal, Stopped.
    """
    model, request, plan = job.placement.model, job.request, job.plan
    transformer, vae = model.config("transformer"), model.config("vae")
    _check(transformer, vae, plan)
    dtype = model.precision.transformer
    relay = prompt_relay.relay_of(request, plan, references)
    prompts = [_asked(request, prompt) for prompt in relay.prompts]
    embeds = [each.to(model.device, dtype) for each in embeds_of(job, [*prompts, *_negative(request, plan)])]
    words = len(relay.prompts)
    latents = noise(request.seed, plan, int(vae.get("z_dim", 16)), spatial_factor(vae), references).to(model.device)
    negative = embeds[words] if len(embeds) > words else None
    return Conditions(torch.cat(embeds[:words]), negative, latents, references=references, spans=relay.spans)


def prompts_are_known(request: TakeRequest, plan: Plan, cache: PromptCache) -> bool:
    """True if `read_prompts` needs no text encoder."""
    return all(cache.get(clean(prompt)) is not None for prompt in _prompts(request, plan))


def read_prompts(job: Preparation) -> list[torch.Tensor]:
    """(1, 512, width) for each prompt, and for the negative one if it counts; the job's cache has them then.

    Raises Refusal, Stopped.
    """
    return embeds_of(job, _prompts(job.request, job.plan))


def _prompts(request: TakeRequest, plan: Plan) -> list[str]:
    """The prompt, or those of the take's times, and the negative one if it counts."""
    references = 0 if request.source(Role.LOOK) is None else 1  # which read the scene's prompt
    prompts = prompt_relay.relay_of(request, plan, references).prompts
    return [*(_asked(request, prompt) for prompt in prompts), *_negative(request, plan)]


def _asked(request: TakeRequest, prompt: str) -> str:
    """The prompt as the model reads it: an edit's begins as those that the model was trained with."""
    if request.task is not Task.EDIT:
        return prompt
    return (BEFORE_AN_EDIT_WITH_REFERENCES if request.references else BEFORE_AN_EDIT) + clean(prompt)


def _negative(request: TakeRequest, plan: Plan) -> list[str]:
    guided = max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) > 1
    return [request.negative_prompt] if guided else []


def noise(seed: int, plan: Plan, channels: int, factor: int, references: int = 0) -> torch.Tensor:
    """(1, channels, references + T, h, w) float32 noise; drawn on the CPU, it is the seed's on every device."""
    generator = torch.Generator("cpu").manual_seed(seed)
    frames = references + latent_frames(plan.model_frames)
    shape = (1, channels, frames, plan.height // factor, plan.width // factor)
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def _check(transformer: dict[str, Any], vae: dict[str, Any], plan: Plan) -> None:
    """Raise Refusal for what would otherwise be an error about shapes, deep in the model."""
    multiple = spatial_factor(vae) * 2
    if plan.width % multiple or plan.height % multiple or plan.width < 1 or plan.height < 1:
        size = f"{plan.width} x {plan.height}"
        raise Refusal.of(
            ProblemKind.BAD_SIZE,
            Sentence("{size} can't be made: both sides must be multiples of {multiple}.", size=size, multiple=multiple),
        )
    if plan.model_frames % 4 != 1:
        raise Refusal.of(
            ProblemKind.BAD_LENGTH,
            Sentence("{frames} frames can't be made: it must be 4k + 1.", frames=plan.model_frames),
        )
    in_one_pass = latent_frames(plan.frames_at_once)
    longest = max(in_one_pass, plan.width // multiple, plan.height // multiple)
    if longest > int(transformer.get("rope_max_seq_len", 1024)):
        raise Refusal.of(
            ProblemKind.BAD_SIZE, Sentence("This size or length is more than the model can handle; make it smaller.")
        )


def embeds_of(job: Preparation, prompts: Sequence[str]) -> list[torch.Tensor]:
    """(1, 512, width) for each prompt; the text encoder is not even loaded if all of them are known."""
    placement, cache = job.placement, job.cache.prompts
    known = {prompt: cache.get(clean(prompt)) for prompt in prompts}
    new = [prompt for prompt, embeds in known.items() if embeds is None]
    if new:
        tokenizer = placement.model.tokenizer
        with placement.use("text_encoder") as text_encoder:
            for prompt in new:
                check(job.should_stop)
                made = encode(tokenizer, text_encoder, prompt, job.should_stop).to("cpu")
                if not finite.are_numbers(made):
                    raise Refusal.of(ProblemKind.MODEL_BROKEN, _no_embeddings(placement))
                cache.put(clean(prompt), made)
                known[prompt] = made
    return [embeds for prompt in prompts if (embeds := known[prompt]) is not None]


def _no_embeddings(placement: PlacedModel) -> Sentence:
    place = placement.model.component_files.path("text_encoder")
    return Sentence(
        "The text encoder {place} can't read this prompt: its numbers overflowed. Get the file again, or use another.",
        place=place,
    )
