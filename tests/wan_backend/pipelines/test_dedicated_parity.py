"""Ours equals diffusers' own image to video and video to video, with equal weights, pictures and noise (fp32, CPU)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanVideoToVideoPipeline,
)
from PIL import Image

from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import denoise as denoising
from wan_backend.pipelines import image_conditioning, noised_footage, text_to_video
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

PROMPT, NEGATIVE = "a fox runs", "blurry"
STEPS, SEED = 6, 7
WIDTH, HEIGHT, FRAMES = 96, 64, 9
RATE = FrameRate(16)
SETTINGS = [(5.0, "unipc", 5.0), (1.0, "unipc", 3.0), (5.0, "euler", 8.0)]


def picture(seed: int) -> np.ndarray:
    """A picture with soft shapes and a sharp edge, none like another."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    large = np.array(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    large[:, : WIDTH // (2 + seed % 3)] //= 2
    return large


FIRST, LAST = picture(1), picture(2)
FOOTAGE = np.stack([np.roll(picture(3), 5 * frame, axis=1) for frame in range(FRAMES)])


def their_scheduler(pipe: Any, sampler: str, flow_shift: float) -> Any:
    if sampler == "unipc":
        return UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=flow_shift)
    return FlowMatchEulerDiscreteScheduler(shift=flow_shift)


def theirs(pipe: Any, settings: tuple[float, str, float], output_type: str = "latent", **inputs: Any) -> Any:
    guidance, sampler, flow_shift = settings
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = their_scheduler(pipe, sampler, flow_shift)
    return pipe(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=HEIGHT,
        width=WIDTH,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(SEED),
        output_type=output_type,
        **inputs,
    ).frames


def their_image_pipe(folder: Path) -> Any:
    pipe: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    if isinstance(pipe, WanImageToVideoPipeline):
        return pipe
    return WanImageToVideoPipeline(**pipe.components, expand_timesteps=pipe.config.expand_timesteps)


def ours(
    folder: Path, settings: tuple[float, str, float], canvas: Canvas, prepare: Any, strength: float = 1.0
) -> tuple[WanModel, torch.Tensor]:
    guidance, sampler, flow_shift = settings
    model = WanModel(folder, torch.device("cpu"))
    placement = PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0))
    request = TakeRequest(
        PROMPT, "any", WIDTH, HEIGHT, FRAMES, RATE, SEED, "", negative_prompt=NEGATIVE, strength=strength
    )
    plan = Plan("any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, STEPS, guidance, flow_shift, sampler)
    conditions = prepare(Preparation(placement, request, plan, canvas))
    scheduler = make_scheduler(model.config("scheduler"), sampler, flow_shift)
    return model, denoise(model.transformer, scheduler, conditions, steps=STEPS, guidance_scale=guidance)


def assert_equal(latents: torch.Tensor, expected: torch.Tensor, most: float = 1e-4) -> None:
    assert latents.std() > 0.1
    assert latents.shape == expected.shape
    assert torch.allclose(latents, expected, rtol=0, atol=most), (latents - expected).abs().max()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    ("kind", "two"),
    [
        ("first_picture", False),
        ("first_and_last", True),
        ("pictures", False),
        ("pictures", True),
        ("first_latent", False),
    ],
)
def test_image_to_video_equals_diffusers(request, kind, two, settings):
    folder = request.getfixturevalue(f"{kind}_folder")
    inputs = {"image": Image.fromarray(FIRST), "num_frames": FRAMES}
    if two:
        inputs["last_image"] = Image.fromarray(LAST)
    expected = theirs(their_image_pipe(folder), settings, **inputs)
    canvas = Canvas({0: FIRST, FRAMES - 1: LAST} if two else {0: FIRST})
    _model, latents = ours(folder, settings, canvas, image_conditioning.prepare)
    assert_equal(latents, expected)


@pytest.mark.parametrize("kind", ["first_picture", "first_and_last", "pictures", "first_latent"])
def test_the_pictures_matter(request, kind):
    folder = request.getfixturevalue(f"{kind}_folder")
    both = {0: FIRST, FRAMES - 1: LAST} if kind == "first_and_last" else {0: FIRST}
    made = [ours(folder, SETTINGS[0], Canvas(both), image_conditioning.prepare)[1]]
    for frame in both:
        other = Canvas({**both, frame: picture(9)})
        made.append(ours(folder, SETTINGS[0], other, image_conditioning.prepare)[1])
    for changed in made[1:]:
        assert (changed[:, :, 1:-1] - made[0][:, :, 1:-1]).abs().max() > 1e-2


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("times", ["one", "each token's"])
def test_text_to_video_of_a_model_with_token_times_equals_diffusers(first_latent_folder, settings, times, monkeypatch):
    pipe = DiffusionPipeline.from_pretrained(first_latent_folder, local_files_only=True)
    expected = theirs(pipe, settings, num_frames=FRAMES)
    one = denoising._times
    if times == "one":
        # The same sums in matrices of another shape, which a processor adds up in an order of its own: what is left
        # is the rounding of fp32 over six guided steps, so it goes with how large the latents are.
        most = 1e-4 * float(expected.std())
    else:
        tokens = (WIDTH // 32) * (HEIGHT // 32) * ((FRAMES - 1) // 4 + 1)
        monkeypatch.setattr(denoising, "_times", lambda *given: one(*given)[:, None].expand(-1, tokens))
        most = 1e-4
    assert_equal(ours(first_latent_folder, settings, Canvas(), text_to_video.prepare)[1], expected, most)


def test_the_patched_autoencoders_frames_equal_diffusers(first_latent_folder):
    pipe = their_image_pipe(first_latent_folder)
    expected = theirs(pipe, SETTINGS[0], "np", image=Image.fromarray(FIRST), num_frames=FRAMES)[0]
    model, latents = ours(first_latent_folder, SETTINGS[0], Canvas({0: FIRST}), image_conditioning.prepare)
    frames = np.concatenate(list(decode(model.vae, latents)))
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert frames.std() > 2
    assert np.abs(frames - expected * 255).max() <= 0.5 + 1e-4 * 255


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("strength", [0.3, 0.5, 0.84, 1.0])
def test_restyle_equals_diffusers(t2v_folder, strength, settings):
    parts = dict(DiffusionPipeline.from_pretrained(t2v_folder, local_files_only=True).components)
    parts.pop("transformer_2")
    frames = [Image.fromarray(frame) for frame in FOOTAGE]
    expected = theirs(WanVideoToVideoPipeline(**parts), settings, video=frames, strength=strength)
    _model, latents = ours(t2v_folder, settings, Canvas(footage=FOOTAGE), noised_footage.prepare, strength)
    assert_equal(latents, expected)
