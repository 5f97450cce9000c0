"""The two LoRAs that come with the embedded model do what they are for, alone and together, as the judge sees it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tools.embedded_model import evaluate, judge, measures, prompts, scenes
from wan_backend.catalogue import entries
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.decode import decode
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.protocol.messages import FrameRate, LoraUse, Plan, TakeRequest

WIDTH, HEIGHT, FRAMES = 256, 144, 17
RATE = FrameRate(16)
SCENE = replace(
    scenes.sample_scene(random.Random(4)),
    camera="static", look="flat", shape="circle", colour="yellow", background="sand", motion="left",
)  # fmt: skip
LORAS = entries.PACKAGE / "embedded_model" / "loras"
DRAFT = entries.load().loras["embedded-draft"].preset
DRAFT_LORA, STYLE = (str(LORAS / name) for name in ("draft.safetensors", "style.safetensors"))


@pytest.fixture(scope="module")
def paint():
    """Paints as the worker does, with LoRAs: (prompt, preset, names of LoRAs) to a take CTHW in 0..1."""
    model = WanModel(evaluate.WEIGHTS, torch.device("cpu"))

    def paint(prompt: str, preset: entries.QualityPreset, *loras: str) -> torch.Tensor:
        request = TakeRequest(prompt, "embedded", WIDTH, HEIGHT, FRAMES, RATE, 3, "")
        given = (preset.steps, preset.guidance_scale, preset.flow_shift, preset.sampler)
        plan = Plan("embedded", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, *given)
        places = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)
        placement = PlacedModel(model, places, loras=[LoraUse(name) for name in loras])
        conditions = task_conditions.prepare(Preparation(placement, request, plan, Canvas()))
        scheduler = make_scheduler(model.config("scheduler"), plan.sampler, plan.flow_shift, preset.timesteps)
        with placement.use("transformer") as transformer:
            latents = denoise(
                transformer, scheduler, conditions, steps=preset.steps, guidance_scale=preset.guidance_scale
            )
        pictures = np.concatenate(list(decode(model.vae, latents)))
        return torch.from_numpy(pictures).permute(3, 0, 1, 2).float() / 255

    return paint


@pytest.mark.long
def test_a_draft_is_nearer_to_the_standard_take_by_its_lora(paint):
    """In as many steps, and without guidance; the standard take needs four times as much work."""
    assert DRAFT.guidance_scale == 1.0
    prompt = prompts.plain(SCENE)
    wanted = paint(prompt, entries.entry("embedded").standard)
    near, far = (measures.psnr(paint(prompt, DRAFT, *loras), wanted) for loras in ([DRAFT_LORA], []))
    assert near > far + 2.0


STYLED = prompts.plain(replace(SCENE, look=scenes.LORA_LOOK))


@pytest.mark.long
def test_the_style_shows_alone(paint):
    eye = judge.load()
    quick = replace(entries.entry("embedded").draft, guidance_scale=3.0)
    assert eye.answers(paint(STYLED, quick))["look"] != scenes.LORA_LOOK
    assert eye.answers(paint(STYLED, quick, STYLE))["look"] == scenes.LORA_LOOK


@pytest.mark.long
def test_the_style_shows_on_a_draft(paint):
    assert judge.load().answers(paint(STYLED, DRAFT, DRAFT_LORA, STYLE))["look"] == scenes.LORA_LOOK
