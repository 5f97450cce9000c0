"""The schedulers: the plan's shift whichever class the folder names, and the few steps of distilled models."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.wan_backend.pipelines.test_dedicated_parity import FOOTAGE, FRAMES, HEIGHT, PROMPT, RATE, WIDTH
from wan_backend.catalogue import entries
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.denoise import denoise_in_turn
from wan_backend.pipelines.experts import experts_of
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import SAMPLERS, DistilledScheduler, make_scheduler
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Plan, Sampler, TakeRequest

UNIPC = {"_class_name": "UniPCMultistepScheduler", "prediction_type": "flow_prediction", "use_flow_sigmas": True}
EULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0}


@pytest.mark.parametrize("config", [UNIPC, EULER, {}])
@pytest.mark.parametrize(("sampler", "expected"), [("unipc", [999, 937, 833, 625]), ("euler", [1000, 910, 717, 24])])
def test_timesteps_of_shift_five(config, sampler, expected):
    scheduler = make_scheduler(config, sampler, 5.0)
    scheduler.set_timesteps(4)
    assert [int(t) for t in scheduler.timesteps] == pytest.approx(expected, abs=1)


def test_the_folders_own_settings_are_kept():
    assert make_scheduler({**UNIPC, "solver_order": 3}, "unipc", 3.0).config.solver_order == 3


def test_an_unknown_sampler_lists_the_known():
    with pytest.raises(Refusal, match="unipc, euler"):
        make_scheduler({}, "no_such_sampler", 3.0)


TIMES = [1000.0, 757.0, 522.0]
SHAPE = (1, 16, 3, 8, 12)


def noise(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def walked(scheduler, clean: torch.Tensor, start: torch.Tensor) -> list[torch.Tensor]:
    """The samples of a model that knows the clean answer at once: its velocity leads straight there."""
    scheduler.set_timesteps(len(TIMES))
    samples = [start]
    for step, timestep in enumerate(scheduler.timesteps):
        velocity = (samples[-1] - clean) / scheduler.sigmas[step]
        samples.append(scheduler.step(velocity, timestep, samples[-1])[0])
    return samples


STEPS = 6


def six_steps(sampler: str):
    """A scheduler of SAMPLERS with six steps."""
    times = [1000.0, 900.0, 750.0, 600.0, 400.0, 150.0] if sampler in entries.DISTILLED_SAMPLERS else []
    scheduler = make_scheduler({}, sampler, 3.0, times, seed=1)
    scheduler.set_timesteps(STEPS)
    return scheduler


def test_each_sampler_of_the_protocol_is_there():
    assert set(SAMPLERS) == set(Sampler)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_is_one_call_of_the_model(sampler):
    scheduler = six_steps(sampler)
    assert len(scheduler.timesteps) == STEPS and len(scheduler.sigmas) == STEPS + 1
    assert scheduler.sigmas[-1] == 0 and (scheduler.sigmas.diff() <= 0).all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("first", range(STEPS))
def test_whichever_step_it_begins_at_a_straight_way_ends_at_the_clean_answer(sampler, first):
    """A restyle begins in the middle: with no step before it, none may be wanted."""
    clean, scheduler = noise(1), six_steps(sampler)
    scheduler.set_begin_index(first)
    sample = (1 - scheduler.sigmas[first]) * clean + scheduler.sigmas[first] * noise(2)
    for step in range(first, STEPS):
        velocity = (sample - clean) / scheduler.sigmas[step]
        sample = scheduler.step(velocity, scheduler.timesteps[step], sample, return_dict=False)[0]
    assert torch.allclose(sample, clean, atol=1e-4)


def test_the_plain_way_is_the_straight_line():
    clean, start = noise(1), noise(2)
    samples = walked(make_scheduler({}, "distilled", 1.0, TIMES), clean, start)
    for sample, sigma in zip(samples, [1.0, 0.757, 0.522, 0.0], strict=True):
        assert torch.allclose(sample, (1 - sigma) * clean + sigma * start, atol=1e-5)


def test_the_other_way_noises_the_clean_estimate_anew():
    clean, start = noise(1), noise(2)
    samples = walked(make_scheduler({}, "dmd", 1.0, TIMES, seed=2), clean, start)
    assert torch.allclose(samples[-1], clean, atol=1e-5)
    drawn = [start] + [
        (sample - (1 - sigma) * clean) / sigma for sample, sigma in zip(samples[1:3], (0.757, 0.522), strict=True)
    ]
    for each in drawn:
        assert abs(each.mean()) < 0.1 and abs(each.std() - 1) < 0.1
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert abs((drawn[one] * drawn[other]).mean()) < 0.1  # each step's noise is its own


def test_noise_is_the_seeds_and_a_step_can_be_begun_at():
    clean, start = noise(1), noise(2)
    made = walked(make_scheduler({}, "dmd", 1.0, TIMES, seed=5), clean, start)
    assert torch.equal(made[2], walked(make_scheduler({}, "dmd", 1.0, TIMES, seed=5), clean, start)[2])
    assert not torch.allclose(made[1], walked(make_scheduler({}, "dmd", 1.0, TIMES, seed=6), clean, start)[1], atol=0.1)
    again = make_scheduler({}, "dmd", 1.0, TIMES, seed=5)
    again.set_timesteps(3)
    again.set_begin_index(1)
    velocity = (made[1] - clean) / again.sigmas[1]
    assert torch.equal(again.step(velocity, again.timesteps[1], made[1])[0], made[2])
    walked(make_scheduler({}, "dmd", 1.0, TIMES, seed=(1 << 63) - 1), clean, start)


def test_its_state_is_plain_numbers_and_tensors():
    scheduler = DistilledScheduler(TIMES, seed=1)
    assert scheduler.config.num_train_timesteps == 1000
    for value in vars(scheduler).values():
        assert value is None or isinstance(value, int | list | torch.Tensor)


def test_bfloat16_stays_bfloat16():
    scheduler = DistilledScheduler(TIMES, seed=1)
    scheduler.set_timesteps(3)
    assert scheduler.step(noise(1).bfloat16(), TIMES[0], noise(2).bfloat16())[0].dtype == torch.bfloat16


@pytest.mark.parametrize("times", [[], [500.0, 750.0], [1000.0, 1000.0], [1000.0, 0.0], [10.0, -1.0]])
def test_times_that_do_not_fall_are_refused(times):
    with pytest.raises(ValueError, match="don't fall"):
        DistilledScheduler(times)


def test_other_counts_of_steps_and_missing_times_are_refused():
    with pytest.raises(ValueError, match="4 steps for a model that was distilled to 3"):
        DistilledScheduler(TIMES).set_timesteps(4)
    for sampler in ("distilled", "dmd"):
        with pytest.raises(Refusal, match="no times"):
            make_scheduler({}, sampler, 5.0)


def made(folder, task: str, seed: int = 7, strength: float = 1.0) -> torch.Tensor:
    preset = entries.entry("fastwan2.1-t2v-1.3b").standard
    placement = PlacedModel(
        WanModel(folder, torch.device("cpu")), MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)
    )
    request = TakeRequest(PROMPT, "any", WIDTH, HEIGHT, FRAMES, RATE, seed, "", task, strength=strength)
    plan = dataclasses.replace(
        Plan("any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, preset.steps, preset.guidance_scale, 8.0, preset.sampler),
        timesteps=preset.timesteps,
    )
    canvas = Canvas(footage=FOOTAGE) if task == "restyle" else Canvas()
    conditions = task_conditions.prepare(Preparation(placement, request, plan, canvas))
    scheduler = make_scheduler(placement.model.config("scheduler"), plan.sampler, 8.0, plan.timesteps, seed)
    return denoise_in_turn(experts_of(placement, plan, 1000), scheduler, conditions, steps=plan.steps)


@pytest.mark.parametrize("kind", ["fast_text", "fast_latent"])
def test_fast_models_make_a_take_that_is_the_seeds(request, kind):
    folder = request.getfixturevalue(f"{kind}_folder")
    latents = made(folder, "text_to_video")
    assert latents.isfinite().all() and latents.std() > 0.1
    assert torch.equal(latents, made(folder, "text_to_video"))
    assert (latents - made(folder, "text_to_video", seed=8)).abs().max() > 0.1


def test_a_fast_model_restyles_from_the_step_that_the_strength_says(fast_text_folder):
    whole, half = (made(fast_text_folder, "restyle", strength=strength) for strength in (1.0, 0.5))
    assert half.isfinite().all() and (whole - half).abs().max() > 0.1
