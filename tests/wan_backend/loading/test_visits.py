"""A module that was on a device has its own tensors again; what changed there is copied.

The device is torch's "meta", which keeps no numbers: whatever comes back from it can't have been copied.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.visits import Visit
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency

META = torch.device("meta")


class Tied(nn.Module):
    """Two layers with one weight, as a text encoder's embeddings are."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight


def test_a_module_comes_back_without_a_copy():
    module = Tied()
    before = {name: (weight, weight.data_ptr()) for name, weight in module.named_parameters()}
    numbers = {name: weight.clone() for name, (weight, _place) in before.items()}
    visit = Visit(module)
    visit.go(META)
    assert {weight.device for weight in module.parameters()} == {META}
    visit.end()
    for name, weight in module.named_parameters():
        assert (weight, weight.data_ptr()) == before[name] and torch.equal(weight, numbers[name])
    assert module.two.weight is module.one.weight


def test_what_changed_on_the_device_is_kept():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    visit = Visit(module)
    visit.go(torch.device("cpu"))  # so that there are numbers to change
    with torch.no_grad():
        module[0].weight.add_(1.0)
    module[1].weight.data = torch.full((2, 2), 3.0)
    changed = module[0].weight.clone()
    visit.end()
    assert torch.equal(module[0].weight, changed) and torch.equal(module[1].weight, torch.full((2, 2), 3.0))


def test_a_visit_that_failed_halfway_is_ended(monkeypatch):
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = [weight.clone() for weight in module.parameters()]
    visit = Visit(module)

    def spent(_device: torch.device) -> None:
        module[0]._apply(lambda weight: weight.to(META))
        raise torch.OutOfMemoryError

    with monkeypatch.context() as short:
        short.setattr(module, "to", spent)
        with pytest.raises(torch.OutOfMemoryError):
            visit.go(META)
    visit.end()
    assert all(map(torch.equal, module.parameters(), before))


def test_a_component_that_takes_turns_visits_its_device(t2v_folder):
    turns = MemoryPlan(Residency.OFFLOADED, Residency.OFFLOADED, Residency.OFFLOADED, 0)
    model = WanModel(t2v_folder, torch.device("cpu"))
    placement = PlacedModel(model, turns)
    encoder = model.text_encoder
    places = [weight.data_ptr() for weight in encoder.parameters()]
    model.device = META
    with placement.use("text_encoder") as there:
        assert {weight.device for weight in there.parameters()} == {META}
    assert [weight.data_ptr() for weight in encoder.parameters()] == places
