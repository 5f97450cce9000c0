"""The table of both engines has every phase of both, and stock diffusers gets the modules as they were loaded."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.wan_backend.library import file_forms
from wan_backend.bench import random_weights, speed_table
from wan_backend.bench.engines import Ours, Stock, Work
from wan_backend.bench.random_weights import RandomModel
from wan_backend.bench.table_rows import WORKS, TableWork
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
    row = TableWork("", "wan2.1-vace-1.3b", SMALL, 50, trunk, footage=True)
    result = speed_table.measured("small", row, model, tmp_path)
    for side in (result.stock, result.ours):
        assert min(side.encode, side.forward, side.step, side.decode, side.footage, side.whole) > 0
        assert side.error < 1e-5 and side.autoencoder.latents < 1e-4 and side.autoencoder.pictures_db > 50
    text = speed_table.table([result])
    for phase in ("latents of footage", "whole take, 3 steps", "whole take, 50 steps", "dB of pictures to float32"):
        assert text.count(f"| small | {phase} |") == 1
    assert result.kernels in text


def test_a_take_from_a_picture_has_every_phase_of_both(first_picture_folder, tmp_path):
    model = WanModel(first_picture_folder, torch.device("cpu"))
    work = replace(SMALL, guidance_scale=1.0, from_picture=True)
    row = TableWork("", "wan2.1-i2v-14b-480p", work, 3, errors=False)
    result = speed_table.measured("small", row, model, tmp_path)
    for side in (result.stock, result.ours):
        assert min(side.encode, side.step, side.decode, side.whole) > 0 and side.error is None
        assert side.forward == side.step


def test_our_whole_take_may_have_all_steps(t2v_folder, tmp_path):
    """diffusers' is as long as measured steps make it."""
    model = WanModel(t2v_folder, torch.device("cpu"))
    row = TableWork("", "wan2.1-t2v-1.3b", SMALL, 5, errors=False, in_full=True)
    result = speed_table.measured("small", row, model, tmp_path)
    assert (result.stock.whole_steps, result.ours.whole_steps) == (3, 5)
    stock, ours = speed_table._at(result.stock, 5), speed_table._at(result.ours, 5)
    assert ours == result.ours.whole and stock == pytest.approx(result.stock.whole + 2 * result.stock.step)


def test_both_encode_footage_alike(t2v_folder):
    model = WanModel(t2v_folder, torch.device("cpu"))
    pictures = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3)).astype(np.uint8)
    stock, ours = (engine.encode_footage(pictures) for engine in (Stock(model, SMALL), Ours(model, SMALL)))
    torch.testing.assert_close(ours, stock, rtol=1e-4, atol=1e-4)


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


@pytest.mark.long
def test_a_row_in_8_bit_takes_the_figures_of_the_exact_one(t2v_folder, tmp_path, monkeypatch):
    """Even where the model is rounded already, which then has nothing to be compared with."""
    kernel = replace(next(kernel for kernel in MATRIX_KERNELS if kernel.name == "int8"), min_rows=1)
    product = EightBitProduct(kernel, TorchRows(), 0.0123)
    monkeypatch.setattr(matrix_products, "_chosen", lambda *_given: product)
    model = WanModel(t2v_folder, torch.device("cpu"))
    row = TableWork("", "wan2.1-t2v-1.3b", SMALL, 3)
    exact = speed_table.measured("small", row, model, tmp_path)
    for error in (True, False):
        rounded = speed_table.measured("small", replace(row, in_8_bit=True), model, tmp_path, exact)
        assert rounded.stock.whole == exact.stock.whole and rounded.ours.whole > 0
        assert (rounded.ours.error is not None) == error


def test_a_run_prints_each_row_and_keeps_all(tmp_path, monkeypatch, capsys):
    """On the CPU, with the random models made small: among them, one that looks at a picture."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(speed_table.devices, "choose", lambda _kind: cpu)
    width = {"num_attention_heads": 2, "ffn_dim": 16, "num_layers": 1}
    seeing = {**width, "in_channels": 36, "image_dim": 32, "added_kv_proj_dim": 256}
    monkeypatch.setattr(random_weights, "TRANSFORMER_CONFIGS", {"1.3B": width, "I2V-14B": seeing})
    monkeypatch.setattr(random_weights, "UMT5_XXL", {"vocab_size": 128, "d_model": 4096, "num_layers": 1, "d_ff": 8})
    clip = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    monkeypatch.setattr(random_weights, "CLIP_HUGE", {**clip, "image_size": 28, "patch_size": 14})
    small = {"base_dim": 2, "z_dim": 16, "num_res_blocks": 1}
    monkeypatch.setattr(random_weights, "VAES", {"1.3B": small, "I2V-14B": small})
    names = ("1.3B-480p-draft", "I2V-14B-480p-draft")
    work = {name: replace(WORKS[name].work, width=64, height=48, frames=5, steps=2) for name in names}
    monkeypatch.setattr(speed_table, "WORKS", {name: replace(WORKS[name], work=work[name]) for name in names})
    assert speed_table.run([], [str(tmp_path)], tmp_path / "table.json") == 0
    printed = capsys.readouterr().out
    kept = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in kept["rows"]] == list(names)
    assert all(f"| {name} | one forward |" in printed for name in names)
    assert min(row["ours"]["whole"] for row in kept["rows"]) > 0


def test_rows_in_8_bit_are_those_of_exact_ones():
    for name, row in WORKS.items():
        assert row.in_8_bit == name.endswith("-8bit")
        if row.in_8_bit:
            assert replace(row, in_8_bit=False) == WORKS[name.removesuffix("-8bit")]


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
