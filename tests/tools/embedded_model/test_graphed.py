"""The training step learns, and a batch whose gradient is not a number does no harm."""

from __future__ import annotations

import math

import torch

from tools.embedded_model.graphed import TrainingStep
from tools.embedded_model.pacing import Average, Pace, load_split, save_split


def _line():
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 1)

    def loss_of(given, wanted):
        error = (layer(given).float() - wanted).square().mean()
        return error, error.detach()

    return layer, TrainingStep(list(layer.parameters()), loss_of, "cpu")


def test_it_learns():
    _, step = _line()
    given = torch.randn(32, 4)
    wanted = given.sum(1, keepdim=True)
    errors = [step(0.05, given, wanted).item() for _ in range(100)]
    assert errors[-1] < 0.05 * errors[0]


def test_a_gradient_that_is_not_a_number_leaves_the_weights_numbers():
    layer, step = _line()
    assert math.isnan(step(0.05, torch.full((2, 4), math.nan), torch.zeros(2, 1)).item())
    assert all(torch.isfinite(weight).all() for weight in layer.parameters())


def test_the_average_swaps_in_and_out():
    layer = torch.nn.Linear(2, 2)
    average = Average(layer)
    with torch.no_grad():
        layer.weight.add_(1)
    live = layer.weight.clone()
    average.swap()
    assert torch.allclose(layer.weight, live - 1)
    average.swap()
    assert torch.equal(layer.weight, live)


def test_weights_saved_in_parts_come_back_whole(tmp_path):
    layer = torch.nn.Linear(64, 64)
    save_split(tmp_path, "layer", layer.state_dict(), 2)
    files = sorted(tmp_path.glob("layer-*.safetensors"))
    assert len(files) == 2
    again = load_split(files)
    assert all(torch.equal(again[key], value) for key, value in layer.state_dict().items())


def test_the_rate_falls_over_all_runs_together():
    late = Pace(1, done=9, total=10)
    late.start -= 30
    early = Pace(1, done=0, total=10)
    early.start -= 30
    assert late.rate(1.0) < 0.1 < early.rate(1.0) <= 1.0
