"""The loop: how often the transformer runs, and stopping in the middle of a step."""

from __future__ import annotations

import pytest
import torch

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.stopping import Stopped

STEPS = 3


@pytest.fixture(scope="module")
def transformer(t2v_folder):
    return WanModel(t2v_folder, torch.device("cpu")).transformer


@pytest.fixture
def conditions() -> Conditions:
    generator = torch.Generator().manual_seed(0)
    embeds, other = (torch.randn(1, 512, 32, generator=generator) for _ in range(2))
    return Conditions(embeds, other, torch.randn(1, 16, 2, 8, 8, generator=generator))


def run(transformer, conditions, guidance_scale=4.0, **more):
    scheduler = make_scheduler({}, "unipc", 3.0)
    return denoise(transformer, scheduler, conditions, steps=STEPS, guidance_scale=guidance_scale, **more)


def calls_of(transformer, work) -> int:
    calls = []
    handle = transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        work()
    finally:
        handle.remove()
    return len(calls)


@pytest.mark.parametrize(("guidance_scale", "calls"), [(4.0, 2 * STEPS), (1.0, STEPS), (0.0, STEPS)])
def test_without_guidance_the_transformer_runs_once_a_step(transformer, conditions, guidance_scale, calls):
    assert calls_of(transformer, lambda: run(transformer, conditions, guidance_scale)) == calls


def test_steps_are_told_in_order(transformer, conditions):
    told = []
    latents = run(transformer, conditions, after_step=lambda step: told.append(step.done))
    assert told == list(range(1, STEPS + 1))
    assert latents.dtype == torch.float32 and not latents.requires_grad


def test_the_same_conditions_give_the_same_bits_and_are_not_changed(transformer, conditions):
    before = conditions.latents.clone()
    assert torch.equal(run(transformer, conditions), run(transformer, conditions))
    assert torch.equal(conditions.latents, before)


@pytest.mark.parametrize("blocks", range(2 * 2 * STEPS))
def test_a_stop_lands_before_any_block_and_leaves_no_trace(transformer, conditions, blocks):
    whole = run(transformer, conditions)
    checks = []

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > blocks

    ran = []
    counter = transformer.blocks[1].register_forward_hook(lambda *_: ran.append(1))
    with pytest.raises(Stopped):
        run(transformer, conditions, should_stop=should_stop)
    counter.remove()
    assert len(checks) == blocks + 1
    assert len(ran) <= blocks // 2
    assert not any(block._forward_pre_hooks for block in transformer.blocks)
    assert torch.equal(run(transformer, conditions), whole)


def test_vace_blocks_are_stopped_before_too(vace_folder):
    transformer = WanModel(vace_folder, torch.device("cpu")).transformer
    conditions = Conditions(
        torch.zeros(1, 512, 32), None, torch.zeros(1, 16, 1, 4, 4), control=torch.zeros(1, 96, 1, 4, 4)
    )
    ran = []
    transformer.blocks[0].register_forward_hook(lambda *_: ran.append(1))
    answers = iter([False, False, True])  # the step's own check, the first VACE block, the second
    with pytest.raises(Stopped):
        run(transformer, conditions, guidance_scale=1.0, should_stop=lambda: next(answers))
    assert not ran
