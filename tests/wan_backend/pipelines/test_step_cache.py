"""The step cache: what is reused is what was computed, for each model, branch, window and expert; and it resumes."""

from __future__ import annotations

import dataclasses
import weakref
from collections import Counter
from contextlib import ExitStack

import pytest
import torch

from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.pipelines.test_families import FRAMES, HEIGHT, WIDTH, canvas_of, folder_of
from wan_backend.catalogue import entries
from wan_backend.loading import chunked_forward
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import step_cache, task_conditions
from wan_backend.pipelines.denoise import ALL_WORK, SkippedWork, denoise_in_turn
from wan_backend.pipelines.experts import experts_of
from wan_backend.pipelines.guidance_interval import GuidedSteps
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.step_cache import CachedSteps, MagnitudeRatios
from wan_backend.planning import plan_steps
from wan_backend.planning.calibrations import Branch
from wan_backend.protocol.messages import Task

STEPS = 6
KINDS = {
    "text": ("wan2.1-t2v-1.3b", Task.TEXT_TO_VIDEO),
    "control": ("wan2.1-vace-1.3b", Task.PREVIS),
    "control without control": ("wan2.1-vace-1.3b", Task.TEXT_TO_VIDEO),
    "first picture": ("wan2.1-i2v-14b-480p", Task.IMAGE_TO_VIDEO),
    "first latent": ("wan2.2-ti2v-5b", Task.IMAGE_TO_VIDEO),
    "two experts": ("wan2.2-t2v-a14b", Task.TEXT_TO_VIDEO),
}
KEEPS, REUSES = (SkippedWork(cached=CachedSteps({b: steps for b in Branch})) for steps in ({STEPS}, {1, 2, 4}))


@pytest.fixture(params=KINDS)
def take(request):
    """take(skipped, **more) gives the latents of a take, and counts how often a block of each transformer ran."""
    model_id, task = KINDS[request.param]
    entry = entries.entry(model_id)
    model = WanModel(folder_of(entry, request), torch.device("cpu"))
    placement = PlacedModel(model, MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0))
    asked = take_request("/tmp", model=entry.id, task=task, width=WIDTH, height=HEIGHT, strength=0.0)
    plan = dataclasses.replace(
        plan_steps.plan(asked, entry), width=WIDTH, height=HEIGHT, model_frames=FRAMES, steps=STEPS
    )
    conditions = task_conditions.prepare(Preparation(placement, asked, plan, canvas_of(entry, task)))

    def make(skipped=ALL_WORK, **more):
        scheduler = make_scheduler(model.config("scheduler"), plan.sampler, plan.flow_shift)
        experts = experts_of(placement, plan, scheduler.config.num_train_timesteps)
        make.runs = Counter()
        with ExitStack() as hooks:
            for part in ("transformer", "transformer_2"):
                if part in model.components:
                    block = model.component(part).blocks[0]
                    hook = block.register_forward_pre_hook(lambda *_, part=part: make.runs.update([part]))
                    hooks.callback(hook.remove)
            return denoise_in_turn(experts, scheduler, conditions, steps=STEPS, skipped=skipped, **more)

    make.conditions, make.model = conditions, model
    return make


def test_keeping_changes_no_bit_and_reusing_runs_fewer_blocks(take):
    exact = take()
    computed = dict(take.runs)
    assert sum(computed.values()) == 2 * STEPS
    assert torch.equal(take(KEEPS), exact) and take.runs == computed
    reused = take(REUSES)
    late = len(computed) == 2  # the second expert begins with a step that would be skipped, or after one
    assert sum(take.runs.values()) in ((6, 8) if late else (6,))
    assert torch.isfinite(reused).all() and 0 < (reused - exact).abs().max() < exact.abs().max()


def test_nothing_is_left_of_the_take_before(take):
    first = take(REUSES)
    assert torch.equal(take(REUSES), first)
    assert torch.equal(take(), take())


@pytest.mark.parametrize("window", [0, 2])
def test_a_resumed_take_is_the_same_wherever_it_was_kept(take, window):
    skipped = dataclasses.replace(REUSES, guided=GuidedSteps(1, 5))
    kept = []
    whole = take(skipped, window=window, after_step=lambda step: kept.append(step.copy().checkpoint))
    assert [each is None for each in kept] == [True, True, False, True, False, False]
    for checkpoint in filter(None, kept):
        assert torch.equal(take(skipped, window=window, resumed=checkpoint), whole), checkpoint.done


