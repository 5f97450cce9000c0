"""Guidance in part of the steps: outside of it the transformer runs once, and the take is that of no guidance."""

from __future__ import annotations

import pytest
import torch

from wan_backend.loading.wan_model import WanModel
from wan_backend.pipelines import guidance_interval
from wan_backend.pipelines.conditions import Conditions
from wan_backend.pipelines.denoise import SkippedWork, denoise
from wan_backend.pipelines.guidance_interval import GuidedSteps
from wan_backend.pipelines.sampling import make_scheduler

STEPS = 4


@pytest.fixture(scope="module")
def transformer(t2v_folder):
    return WanModel(t2v_folder, torch.device("cpu")).transformer


def run(transformer, guided: GuidedSteps | None, guidance_scale: float = 4.0, **more) -> tuple[torch.Tensor, int]:
    """The latents, and how often the transformer ran."""
    generator = torch.Generator().manual_seed(0)
    embeds, other = (torch.randn(1, 512, 32, generator=generator) for _ in range(2))
    conditions = Conditions(embeds, other, torch.randn(1, 16, 5, 8, 8, generator=generator))
    ran = []
    hook = transformer.register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        made = denoise(
            transformer,
            make_scheduler({}, "euler", 3.0),
            conditions,
            steps=STEPS,
            guidance_scale=guidance_scale,
            skipped=SkippedWork(guided),
            **more,
        )
    finally:
        hook.remove()
    return made, len(ran)


@pytest.mark.parametrize(("first", "end", "calls"), [(0, 2, 6), (1, 3, 6), (3, 4, 5), (0, 4, 8)])
def test_the_negative_prompt_is_asked_inside_the_interval_alone(transformer, first, end, calls):
    assert run(transformer, GuidedSteps(first, end))[1] == calls
    assert run(transformer, GuidedSteps(first, end), window=4)[1] == 2 * calls


def test_at_its_ends_it_is_guidance_everywhere_and_nowhere(transformer):
    whole, without = run(transformer, None)[0], run(transformer, None, 1.0)[0]
    assert torch.equal(run(transformer, GuidedSteps(0, STEPS))[0], whole)
    assert torch.equal(run(transformer, GuidedSteps(STEPS, STEPS))[0], without)
    assert not torch.allclose(run(transformer, GuidedSteps(0, 2))[0], whole)


def test_what_has_no_guidance_gets_none():
    guided = GuidedSteps(1, 2)
    assert [guidance_interval.apply(guided, 5.0, step) for step in range(3)] == [1.0, 5.0, 1.0]
    assert guidance_interval.apply(guided, 0.5, 0) == guidance_interval.apply(guided, 0.5, 1) == 0.5
    assert guidance_interval.apply(None, 5.0, 0) == 5.0
