"""The table of both engines has every phase of both, and stock diffusers gets the modules as they were loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.wan_backend.library import file_forms
from wan_backend.bench import speed_table
from wan_backend.bench.engines import Ours, Stock, Work
from wan_backend.bench.random_weights import RandomModel
from wan_backend.bench.speed_table import TableWork
from wan_backend.loading import matrix_products
from wan_backend.loading.matrix_kernels import MATRIX_KERNELS, TorchRows
from wan_backend.loading.matrix_products import EightBitProduct
from wan_backend.loading.wan_model import WanModel

SMALL = Work(64, 48, 5, 3, 5.0, 3.0)


@pytest.mark.parametrize(
    ("kind", "trunk"),
    [pytest.param("t2v_folder", True, marks=pytest.mark.long), ("vace_folder", True), ("vace_folder", False)],
)
def test_a_row_has_every_phase_of_both(kind, trunk, request, tmp_path):
    model = WanModel(request.getfixturevalue(kind), torch.device("cpu"))
    result = speed_table.measured("small", TableWork("", "wan2.1-vace-1.3b", SMALL, 50, trunk), model, tmp_path)
    for side in (result.stock, result.ours):
        assert min(side.encode, side.forward, side.step, side.decode, side.whole) > 0 and side.error < 1e-5
    text = speed_table.table([result])
    assert text.count("| small |") == 8 and "whole take, 3 steps" in text and result.kernels in text


@pytest.mark.parametrize("found", [True, False])
def test_a_row_in_8_bit_has_its_own_error_and_weights(vace_folder, tmp_path, monkeypatch, found):
    """Of the exact one, with diffusers' figures beside; where there is no such product, those alone."""
    kernel = replace(next(kernel for kernel in MATRIX_KERNELS if kernel.name == "int8"), min_rows=1)
    product = EightBitProduct(kernel, TorchRows(), 0.0123)
    monkeypatch.setattr(matrix_products, "_chosen", lambda *_given: product if found else None)
    model = WanModel(vace_folder, torch.device("cpu"))
    row = TableWork("", "wan2.1-vace-1.3b", SMALL, 50, trunk=False, in_8_bit=True)
    result = speed_table.measured("small", row, model, tmp_path)
    stock, ours = result.stock, result.ours
    assert min(stock.encode, stock.step, stock.decode, stock.whole) > 0
    text = speed_table.table([result])
    if not found:
        assert (ours.whole, ours.error) == (0.0, None) and "no product in 8 bit" in text
        return
    assert min(ours.encode, ours.step, ours.decode, ours.whole) > 0 and product.description in text
    assert stock.error < 1e-5 and 1e-4 < ours.error < 0.2
    assert ours.weights_bytes < 0.8 * stock.weights_bytes


def test_rows_in_8_bit_are_those_of_exact_ones():
    for name, row in speed_table.WORKS.items():
        assert row.in_8_bit == name.endswith("-8bit")
        if row.in_8_bit:
            assert replace(row, in_8_bit=False) == speed_table.WORKS[name.removesuffix("-8bit")]


def test_a_random_model_is_rounded_once():
    model = RandomModel.__new__(RandomModel)
    model._components = {"transformer": file_forms.transformer("text")}
    kernel = MATRIX_KERNELS[0]
    product = EightBitProduct(kernel, TorchRows(), 0.0)
    model.matrix_product = None
    assert not model.quantized
    model.matrix_product = product
    assert model.quantized and model._components["transformer"].blocks[0].attn1.to_q.weight.dtype == kernel.form
    model.matrix_product = product
    with pytest.raises(ValueError, match="make the model again"):
        model.matrix_product = None


def test_stock_runs_the_modules_as_they_were(t2v_folder):
    model = WanModel(t2v_folder, torch.device("cpu"))
    with Ours(model, SMALL).placement.use("transformer") as transformer:
        assert "forward" in vars(transformer) and "forward" in vars(transformer.blocks[0])
    Stock(model, SMALL).encode()
    assert "forward" not in vars(transformer) and "forward" not in vars(transformer.blocks[0])
