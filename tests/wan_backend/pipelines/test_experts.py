"""Two experts: as diffusers' own pipelines have them, each at its steps, and never both where one fits."""

from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from tests.wan_backend.pipelines.test_dedicated_parity import (
    FIRST,
    FOOTAGE,
    FRAMES,
    HEIGHT,
    LAST,
    NEGATIVE,
    PROMPT,
    RATE,
    SEED,
    STEPS,
    WIDTH,
    assert_equal,
    theirs,
)
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.denoise import denoise_in_turn
from wan_backend.pipelines.experts import DenoisingExpert, experts_of, turns
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.stopping import Stopped
from wan_backend.protocol.messages import Plan, TakeRequest

SETTINGS = [(4.0, "unipc", 12.0, 3.0), (3.5, "unipc", 5.0, None), (3.5, "euler", 5.0, 1.0), (1.0, "euler", 8.0, None)]
"""Guidance of the first expert, sampler, flow shift, guidance of the second; None: as the first one's."""


def resident(model, **more) -> PlacedModel:
    return PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0), **more)


def ours(placement, settings, task, canvas=Canvas(), **more):  # noqa: B008 - frozen
    guidance, sampler, flow_shift, low = settings
    request = TakeRequest(PROMPT, "any", WIDTH, HEIGHT, FRAMES, RATE, SEED, "", task, negative_prompt=NEGATIVE)
    plan = Plan("any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, STEPS, guidance, flow_shift, sampler, low)
    conditions = task_conditions.prepare(Preparation(placement, request, plan, canvas))
    scheduler = make_scheduler(placement.model.config("scheduler"), sampler, flow_shift)
    return denoise_in_turn(experts_of(placement, plan, 1000), scheduler, conditions, steps=STEPS, **more)


@pytest.mark.parametrize("settings", SETTINGS)
def test_text_to_video_equals_diffusers(text_experts_folder, settings):
    pipe = DiffusionPipeline.from_pretrained(text_experts_folder, local_files_only=True)
    expected = theirs(pipe, settings[:3], num_frames=FRAMES, guidance_scale_2=settings[3])
    latents = ours(resident(WanModel(text_experts_folder, torch.device("cpu"))), settings, "text_to_video")
    assert_equal(latents, expected)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("two", [False, True])
def test_image_to_video_equals_diffusers(pictures_experts_folder, settings, two):
    pipe = DiffusionPipeline.from_pretrained(pictures_experts_folder, local_files_only=True)
    inputs = {"image": Image.fromarray(FIRST), "num_frames": FRAMES, "guidance_scale_2": settings[3]}
    if two:
        inputs["last_image"] = Image.fromarray(LAST)
    expected = theirs(pipe, settings[:3], **inputs)
    canvas = Canvas({0: FIRST, FRAMES - 1: LAST} if two else {0: FIRST})
    placement = resident(WanModel(pictures_experts_folder, torch.device("cpu")))
    assert_equal(ours(placement, settings, "image_to_video", canvas), expected)


def test_each_expert_and_each_guidance_matters(text_experts_folder):
    model = WanModel(text_experts_folder, torch.device("cpu"))
    settings = (4.0, "unipc", 5.0, 3.0)
    made = ours(resident(model), settings, "text_to_video")
    assert (ours(resident(model), (4.0, "unipc", 5.0, 4.0), "text_to_video") - made).abs().max() > 1e-3
    for component in ("transformer", "transformer_2"):
        broken = WanModel(text_experts_folder, torch.device("cpu"))
        broken.component(component).proj_out.weight.mul_(0.5)
        assert (ours(resident(broken), settings, "text_to_video") - made).abs().max() > 1e-2


def test_footage_is_restyled_by_the_expert_that_its_noise_asks_for(text_experts_folder):
    loads: list[str] = []
    model = WanModel(text_experts_folder, torch.device("cpu"))
    placement = resident(model, on_load=loads.append)
    request = TakeRequest(PROMPT, "any", WIDTH, HEIGHT, FRAMES, RATE, SEED, "", "restyle", strength=0.2)
    plan = Plan("any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, STEPS, 1.0, 3.0, "euler")
    conditions = task_conditions.prepare(Preparation(placement, request, plan, Canvas(footage=FOOTAGE)))
    scheduler = make_scheduler({}, "euler", 3.0)
    denoise_in_turn(experts_of(placement, plan, 1000), scheduler, conditions, steps=STEPS)
    assert "transformer_2" in loads and "transformer" not in loads


def test_turns_are_whole_and_in_order():
    first, second = DenoisingExpert(nullcontext, 4.0, 900), DenoisingExpert(nullcontext, 3.0)
    times = [1000.0, 950.0, 900.0, 899.9, 10.0]
    assert [(turn.expert, list(turn.steps)) for turn in turns([first, second], times)] == [
        (first, [0, 1, 2]),
        (second, [3, 4]),
    ]
    assert [list(turn.steps) for turn in turns([first, second], times, 2)] == [[2], [3, 4]]
    assert [list(turn.steps) for turn in turns([first, second], times, 4)] == [[4]]
    assert [list(turn.steps) for turn in turns([second], times)] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    "plan",
    [
        MemoryPlan(Residency.RELOADED, Residency.RELOADED, Residency.RELOADED, 0),
        MemoryPlan(Residency.RELOADED, Residency.BLOCK_OFFLOADED, Residency.OFFLOADED, 0, one_expert=True),
    ],
    ids=["read again", "streamed"],
)
def test_the_first_expert_leaves_before_the_second_comes(text_experts_folder, plan):
    model = WanModel(text_experts_folder, torch.device("cpu"))
    first: list[weakref.ref] = []
    gone: list[bool] = []

    def on_ready(component: str) -> None:
        if component == "transformer":
            first.append(weakref.ref(model.transformer))

    def on_load(component: str) -> None:
        if component == "transformer_2":
            gc.collect()
            gone.append(not model.loaded("transformer") and first[0]() is None)

    made = ours(PlacedModel(model, plan, on_load=on_load, on_ready=on_ready), SETTINGS[0], "text_to_video")
    assert gone == [True]
    assert torch.equal(made, ours(resident(model), SETTINGS[0], "text_to_video"))


def test_steps_are_counted_through_and_a_stop_is_heeded_in_both(text_experts_folder):
    model = WanModel(text_experts_folder, torch.device("cpu"))
    done: list[int] = []
    ours(resident(model), SETTINGS[1], "text_to_video", after_step=lambda step: done.append(step.done))
    assert done == list(range(1, STEPS + 1))
    for last in (1, STEPS - 1):
        done.clear()
        with pytest.raises(Stopped):
            ours(
                resident(model),
                SETTINGS[1],
                "text_to_video",
                after_step=lambda step: done.append(step.done),
                should_stop=lambda last=last: len(done) >= last,
            )
        assert len(done) == last
    assert not any(
        block._forward_pre_hooks for component in (model.transformer, model.transformer_2) for block in component.blocks
    )
