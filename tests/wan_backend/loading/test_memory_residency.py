"""Parts are where the plan says, phase by phase."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from wan_backend.loading.residency import PlacedModel, room_for
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency

CPU = torch.device("cpu")


def everywhere(place: Residency) -> MemoryPlan:
    return MemoryPlan(place, place, place, 0)


@pytest.fixture
def model(vace_folder) -> WanModel:
    return WanModel(vace_folder, CPU)


def test_a_resident_part_stays_and_its_loading_is_told_once(model):
    loads, readies = [], []
    placement = PlacedModel(model, everywhere(Residency.RESIDENT), loads.append, readies.append)
    for _ in range(2):
        with placement.use("vae") as vae:
            assert vae is model.vae
    assert loads == ["vae"] and readies == ["vae", "vae"]
    assert model.loaded("vae") and placement.load_seconds > 0


def test_a_part_to_be_read_again_is_gone_after_its_phase_even_after_an_error(model):
    placement = PlacedModel(model, everywhere(Residency.RELOADED))
    with pytest.raises(ZeroDivisionError), placement.use("vae"):
        raise ZeroDivisionError
    assert not model.loaded("vae")


def test_a_job_that_is_stopped_when_a_part_is_ready_leaves_nothing_of_it(model):
    def stop(_component: str) -> None:
        raise InterruptedError

    placement = PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED), on_ready=stop)
    with pytest.raises(InterruptedError), placement.use("transformer"):
        pass
    assert not model.transformer.block_offload._entered
    placement = PlacedModel(model, everywhere(Residency.RELOADED), on_ready=stop)
    with pytest.raises(InterruptedError), placement.use("vae"):
        pass
    assert not model.loaded("vae")


def test_a_streamed_text_encoder_is_forgotten_where_the_machine_is_short(model):
    for forgets in (False, True):
        plan = dataclasses.replace(everywhere(Residency.BLOCK_OFFLOADED), forget_encoder=forgets)
        placement = PlacedModel(model, plan)
        for component in ("text_encoder", "transformer"):
            with placement.use(component):
                pass
        assert model.loaded("text_encoder") is not forgets and model.loaded("transformer")


def test_a_new_plan_makes_way_at_once(model):
    with PlacedModel(model, everywhere(Residency.RESIDENT)).use("text_encoder"):
        pass
    PlacedModel(model, everywhere(Residency.RELOADED))
    assert not model.loaded("text_encoder")


@torch.no_grad()
def test_a_streamed_transformer_gives_the_same_numbers(model):
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "hidden_states": torch.randn(1, 16, 2, 8, 8, generator=generator),
        "timestep": torch.tensor([500.0]),
        "encoder_hidden_states": torch.randn(1, 512, 32, generator=generator),
        "control_hidden_states": torch.randn(1, 96, 2, 8, 8, generator=generator),
        "return_dict": False,
    }
    with PlacedModel(model, everywhere(Residency.RESIDENT)).use("transformer") as transformer:
        plain = transformer(**inputs)[0]
    placement = PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED))
    for _ in range(2):
        with placement.use("transformer") as transformer:
            assert torch.equal(transformer(**inputs)[0], plain)
    assert transformer.block_offload
    with PlacedModel(model, everywhere(Residency.RESIDENT)).use("transformer") as transformer:
        assert not hasattr(transformer, "block_offload")
        assert torch.equal(transformer(**inputs)[0], plain)


def test_the_second_expert_is_reckoned_with(text_experts_folder):
    two = WanModel(text_experts_folder, CPU)
    assert two.components[-1] == "transformer_2"
    assert two.parameter_count("transformer_2") == two.parameter_count("transformer") > 0
    plan = room_for(two, 64, 64, 5).plan()
    assert plan.residency_of("transformer_2") is Residency.RESIDENT and plan.decode_fits
    short = room_for(two, 64, 64, 5, budget_bytes=1000).plan()
    assert short.residency_of("transformer_2") is Residency.RELOADED and not short.decode_fits


def test_a_budget_is_kept_to(model):
    assert room_for(model, 64, 64, 5).plan().transformer is Residency.RESIDENT
    assert room_for(model, 64, 64, 5, budget_bytes=1000).plan().transformer is Residency.RELOADED
