"""Preparing on models that are not VACE: what is made, what is loaded, and what is refused in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from wan_backend.catalogue.architecture import Architecture
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines import image_conditioning, noised_footage, task_conditions, text_to_video
from wan_backend.pipelines.conditions import Canvas, Conditions
from wan_backend.pipelines.denoise import denoise
from wan_backend.pipelines.preparation import Preparation
from wan_backend.pipelines.sampling import make_scheduler
from wan_backend.pipelines.stopping import Stopped
from wan_backend.pipelines.windows import plan_windows
from wan_backend.planning.step_counts import steps_left_out
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate, Guide, Plan, TakeRequest, Task

RATE = FrameRate(16)
WIDTH, HEIGHT, FRAMES = 64, 32, 9
REQUEST = TakeRequest("fog", "any", WIDTH, HEIGHT, FRAMES, RATE, 1, "", negative_prompt="rain", strength=0.5)
PLAN = Plan("any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, 4, 4.0, 3.0, "unipc")
PICTURE, OTHER = (np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in (60, 200))
FOOTAGE = np.stack([np.full((HEIGHT, WIDTH, 3), 20 * frame, np.uint8) for frame in range(FRAMES)])
ONE, TWO = Canvas({0: PICTURE}), Canvas({0: PICTURE, FRAMES - 1: OTHER})


def place(folder: Any, where: Residency = Residency.RESIDENT) -> tuple[PlacedModel, list[str]]:
    loads: list[str] = []
    model = WanModel(folder, torch.device("cpu"))
    return PlacedModel(model, MemoryPlan(where, where, where, 0), loads.append), loads


def from_pictures(folder: Any, canvas: Canvas, **more: Any) -> Conditions:
    return image_conditioning.prepare(Preparation(place(folder)[0], REQUEST, PLAN, canvas, **more))


def test_what_is_joined_says_which_frames_are_given(pictures_folder):
    held = Canvas({0: PICTURE, 7: OTHER, 8: OTHER})
    joined = from_pictures(pictures_folder, held).joined
    assert joined is not None and joined.shape == (1, 20, 3, 4, 8)
    mask = joined[0, :4, :, 0, 0].T  # latent frames, then their four frames
    assert mask.tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]]
    assert (joined[0, :4] == joined[0, :4, :, :1, :1]).all()


def test_each_layout_gets_what_it_is_conditioned_by(
    first_picture_folder, first_and_last_folder, pictures_folder, first_latent_folder
):
    one, both = from_pictures(first_picture_folder, ONE), from_pictures(first_and_last_folder, TWO)
    assert one.image_embeds.shape == (1, 5, 16) and both.image_embeds.shape == (2, 5, 16)
    assert not torch.equal(both.image_embeds[0], both.image_embeds[1])
    assert from_pictures(pictures_folder, ONE).image_embeds is None
    given = from_pictures(first_latent_folder, ONE)
    assert given.given.shape == (1, 48, 1, 2, 4) and given.joined is None


def test_a_given_latent_is_not_changed(first_latent_folder):
    conditions = from_pictures(first_latent_folder, ONE)
    transformer = WanModel(first_latent_folder, torch.device("cpu")).transformer
    latents = denoise(transformer, make_scheduler({}, "unipc", 3.0), conditions, steps=4, guidance_scale=4.0)
    assert torch.equal(latents[:, :, :1], conditions.given)


def test_the_image_encoder_leaves_after_its_phase(first_picture_folder):
    placement, loads = place(first_picture_folder, Residency.RELOADED)
    image_conditioning.prepare(Preparation(placement, REQUEST, PLAN, ONE))
    assert loads == ["text_encoder", "image_encoder", "vae"]
    assert not any(placement.model.loaded(component) for component in placement.model.components)


REFUSED = [
    ("t2v", ONE, "bad_setting", "not made for image to video"),
    ("vace", ONE, "bad_setting", "not made for image to video"),
    ("pictures", Canvas(), "bad_source", "no first picture"),
    ("pictures", Canvas({FRAMES - 1: OTHER}), "bad_source", "no first picture"),
    ("first_and_last", ONE, "bad_source", "choose a last picture too"),
    ("first_picture", TWO, "bad_source", "takes no last picture"),
    ("first_latent", TWO, "bad_source", "takes no last picture"),
]


@pytest.mark.parametrize(("kind", "canvas", "problem", "words"), REFUSED)
def test_pictures_that_do_not_suit_are_refused_before_anything_is_loaded(request, kind, canvas, problem, words):
    placement, loads = place(request.getfixturevalue(f"{kind}_folder"))
    with pytest.raises(Refusal, match=words) as caught:
        image_conditioning.prepare(Preparation(placement, REQUEST, PLAN, canvas))
    assert caught.value.problem.kind == problem
    assert not loads


def test_a_frame_in_the_middle_is_nothing_for_a_model_for_pictures(pictures_folder):
    with pytest.raises(ValueError, match=r"frames \[0, 4\] of 9"):
        from_pictures(pictures_folder, Canvas({0: PICTURE, 4: OTHER}))


def test_text_to_video_is_refused_by_a_model_that_needs_a_picture(first_picture_folder):
    with pytest.raises(Refusal, match="needs a first picture"):
        text_to_video.prepare(Preparation(place(first_picture_folder)[0], REQUEST, PLAN))


@pytest.mark.parametrize("prepare", [image_conditioning.prepare, noised_footage.prepare])
def test_a_stop_lands_in_the_preparing(first_latent_folder, prepare):
    placement, _loads = place(first_latent_folder)
    answers = iter([False] * 6 + [True] * 1000)
    with pytest.raises(Stopped):
        prepare(
            Preparation(
                placement, REQUEST, PLAN, Canvas({0: PICTURE}, footage=FOOTAGE), should_stop=lambda: next(answers)
            )
        )


@pytest.mark.parametrize(
    ("steps", "strength", "left_out"),
    [(30, 1.0, 0), (30, 0.5, 15), (30, 0.7, 9), (50, 0.58, 22), (4, 0.1, 3), (4, 0.0, 3), (1, 0.5, 0)],
)
def test_strength_leaves_out_steps_but_never_all(steps, strength, left_out):
    assert steps_left_out(steps, strength) == left_out


def test_less_strength_stays_nearer_to_the_footage(t2v_folder):
    placement, _loads = place(t2v_folder)
    away = []
    for strength in (0.25, 0.5, 1.0):
        request = dataclasses.replace(REQUEST, strength=strength)
        conditions = noised_footage.prepare(Preparation(placement, request, PLAN, Canvas(footage=FOOTAGE)))
        scheduler = make_scheduler({}, "euler", 3.0)
        made = denoise(placement.model.transformer, scheduler, conditions, steps=4, guidance_scale=1.0)
        away.append((made - conditions.source).pow(2).mean().item())
    assert away == sorted(away) and away[0] < away[2] / 2


@pytest.mark.parametrize(
    ("kind", "canvas", "change", "problem", "words"),
    [
        ("t2v", Canvas(), {}, "bad_source", "no footage to restyle"),
        ("t2v", Canvas(footage=FOOTAGE), {"guide": Guide.EDGES}, "bad_setting", "can't keep edges"),
        ("t2v", Canvas(footage=FOOTAGE), {"guide": Guide.DEPTH}, "bad_setting", "can't keep depth"),
        ("pictures", Canvas(footage=FOOTAGE), {}, "bad_setting", "can't start from footage"),
    ],
)
def test_footage_that_does_not_suit_is_refused(request, kind, canvas, change, problem, words):
    placement, loads = place(request.getfixturevalue(f"{kind}_folder"))
    with pytest.raises(Refusal, match=words) as caught:
        noised_footage.prepare(Preparation(placement, dataclasses.replace(REQUEST, **change), PLAN, canvas))
    assert caught.value.problem.kind == problem
    assert not loads


def test_at_full_strength_the_footage_may_be_missing(t2v_folder):
    placement, _loads = place(t2v_folder)
    request = dataclasses.replace(REQUEST, strength=1.0)
    assert noised_footage.prepare(Preparation(placement, request, PLAN, Canvas())).source is None


def test_footage_of_another_length_is_a_fault(t2v_folder):
    with pytest.raises(ValueError, match="5 frames of footage for 9"):
        noised_footage.prepare(Preparation(place(t2v_folder)[0], REQUEST, PLAN, Canvas(footage=FOOTAGE[:5])))


def test_every_architecture_has_its_tasks():
    assert set(task_conditions.PREPARE) == set(Architecture)
    others = set(Task) - {Task.EDIT}
    assert set(task_conditions.PREPARE[Architecture.CONTROL]) == others, "text, too, for pictures that it keeps"
    assert set(task_conditions.PREPARE[Architecture.EDIT]) == {Task.EDIT}
    assert set(task_conditions.PREPARE[Architecture.FIRST_LATENT]) == {Task.IMAGE_TO_VIDEO, Task.RESTYLE}


def test_windows_see_their_own_part_of_what_is_joined_and_given():
    frames = torch.arange(9.0).view(1, 1, 9, 1, 1)
    whole = Conditions(frames, None, frames, joined=frames, given=frames[:, :, :1])
    first, second = (whole.cut(window) for window in plan_windows(9, 7))
    assert first.joined.flatten().tolist() == [0, 1, 2, 3, 4, 5, 6] and first.given is not None
    assert second.joined.flatten().tolist() == [2, 3, 4, 5, 6, 7, 8] and second.given is None
    assert first.control is None and first.released is None


def test_only_what_is_to_be_made_is_told_the_time(first_latent_folder):
    told = []
    transformer = WanModel(first_latent_folder, torch.device("cpu")).transformer

    def listen(_transformer: Any, _arguments: Any, inputs: dict[str, Any]) -> None:
        told.append(inputs["timestep"])

    handle = transformer.register_forward_pre_hook(listen, with_kwargs=True)
    conditions = from_pictures(first_latent_folder, ONE)
    denoise(transformer, make_scheduler({}, "unipc", 3.0), conditions, steps=1, guidance_scale=1.0)
    handle.remove()
    (times,) = told
    assert times.shape == (1, 3 * 1 * 2)
    assert times[0, :2].tolist() == [0, 0] and (times[0, 2:] > 900).all()