def test_a_take_that_measures_is_exact_and_has_a_ratio_for_each_step(take):
    measured = MagnitudeRatios()
    assert torch.equal(take(SkippedWork(measured=measured)), take())
    assert set(measured.ratios) == set(Branch)
    for row in measured.ratios.values():
        assert sorted(row) == list(range(STEPS)) and all(0.2 < ratio < 5 for ratio in row.values())
        assert all(row[start] == 1.0 for start in measured.starts)
    assert len(measured.starts) == (2 if "transformer_2" in take.model.components else 1) and measured.starts[0] == 0


def test_what_is_reused_is_what_was_computed_in_each_branch_and_window(take):
    """The same inputs give the same again: no hint of a control is added twice, and nothing is mixed up."""
    transformer, conditions = take.model.transformer, take.conditions
    chunked_forward.make_chunked(transformer)
    forward = step_cache.apply(CachedSteps({b: {1} for b in Branch}), transformer)

    def made(branch: Branch, window: int, step: int) -> torch.Tensor:
        inputs = {
            "hidden_states": with_joined(conditions, conditions.latents.roll(window, 2)),
            "timestep": torch.tensor([700.0 - 100 * window]),
            "encoder_hidden_states": conditions.prompt_embeds * (1 if branch is Branch.PROMPT else 3),
        }
        if conditions.control is not None:
            inputs["control_hidden_states"] = conditions.control
        if conditions.image_embeds is not None:
            inputs["encoder_hidden_states_image"] = conditions.image_embeds
        with torch.no_grad():
            return forward(branch, window=window, step=step, **inputs)

    places = [(branch, window) for window in (0, 1) for branch in Branch]
    computed = {place: made(*place, 0) for place in places}
    for place in reversed(places):
        assert (made(*place, 1) - computed[place]).abs().max() < 1e-5
    first, second = computed[Branch.PROMPT, 0], computed[Branch.NEGATIVE, 0]
    assert (first - second).abs().max() > 1e-3


def with_joined(conditions, latents: torch.Tensor) -> torch.Tensor:
    return latents if conditions.joined is None else torch.cat([latents, conditions.joined], dim=1)


def test_ratios_are_of_the_magnitude_of_each_token():
    """A residual of which one half doubles and the other stays has the ratio 1.5 at each step."""
    measured = MagnitudeRatios()

    def transformer(scale: float, residual) -> tuple[torch.Tensor]:
        made = torch.ones(1, 4, 8)
        made[:, :2] *= scale
        residual.keep(made)
        return (made,)

    forward = measured.measure(transformer)
    for step in range(3):
        forward(Branch.PROMPT, window=0, step=step, scale=2.0**step)
    assert measured.ratios == {Branch.PROMPT: {0: 1.0, 1: 1.5, 2: 1.5}} and measured.starts == [0]


def test_a_residual_is_kept_from_the_step_before_it_is_reused_to_the_last_that_reuses_it():
    """Of the prompt, steps 2, 3 and 5 are skipped; of the negative prompt none, so nothing of it is ever kept."""
    living = weakref.WeakSet()
    asked = []

    def transformer(scale: float, residual=None) -> tuple[torch.Tensor]:
        asked.append((scale, residual is not None and residual.reused is not None, residual is not None))
        if residual is not None and residual.reused is None:
            made = torch.full((1, 4, 8), scale)
            residual.keep(made)
            living.update(residual._kept.values())
        return (torch.zeros(1),)

    forward = step_cache.apply(CachedSteps({Branch.PROMPT: {2, 3, 5}, Branch.NEGATIVE: set()}), transformer)
    alive = []
    for step in range(7):
        for branch in Branch:
            forward(branch, window=0, step=step, scale=float(step))
        alive.append(len(living))
    assert alive == [0, 1, 1, 0, 1, 0, 0]
    assert [reused for _, reused, _ in asked[::2]] == [False, False, True, True, False, True, False]
    assert not any(has_place for _, _, has_place in asked[1::2])
