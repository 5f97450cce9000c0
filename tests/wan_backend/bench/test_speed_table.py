"""The table of both engines has every phase of both, and stock diffusers gets the modules as they were loaded."""

from __future__ import annotations

import pytest
import torch

from wan_backend.bench import speed_table
from wan_backend.bench.engines import Ours, Stock, Work
from wan_backend.bench.speed_table import TableWork
from wan_backend.loading.wan_model import WanModel

SMALL = Work(64, 48, 5, 3, 5.0, 3.0)


@pytest.mark.parametrize(("kind", "trunk"), [("t2v_folder", True), ("vace_folder", True), ("vace_folder", False)])
def test_a_row_has_every_phase_of_both(kind, trunk, request, tmp_path):
    model = WanModel(request.getfixturevalue(kind), torch.device("cpu"))
    result = speed_table.measured("small", TableWork("", "wan2.1-vace-1.3b", SMALL, 50, trunk), model, tmp_path)
    for side in (result.stock, result.ours):
        assert min(side.encode, side.forward, side.step, side.decode, side.whole) > 0 and side.error < 1e-5
    text = speed_table.table([result])
    assert text.count("| small |") == 7 and "whole take, 3 steps" in text and result.kernels in text


def test_stock_runs_the_modules_as_they_were(t2v_folder):
    model = WanModel(t2v_folder, torch.device("cpu"))
    with Ours(model, SMALL).placement.use("transformer") as transformer:
        assert "forward" in vars(transformer) and "forward" in vars(transformer.blocks[0])
    Stock(model, SMALL).encode()
    assert "forward" not in vars(transformer) and "forward" not in vars(transformer.blocks[0])
