"""Text to video on a control model whose trunk is the text model: WanPipeline's own latents, without the control."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel

from wan_backend.catalogue import entries
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas, Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

WIDTH, HEIGHT, FRAMES, STEPS, SEED = 96, 64, 13, 4, 7
RATE = FrameRate(16)


def theirs(folder: Any) -> torch.Tensor:
    """What a text to video pipeline makes of the checkpoint's trunk."""
    vace: Any = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    vace.scheduler = UniPCMultistepScheduler.from_config(vace.scheduler.config, flow_shift=3.0)
    config = {k: v for k, v in vace.transformer.config.items() if not k.startswith(("_", "vace"))}
    trunk = WanTransformer3DModel(**config)
    missing, _ = trunk.load_state_dict(vace.transformer.state_dict(), strict=False)
    assert not missing
    pipe = WanPipeline(vace.tokenizer, vace.text_encoder, vace.vae, vace.scheduler, trunk.eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt="fog", negative_prompt="rain", height=HEIGHT, width=WIDTH, num_frames=FRAMES,
        num_inference_steps=STEPS, guidance_scale=4.0, generator=torch.Generator().manual_seed(SEED),
        output_type="latent",
    ).frames  # fmt: skip


def ours(folder: Any, model_id: str) -> tuple[Conditions, torch.Tensor]:
    model = WanModel(folder, torch.device("cpu"))
    placement = PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0))
    request = TakeRequest("fog", model_id, WIDTH, HEIGHT, FRAMES, RATE, SEED, "", negative_prompt="rain")
    plan = Plan(model_id, WIDTH, HEIGHT, FRAMES, RATE, FRAMES, STEPS, 4.0, 3.0, "unipc")
    conditions = task_conditions.prepare(Preparation(placement, request, plan, Canvas()))
    scheduler = make_scheduler(model.config("scheduler"), "unipc", 3.0)
    with placement.use("transformer") as transformer:
        return conditions, denoise(transformer, scheduler, conditions, steps=STEPS, guidance_scale=4.0)


@pytest.mark.parametrize("model_id", ["wan2.1-vace-1.3b", "wan2.1-vace-14b"])
def test_the_trunk_alone_equals_diffusers_text_to_video(vace_folder, model_id):
    conditions, latents = ours(vace_folder, model_id)
    assert conditions.control is None
    expected = theirs(vace_folder)
    assert latents.std() > 0.1
    assert torch.allclose(latents, expected, rtol=0, atol=1e-4), (latents - expected).abs().max()


def test_the_embedded_model_learnt_as_a_whole_and_keeps_its_control(vace_folder):
    conditions, latents = ours(vace_folder, "embedded")
    assert conditions.control is not None
    assert (latents - ours(vace_folder, "wan2.1-vace-1.3b")[1]).abs().max() > 1e-4


def test_a_trunk_is_a_control_models():
    text = entries.CATALOGUE_FILE.read_text("utf-8")
    wrong = text.replace('architecture = "text"\n', 'architecture = "text"\ntrunk_makes_text = true\n', 1)
    with pytest.raises(ValueError, match="only a control model has a trunk"):
        entries.parse_catalogue(wrong)
