"""Samples of a training: a prompt's pictures by the model with its LoRA as it is now, or without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch

from ..loading.residency import PlacedModel
from ..pipelines import text_to_video
from ..pipelines.conditions import Conditions
from ..pipelines.decode import decode
from ..pipelines.denoise import DenoisingStep, denoise_in_turn
from ..pipelines.encode import spatial_factor
from ..pipelines.experts import DenoisingExpert
from ..pipelines.sampling import make_scheduler
from ..pipelines.stopping import ShouldStop
from ..protocol.messages import RunParams
from ..training.kept_clips import as_step_takes
from ..training.trained_model import TrainedModel
from .training_clips import TrainingClips

MAX_SIDE = 512
"""Of a sample's picture, in pixels."""
ROOM_BYTES = 6_000_000_000
"""What the autoencoder wants of a device's memory to be quick."""


def sample(
    params: RunParams,
    placement: PlacedModel,
    trained: TrainedModel,
    clips: TrainingClips,
    with_adapters: bool,
    should_stop: ShouldStop,
    after_step: Callable[[int], None],
) -> np.ndarray:
    """(H, W, 3) uint8: frames as `stacked` has them. Raises Refusal, Stopped, NoPictures."""
    plan, model = params.plan, placement.model
    assert plan.training is not None
    scheduler = make_scheduler(model.config("scheduler"), plan.sampler, plan.flow_shift, seed=params.request.seed)
    boundary = 0.0 if model.boundary is None else model.boundary * scheduler.config.num_train_timesteps
    low = plan.guidance_scale if plan.low_noise_guidance_scale is None else plan.low_noise_guidance_scale
    experts = [
        DenoisingExpert(partial(trained.asked, "transformer", with_adapters), plan.guidance_scale, boundary),
        DenoisingExpert(partial(trained.asked, "transformer_2", with_adapters), low, component="transformer_2"),
    ]
    conditions = _conditions(params, placement, trained, clips)

    def report(step: DenoisingStep) -> None:
        after_step(step.done)

    latents = denoise_in_turn(
        experts if model.boundary is not None else experts[:1],
        scheduler,
        conditions,
        steps=plan.training.sample_steps,
        after_step=report,
        should_stop=should_stop,
    )
    with trained.aside(ROOM_BYTES), placement.use("vae") as vae:
        pictures = np.concatenate(list(decode(vae, latents, should_stop)))
    if model.device.type != "cpu":
        model.drop("vae")
    return stacked(pictures)


def _conditions(params: RunParams, placement: PlacedModel, trained: TrainedModel, clips: TrainingClips) -> Conditions:
    model, request, training = placement.model, params.request, params.request.training
    assert training is not None
    longest = max(clips.clips, key=lambda clip: clip.frames)
    clip = as_step_takes(clips.encoded(longest), model.device, trained.dtype)
    plan = replace(params.plan, model_frames=longest.frames)
    vae = model.config("vae")
    noise = text_to_video.noise(request.seed, plan, int(vae.get("z_dim", 16)), spatial_factor(vae))
    guided = max(plan.guidance_scale, plan.low_noise_guidance_scale or 0.0) > 1
    control = clips.control.get(longest.frames)

    def on_device(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(model.device, trained.dtype)

    return Conditions(
        on_device(clips.embeds[training.sample_prompt]),
        on_device(clips.embeds[request.negative_prompt]) if guided else None,
        noise.to(model.device),
        control=None if control is None else on_device(control),
        joined=clip.joined,
        image_embeds=clip.image_embeds,
    )


def stacked(pictures: np.ndarray) -> np.ndarray:
    """As many frames below one another, from the first to the last, as make a square or nearly one: (H, W, 3) uint8.

    Blender's panels show pictures in squares.
    """
    height, width = pictures.shape[1:3]
    count = min(len(pictures), max(1, round(width / height)))
    chosen = [pictures[round(number * (len(pictures) - 1) / max(1, count - 1))] for number in range(count)]
    whole = np.concatenate(chosen, axis=0)
    share = MAX_SIDE / max(whole.shape[:2])
    if share >= 1:
        return whole
    size = max(1, round(whole.shape[1] * share)), max(1, round(whole.shape[0] * share))
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
