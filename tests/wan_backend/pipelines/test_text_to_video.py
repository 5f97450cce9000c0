"""Preparing a text to video job: what is kept, what is drawn, what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.pipelines.preparation import Preparation, PreparationCache
from wan_backend.pipelines.text_to_video import prepare
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate, Plan, TakeRequest

RATE = FrameRate(16)
REQUEST = TakeRequest("fog", "any", 64, 48, 9, RATE, 1, "", negative_prompt="rain")
PLAN = Plan("any", 64, 48, 9, RATE, 9, 2, 4.0, 3.0, "unipc")


def place(folder, place=Residency.RESIDENT):
    loads = []
    model = WanModel(folder, torch.device("cpu"))
    return PlacedModel(model, MemoryPlan(place, place, place, 0), loads.append), loads


def test_shapes_with_control(vace_folder):
    conditions = prepare(Preparation(place(vace_folder)[0], REQUEST, PLAN))
    assert conditions.latents.shape == (1, 16, 3, 6, 8)
    assert conditions.control.shape == (1, 96, 3, 6, 8)
    assert conditions.control[:, 32:].eq(1).all()  # all white: everything is to be made
    assert conditions.prompt_embeds.shape == conditions.negative_prompt_embeds.shape == (1, 512, 32)


def test_a_plain_transformer_gets_no_control_and_no_guidance_no_negative_prompt(t2v_folder):
    conditions = prepare(Preparation(place(t2v_folder)[0], REQUEST, dataclasses.replace(PLAN, guidance_scale=1.0)))
    assert conditions.control is None and conditions.negative_prompt_embeds is None


def test_the_seed_alone_decides_the_noise(t2v_folder):
    placement, kept = place(t2v_folder)[0], PreparationCache()
    torch.manual_seed(5)
    first = prepare(Preparation(placement, REQUEST, PLAN, cache=kept)).latents
    torch.manual_seed(6)
    assert torch.equal(
        prepare(Preparation(placement, dataclasses.replace(REQUEST, prompt="sun"), PLAN, cache=kept)).latents, first
    )
    other = prepare(Preparation(placement, dataclasses.replace(REQUEST, seed=2), PLAN, cache=kept)).latents
    assert not torch.equal(other, first)
    assert abs(other.std() - 1) < 0.1


def test_what_is_kept_spares_the_loading(vace_folder):
    placement, loads = place(vace_folder, Residency.RELOADED)
    kept = PreparationCache()
    first = prepare(Preparation(placement, REQUEST, PLAN, cache=kept))
    assert loads == ["text_encoder", "vae"]  # once for both prompts
    again = prepare(Preparation(placement, REQUEST, PLAN, cache=kept))
    assert loads == ["text_encoder", "vae"]
    assert torch.equal(first.prompt_embeds, again.prompt_embeds) and torch.equal(first.control, again.control)
    prepare(Preparation(placement, REQUEST, dataclasses.replace(PLAN, width=80), cache=kept))
    assert loads == ["text_encoder", "vae", "vae"]


@pytest.mark.parametrize(
    ("change", "kind"),
    [({"width": 65}, "bad_size"), ({"height": 0}, "bad_size"), ({"model_frames": 10}, "bad_length")],
)
def test_what_the_model_can_not_do_is_a_sentence(t2v_folder, change, kind):
    with pytest.raises(Refusal) as caught:
        prepare(Preparation(place(t2v_folder)[0], REQUEST, dataclasses.replace(PLAN, **change)))
    assert caught.value.problem.kind == kind


@pytest.mark.parametrize(
    ("key", "value", "kind"), [("in_channels", 36, "bad_setting"), ("rope_max_seq_len", 2, "bad_size")]
)
def test_a_transformer_that_does_not_fit_is_a_sentence(t2v_folder, tmp_path, key, value, kind):
    folder = shutil.copytree(t2v_folder, tmp_path / "model")
    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(Refusal) as caught:
        prepare(Preparation(place(folder)[0], REQUEST, PLAN))
    assert caught.value.problem.kind == kind
