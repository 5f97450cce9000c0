"""Each task's conditions on a VACE model: what is given, what guides and for how long, what the noise starts from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import task_conditions, vace_control
from wan_backend.pipelines.conditions import Canvas
from wan_backend.pipelines.denoise import DenoisingStep, denoise
from wan_backend.pipelines.encode import Film, encode
from wan_backend.pipelines.preparation import Preparation, PreparationCache
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.stopping import Stopped
from wan_backend.planning.step_counts import steps_left_out
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

RATE, FRAMES = FrameRate(16), 9
REQUEST = TakeRequest("fog", "any", 64, 48, FRAMES, RATE, 1, "", negative_prompt="rain")
PLAN = Plan("any", 64, 48, FRAMES, RATE, FRAMES, 8, 4.0, 3.0, "unipc")
FOOTAGE = np.random.default_rng(0).integers(0, 256, (FRAMES, 48, 64, 3), np.uint8)


def place(folder, place=Residency.RESIDENT):
    loads = []
    model = WanModel(folder, torch.device("cpu"))
    return PlacedModel(model, MemoryPlan(place, place, place, 0), loads.append), loads


@pytest.fixture
def prepare(vace_folder):
    """prepare(task, canvas, strength) gives the conditions."""
    placement, kept = place(vace_folder)[0], PreparationCache()

    def prepared(task, canvas, strength=1.0):
        request = dataclasses.replace(REQUEST, task=task, strength=strength)
        return task_conditions.prepare(Preparation(placement, request, PLAN, canvas, kept))

    return prepared


def test_kept_frames_are_shown_and_masked(prepare):
    conditions = prepare("fill_gap", Canvas(kept={n: FOOTAGE[n] for n in (0, 1, 2, 3, 4, 8)}))
    assert conditions.control.shape == (1, 96, 3, 6, 8)
    assert conditions.control[0, 32:, :, 0, 0].unique(dim=0).tolist() == [[0, 0, 1]]
    assert conditions.source is None and conditions.released is None and conditions.references == 0


def test_the_mask_is_that_of_the_picture_that_the_pipeline_asks():
    assert vace_control.latent_mask(81, [0]).eq(1).all()  # it asks picture 1 for the first latent frame
    assert vace_control.latent_mask(81, range(5)).tolist() == [0] + [1] * 20
    assert vace_control.latent_mask(81, range(9)).tolist() == [0, 0] + [1] * 19
    assert vace_control.latent_mask(81, range(73, 81)).tolist() == [1] * 19 + [0, 0]


@pytest.mark.parametrize(("strength", "left_out"), [(0.75, 2), (0.5, 4), (0.1, 7), (0.0, 7)])
def test_a_restyle_starts_from_its_noised_footage(prepare, vace_folder, strength, left_out):
    conditions = prepare("restyle", Canvas(footage=FOOTAGE), strength)
    assert conditions.first_step == left_out == steps_left_out(8, strength)
    vae = WanModel(vace_folder, torch.device("cpu")).vae
    expected = encode(vae, Film(FRAMES, 64, 48, dict(enumerate(FOOTAGE))))
    assert torch.allclose(conditions.source, expected, atol=1e-6)


def test_a_restyle_of_full_strength_starts_from_noise_and_keeps_its_guide(prepare):
    conditions = prepare("restyle", Canvas(footage=FOOTAGE, guide=FOOTAGE))
    assert conditions.source is None and conditions.first_step == 0 and conditions.released is None
    assert not torch.equal(conditions.control[:, 16:32], conditions.control[:, :16])


def test_less_strength_stays_closer_to_the_footage(prepare, vace_folder):
    transformer = WanModel(vace_folder, torch.device("cpu")).transformer
    away = []
    for strength in (0.25, 0.75):
        conditions = prepare("restyle", Canvas(footage=FOOTAGE), strength)
        made: list[DenoisingStep] = []
        latents = denoise(
            transformer, make_scheduler({}, "unipc", 3.0), conditions,
            steps=8, guidance_scale=4.0, after_step=made.append,
        )  # fmt: skip
        assert [step.done for step in made] == list(range(1, 9 - conditions.first_step))
        away.append(float((latents - conditions.source).square().mean()))
    assert away[0] < away[1]


@pytest.mark.parametrize("sampler", ["unipc", "euler"])
def test_the_noised_footage_is_what_the_scheduler_itself_would_make(prepare, sampler):
    conditions = prepare("restyle", Canvas(footage=FOOTAGE), 0.5)
    scheduler = make_scheduler({}, sampler, 3.0)
    started: list[torch.Tensor] = []

    class Recorder(torch.nn.Module):
        blocks: list[torch.nn.Module] = []  # noqa: RUF012
        dtype = torch.float32

        def forward(self, hidden_states, **_rest):
            started.append(hidden_states)
            return (hidden_states,)

    denoise(Recorder(), scheduler, conditions, steps=8, guidance_scale=1.0)
    scheduler.set_timesteps(8)
    timestep = scheduler.timesteps[conditions.first_step : conditions.first_step + 1]
    add = scheduler.add_noise if sampler == "unipc" else lambda x, noise, t: scheduler.scale_noise(x, t, noise)
    assert torch.allclose(started[0], add(conditions.source, conditions.latents, timestep), atol=1e-5)
    assert len(started) == 4


def test_previs_lets_its_depth_go_as_early_as_its_strength_says(prepare):
    canvas = Canvas(guide=FOOTAGE, look=FOOTAGE[0])
    held, free, between = (prepare("previs", canvas, strength) for strength in (0.0, 1.0, 0.3))
    assert held.released is None and free.released is None
    assert held.references == 1 and held.latents.shape == (1, 16, 4, 6, 8) and held.control.shape[2] == 4
    assert torch.equal(free.control[:, :32, 1:], prepare("previs", Canvas(look=FOOTAGE[0])).control[:, :32, 1:])
    assert not torch.equal(held.control, free.control)
    for step, share in [(0, 1.0), (4, 1.0), (5, 0.6), (6, 0.0), (7, 0.0)]:
        expected = torch.lerp(free.control, held.control, share)
        assert torch.allclose(between.control_of(step), expected, atol=1e-5), step


def test_the_references_are_not_in_the_film(prepare, vace_folder):
    conditions = prepare("previs", Canvas(look=FOOTAGE[0]))
    assert conditions.control[:, :, 0, 0, 0].eq(0)[:, 16:].all()  # nothing to be made there, nothing to guide
    transformer = WanModel(vace_folder, torch.device("cpu")).transformer
    latents = denoise(transformer, make_scheduler({}, "unipc", 3.0), conditions, steps=2, guidance_scale=1.0)
    assert latents.shape == (1, 16, 3, 6, 8)


def test_the_autoencoder_comes_once_for_a_task(vace_folder):
    placement, loads = place(vace_folder, Residency.RELOADED)
    request = dataclasses.replace(REQUEST, task="restyle", strength=0.5)
    task_conditions.prepare(Preparation(placement, request, PLAN, Canvas(footage=FOOTAGE, guide=FOOTAGE)))
    assert loads == ["text_encoder", "vae"]


def test_a_stop_while_the_footage_is_encoded(vace_folder):
    placement, kept = place(vace_folder)[0], PreparationCache()
    request = dataclasses.replace(REQUEST, task="restyle")
    task_conditions.prepare(Preparation(placement, request, PLAN, Canvas(), kept))  # the prompts and the gray are known
    checks = []

    def should_stop() -> bool:
        checks.append(1)
        return len(checks) > 6

    with pytest.raises(Stopped):
        task_conditions.prepare(Preparation(placement, request, PLAN, Canvas(guide=FOOTAGE), kept, should_stop))
    assert len(checks) == 7


@pytest.mark.parametrize("task", ["image_to_video", "dance"])
def test_what_a_model_can_not_do_is_a_sentence(t2v_folder, task):
    request = dataclasses.replace(REQUEST, task=task)
    with pytest.raises(Refusal) as caught:
        task_conditions.prepare(Preparation(place(t2v_folder)[0], request, PLAN, Canvas()))
    assert caught.value.problem.kind == "bad_setting" and task.replace("_", " ") in caught.value.problem.sentence
