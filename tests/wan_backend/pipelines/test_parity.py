"""Ours equals diffusers' own pipelines, with equal weights, embeddings, noise and scheduler (fp32, CPU)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import text_to_video
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.prompt_encoding import encode
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

PROMPT = "  Fog &amp; pines\n at   dawn, slow dolly — forward  "
NEGATIVE = "blurry"
STEPS, SEED = 6, 7
WIDTH, HEIGHT, FRAMES = 96, 64, 9


def stock(folder: Path) -> Any:
    pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def their_scheduler(pipe: Any, sampler: str, flow_shift: float) -> Any:
    if sampler == "unipc":
        return UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=flow_shift)
    return FlowMatchEulerDiscreteScheduler(shift=flow_shift)


def theirs(folder: Path, guidance: float, sampler: str, flow_shift: float, output_type: str) -> torch.Tensor:
    pipe = stock(folder)
    pipe.scheduler = their_scheduler(pipe, sampler, flow_shift)
    result = pipe(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=HEIGHT,
        width=WIDTH,
        num_frames=FRAMES,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(SEED),
        output_type=output_type,
    ).frames
    return result if output_type == "latent" else torch.from_numpy(result[0])


def ours(folder: Path, guidance: float, sampler: str, flow_shift: float) -> tuple[WanModel, torch.Tensor]:
    model = WanModel(folder, torch.device("cpu"))
    placement = PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0))
    rate = FrameRate(16)
    request = TakeRequest(PROMPT, "any", WIDTH, HEIGHT, FRAMES, rate, SEED, "", negative_prompt=NEGATIVE)
    plan = Plan("any", WIDTH, HEIGHT, FRAMES, rate, FRAMES, STEPS, guidance, flow_shift, sampler)
    conditions = text_to_video.prepare(Preparation(placement, request, plan))
    scheduler = make_scheduler(model.config("scheduler"), sampler, flow_shift)
    return model, denoise(model.transformer, scheduler, conditions, steps=STEPS, guidance_scale=guidance)


@pytest.fixture(params=["t2v_folder", "vace_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    ("guidance", "sampler", "flow_shift"), [(5.0, "unipc", 5.0), (1.0, "unipc", 3.0), (5.0, "euler", 8.0)]
)
def test_latents_equal_diffusers(folder, guidance, sampler, flow_shift):
    expected = theirs(folder, guidance, sampler, flow_shift, "latent")
    _model, latents = ours(folder, guidance, sampler, flow_shift)
    assert latents.std() > 0.1
    assert torch.allclose(latents, expected, rtol=0, atol=1e-4), (latents - expected).abs().max()


def test_frames_equal_diffusers(folder):
    expected = theirs(folder, 5.0, "unipc", 3.0, "np").numpy()
    model, latents = ours(folder, 5.0, "unipc", 3.0)
    frames = np.concatenate(list(decode(model.vae, latents)))
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3) and frames.dtype == np.uint8
    # 1e-4 in floats, and then the rounding to bytes, which is exact but for a tie.
    assert np.abs(frames - expected * 255).max() <= 0.5 + 1e-4 * 255


@torch.no_grad()
@pytest.mark.parametrize("prompt", [PROMPT, "", "x" * 2000, "Łódź 漢字 🙂 &lt;b&gt;"])
def test_embeddings_equal_diffusers(t2v_folder, prompt):
    pipe = stock(t2v_folder)
    expected, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=512)
    assert torch.allclose(encode(pipe.tokenizer, pipe.text_encoder, prompt), expected, rtol=0, atol=1e-6)
