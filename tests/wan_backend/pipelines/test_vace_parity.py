"""What is made of kept frames, guides and a look equals WanVACEPipeline's (fp32, CPU, equal weights and noise)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, UniPCMultistepScheduler
from PIL import Image

from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas, Conditions
from wan_backend.pipelines.denoise import denoise_in_turn
from wan_backend.pipelines.experts import experts_of
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

WIDTH, HEIGHT, FRAMES, STEPS, SEED = 96, 64, 13, 4, 7
RATE = FrameRate(16)


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def film(seed: int) -> np.ndarray:
    return np.stack([picture(seed + n) for n in range(FRAMES)])


CANVASES = {
    "text": ("text_to_video", Canvas()),
    "first frame": ("image_to_video", Canvas(kept={0: picture(1)})),
    "first and last": ("image_to_video", Canvas(kept={0: picture(1), FRAMES - 1: picture(2)})),
    "gap": ("fill_gap", Canvas(kept={n: picture(n) for n in (0, 1, 2, 3, 4, 9, 10, 11, 12)})),
    "control video": ("restyle", Canvas(guide=film(20))),
    "reference image": ("previs", Canvas(look=picture(3))),
    "reference and control": ("previs", Canvas(look=picture(3), guide=film(40))),
    "still and control": ("previs", Canvas(kept={0: picture(3)}, guide=film(40))),
}


def theirs(folder: Any, canvas: Canvas, seen: list[torch.Tensor]) -> torch.Tensor:
    """diffusers' latents; into `seen` goes the control that its transformer gets."""
    pipe: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=3.0)
    nothing = np.full((HEIGHT, WIDTH, 3), 127, np.uint8)
    guide = canvas.guide if canvas.guide is not None else [nothing] * FRAMES
    video = [Image.fromarray(canvas.kept.get(n, guide[n])) for n in range(FRAMES)]
    mask = [Image.new("RGB", (WIDTH, HEIGHT), "black" if n in canvas.kept else "white") for n in range(FRAMES)]
    gray = [n for n in range(FRAMES) if n not in canvas.kept] if canvas.guide is None else []
    preprocess = pipe.preprocess_conditions

    def with_true_gray(*arguments: Any) -> Any:
        """No byte is the gray between -1 and 1."""
        pixels, *rest = preprocess(*arguments)
        pixels[:, :, gray] = 0
        return pixels, *rest

    pipe.preprocess_conditions = with_true_gray
    for expert in filter(None, (pipe.transformer, pipe.transformer_2)):
        expert.register_forward_pre_hook(
            lambda _module, _args, kwargs: seen.append(kwargs["control_hidden_states"]), with_kwargs=True
        )
    latents = pipe(
        prompt="fog", negative_prompt="rain", video=video, mask=mask,
        reference_images=None if canvas.look is None else Image.fromarray(canvas.look),
        height=HEIGHT, width=WIDTH, num_frames=FRAMES, num_inference_steps=STEPS, guidance_scale=4.0,
        guidance_scale_2=2.0 if pipe.transformer_2 else None,
        generator=torch.Generator().manual_seed(SEED), output_type="latent",
    ).frames  # fmt: skip
    return latents if canvas.look is None else latents[:, :, 1:]


def ours(folder: Any, task: str, canvas: Canvas) -> tuple[Conditions, torch.Tensor]:
    model = WanModel(folder, torch.device("cpu"))
    placement = PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0))
    request = TakeRequest(
        "fog", "any", WIDTH, HEIGHT, FRAMES, RATE, SEED, "", task=task, negative_prompt="rain", strength=0.0
    )
    plan = Plan(
        "any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, STEPS, 4.0, 3.0, "unipc", low_noise_guidance_scale=2.0
    )  # fmt: skip
    conditions = task_conditions.prepare(Preparation(placement, request, plan, canvas))
    scheduler = make_scheduler(model.config("scheduler"), "unipc", 3.0)
    experts = experts_of(placement, plan, scheduler.config.num_train_timesteps)
    return conditions, denoise_in_turn(experts, scheduler, conditions, steps=STEPS)


@pytest.mark.parametrize("name", CANVASES)
def test_control_and_latents_equal_diffusers(vace_folder, name):
    task, canvas = CANVASES[name]
    seen: list[torch.Tensor] = []
    expected = theirs(vace_folder, canvas, seen)
    conditions, latents = ours(vace_folder, task, canvas)
    assert conditions.control.shape == seen[0].shape
    assert torch.allclose(conditions.control, seen[0], rtol=0, atol=1e-4), (conditions.control - seen[0]).abs().max()
    assert latents.shape == expected.shape and latents.std() > 0.1
    assert torch.allclose(latents, expected, rtol=0, atol=1e-4), (latents - expected).abs().max()


@pytest.mark.parametrize("name", ["text", "first and last", "gap", "control video", "reference and control"])
def test_two_experts_with_control_equal_diffusers(control_experts_folder, name):
    """Each expert gets the whole control, and its own guidance."""
    task, canvas = CANVASES[name]
    seen: list[torch.Tensor] = []
    expected = theirs(control_experts_folder, canvas, seen)
    conditions, latents = ours(control_experts_folder, task, canvas)
    assert len(seen) == 2 * STEPS
    assert all(torch.allclose(conditions.control, each, rtol=0, atol=1e-4) for each in seen)
    assert latents.shape == expected.shape and latents.std() > 0.1
    assert torch.allclose(latents, expected, rtol=0, atol=1e-4), (latents - expected).abs().max()


def test_each_canvas_makes_another_film(vace_folder):
    films = [ours(vace_folder, task, canvas)[1] for task, canvas in CANVASES.values()]
    for index, one in enumerate(films):
        for other in films[index + 1 :]:
            assert (one - other).abs().max() > 1e-4  # the random model heeds its control, if little
