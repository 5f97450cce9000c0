"""Where components go and what room there is, with components of a few numbers in place of a model's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from wan_backend.catalogue.architecture import Architecture
from wan_backend.library.component_files import ComponentFiles
from wan_backend.loading import applying_loras, block_offload, chunked_forward, devices
from wan_backend.loading.residency import PlacedModel, Room, room_for
from wan_backend.loading.wan_model import Precision
from wan_backend.memory.needs import Needs
from wan_backend.memory.residency_plan import MemoryPlan, Residency
from wan_backend.protocol.messages import LoraUse

GB = 10**9
CONFIGS = {"transformer": {"num_attention_heads": 12, "attention_head_dim": 128}, "vae": {"base_dim": 96}}


class Model:
    """In WanModel's place: each component is one layer, made when it is asked for."""

    device, precision, quantized = torch.device("cpu"), Precision.for_device(torch.device("cpu")), False
    components = ("text_encoder", "transformer", "transformer_2", "vae")
    weights_in_8_bit = False
    matrix_product = None
    architecture = Architecture.TEXT
    component_files = ComponentFiles(Path("/model"))

    def __init__(self):
        self.held = {}
        self.classes = dict.fromkeys(("transformer", "transformer_2"), "WanTransformer3DModel")

    def config(self, component):
        return CONFIGS[component]

    def weight_bytes(self, component, in_8_bit):
        assert not in_8_bit
        return {"text_encoder": 11 * GB, "transformer": 3 * GB, "transformer_2": 3 * GB, "vae": GB}[component]

    def loaded(self, component):
        return component in self.held

    def drop(self, component):
        del self.held[component]

    def component(self, component):
        if component not in self.held:
            self.held[component] = torch.nn.Linear(2, 2)
            self.held[component].device = self.device
        return self.held[component]


class BlockOffload:
    """In the place of what offloads a component by blocks: keeps the room that it was given."""

    def __init__(self):
        self.rooms = []

    def enter(self, room):
        self.rooms.append(room)

    def leave(self):
        pass

    def remove(self):
        pass


@pytest.fixture
def model(monkeypatch):
    def offloaded(_component, module, _device):
        module.block_offload = getattr(module, "block_offload", None) or BlockOffload()
        return module.block_offload

    monkeypatch.setattr(block_offload, "offloaded", offloaded)
    monkeypatch.setattr(chunked_forward, "make_chunked", lambda *_: None)
    monkeypatch.setattr(applying_loras, "apply", lambda *_: None)
    monkeypatch.setattr(devices, "release", lambda _device: None)  # collects garbage, of which tests have much
    return Model()


def everywhere(place, **more):
    return MemoryPlan(place, place, place, 0, **more)


def use(placement, *components):
    for component in components:
        with placement.use(component):
            pass


def test_the_budget_is_the_most_and_what_is_free_is_too(model, monkeypatch):
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 8 * GB)
    assert room_for(model, 832, 480, 81).device_bytes == 8 * GB
    assert room_for(model, 832, 480, 81, budget_bytes=3 * GB).device_bytes == 3 * GB
    assert room_for(model, 832, 480, 81, budget_bytes=90 * GB).device_bytes == 8 * GB


def test_of_the_machines_memory_a_worker_beside_others_has_its_part_alone(model, monkeypatch):
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 64 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * GB))
    alone, shared = room_for(model, 832, 480, 81), room_for(model, 832, 480, 81, host_budget_bytes=16 * GB)
    assert (alone.host_bytes, alone.device_bytes) == (64 * GB, 64 * GB)
    assert (shared.host_bytes, shared.device_bytes) == (16 * GB, 16 * GB), "on the processor it is the same memory"
    assert alone.plan().transformer is Residency.RESIDENT and shared.plan().text_encoder is Residency.RELOADED
    model.device = torch.device("cuda")
    on_card = room_for(model, 832, 480, 81, host_budget_bytes=16 * GB)
    assert (on_card.host_bytes, on_card.device_bytes) == (16 * GB, 64 * GB)


def test_what_the_model_holds_already_counts_as_free(model, monkeypatch):
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 8 * GB)
    model.component("vae")
    assert room_for(model, 832, 480, 81).device_bytes == 8 * GB + 4 * (2 * 2 + 2)


def test_loras_weigh_as_much_as_their_files(model, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(bytes(5000))
    uses = [LoraUse(str(tmp_path / "a.safetensors"))]
    bare, dressed = room_for(model, 832, 480, 81).needs, room_for(model, 832, 480, 81, loras=uses).needs
    assert dressed.transformer - bare.transformer == applying_loras.file_bytes(uses) >= 5000
    assert bare.transformer == bare.transformer_2 == 3 * GB and bare.text_encoder == 11 * GB


@pytest.mark.parametrize("on_cpu", [True, False])
def test_the_decoding_fits_or_it_is_said_that_it_does_not(on_cpu):
    needs = Needs(text_encoder=GB, transformer=GB, vae=GB, decode=9 * GB)
    assert Room(needs, 10 * GB, 64 * GB, on_cpu).plan().decode_fits
    assert not Room(needs, 10 * GB - 1, 64 * GB, on_cpu).plan().decode_fits


def test_an_expert_makes_way_for_the_other_where_the_machine_holds_one(model):
    placement = PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED, one_expert=True))
    use(placement, "text_encoder", "transformer", "transformer_2")
    assert sorted(model.held) == ["text_encoder", "transformer_2"]
    use(placement, "transformer", "vae")
    assert sorted(model.held) == ["text_encoder", "transformer", "vae"]
    use(PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED)), "transformer_2")
    assert {"transformer", "transformer_2"} <= set(model.held)


def test_a_streamed_encoder_is_forgotten_where_the_plan_says_so_and_no_transformer_is(model):
    use(PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED, forget_encoder=True)), "text_encoder", "transformer")
    assert sorted(model.held) == ["transformer"]
    use(PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED)), "text_encoder")
    assert "text_encoder" in model.held


def test_blocks_of_a_transformer_alone_stay_in_the_room_that_is_left(model):
    use(PlacedModel(model, everywhere(Residency.BLOCK_OFFLOADED, kept_bytes=7)), "text_encoder", "transformer")
    assert [model.held[component].block_offload.rooms for component in ("text_encoder", "transformer")] == [[0], [7]]


@pytest.mark.parametrize("place", [Residency.RESIDENT, Residency.OFFLOADED, Residency.RELOADED, Residency.ON_CPU])
def test_what_stays_and_what_goes_after_its_phase(model, place):
    placement = PlacedModel(model, everywhere(place, tile_pixels=256))
    with placement.use("vae") as vae:
        assert vae.tile_pixels == 256
    assert model.loaded("vae") is (place is not Residency.RELOADED)
