"""The conditions of text to video, a prompt and noise, with which every other task begins too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..catalogue import entries
from ..catalogue.architecture import Architecture
from ..loading import finite
from ..loading.residency import PlacedModel
from ..protocol.errors import Refusal
from ..protocol.messages import Plan, ProblemKind, TakeRequest
from . import vace_control
from .conditions import Conditions
from .encode import latent_frames, spatial_factor
from .prompt_encoding import PromptCache, clean, encode
from .stopping import ShouldStop, check, never


@dataclass
class PreparationCache:
    """What preparing a job leaves for the next one of the same model, which need not compute it again."""

    prompts: PromptCache = field(default_factory=PromptCache)
    blank_control: tuple[tuple[int, int, int], torch.Tensor] | None = None
    """(frames, width, height), and the control (1, 96, T, h, w) that leaves everything to the model, on the CPU."""

    def blank(self, plan: Plan) -> torch.Tensor | None:
        """The blank control for `plan`, (1, 96, T, h, w) on the CPU; None where another size's is kept, or none."""
        if self.blank_control is None or self.blank_control[0] != _size(plan):
            return None
        return self.blank_control[1]

    def make_blank(self, vae: Any, plan: Plan, should_stop: ShouldStop = never) -> torch.Tensor:
        """The blank control for `plan`, (1, 96, T, h, w) on the CPU; computed where it isn't kept."""
        known = self.blank(plan)
        if known is not None:
            return known
        made = vace_control.blank(vae, *_size(plan), should_stop).to("cpu")
        self.blank_control = (_size(plan), made)
        return made


def prepare(
    placement: PlacedModel, request: TakeRequest, plan: Plan, cache: PreparationCache, should_stop: ShouldStop = never
) -> Conditions:
    """The conditions of a text to video job; raises Refusal where the model can't do it, or Stopped."""
    if placement.model.architecture not in (Architecture.TEXT, Architecture.CONTROL, Architecture.FIRST_LATENT):
        raise Refusal.of(ProblemKind.BAD_SETTING, "This model needs a first picture; choose a model for text to video.")
    conditions = start(placement, request, plan, cache, should_stop)
    model = placement.model
    if not model.controlled or _trunk_suffices(plan):
        return conditions
    control = cache.blank(plan)
    if control is None:
        with placement.use("vae") as vae:
            control = cache.make_blank(vae, plan, should_stop)
    check(should_stop)
    return replace(conditions, control=control.to(model.device, model.precision.transformer))


def _trunk_suffices(plan: Plan) -> bool:
    """True where the model's transformer is the text to video model itself if it gets no control."""
    known = entries.load().models.get(plan.model)
    return known is not None and known.trunk_makes_text


def start(
    placement: PlacedModel,
    request: TakeRequest,
    plan: Plan,
    cache: PreparationCache,
    should_stop: ShouldStop = never,
    references: int = 0,
) -> Conditions:
    """The conditions that every task begins with: the prompts and the noise, without any control.

    `references` is the number of latent frames before the take's own. Raises Refusal, Stopped.
    """
    model = placement.model
    transformer, vae = model.config("transformer"), model.config("vae")
    _check(transformer, vae, plan)
    dtype = model.precision.transformer
    guided = max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) > 1
    prompts = [request.prompt, request.negative_prompt] if guided else [request.prompt]
    embeds = [each.to(model.device, dtype) for each in _embeds(placement, cache.prompts, prompts, should_stop)]
    latents = noise(request.seed, plan, int(vae.get("z_dim", 16)), spatial_factor(vae), references).to(model.device)
    return Conditions(embeds[0], embeds[1] if guided else None, latents, references=references)


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
        raise Refusal.of(ProblemKind.BAD_SIZE, f"{size} can't be made: both sides must be multiples of {multiple}.")
    if plan.model_frames % 4 != 1:
        raise Refusal.of(ProblemKind.BAD_LENGTH, f"{plan.model_frames} frames can't be made: it must be 4k + 1.")
    in_one_pass = latent_frames(min(plan.model_frames, plan.window_frames or plan.model_frames))
    longest = max(in_one_pass, plan.width // multiple, plan.height // multiple)
    if longest > int(transformer.get("rope_max_seq_len", 1024)):
        raise Refusal.of(
            ProblemKind.BAD_SIZE, "This size or length is more than the model can handle; make it smaller."
        )


def _embeds(
    placement: PlacedModel, cache: PromptCache, prompts: list[str], should_stop: ShouldStop
) -> list[torch.Tensor]:
    """(1, 512, width) for each prompt; the text encoder is not even loaded where all of them are known."""
    new = [prompt for prompt in prompts if cache.get(clean(prompt)) is None]
    if new:
        tokenizer = placement.model.tokenizer
        with placement.use("text_encoder") as text_encoder:
            for prompt in new:
                check(should_stop)
                made = encode(tokenizer, text_encoder, prompt, should_stop)
                if not finite.are_numbers(made):
                    raise Refusal.of(ProblemKind.MODEL_BROKEN, _no_embeddings(placement))
                cache.put(clean(prompt), made)
    found = [cache.get(clean(prompt)) for prompt in prompts]
    return [embeds for embeds in found if embeds is not None]


def _no_embeddings(placement: PlacedModel) -> str:
    place = placement.model.component_files.path("text_encoder")
    return (
        f"The text encoder {place} can't read this prompt: its numbers overflowed. Get the file again, or use another."
    )


def _size(plan: Plan) -> tuple[int, int, int]:
    return plan.model_frames, plan.width, plan.height
