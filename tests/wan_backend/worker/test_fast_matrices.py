"""Takes with matrices in 8 bit: used and named where they can be had; where not, the take is exact and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from tests.wan_backend.worker.executors import asked, silent_executor
from wan_backend.loading import matrix_products
from wan_backend.loading.matrix_kernels import MATRIX_KERNELS, TorchRows
from wan_backend.loading.matrix_products import EightBitProduct
from wan_backend.planning.machine_steps import FAST_8_BIT_NOTE
from wan_backend.protocol.messages import FrameRate, MatrixPrecision, Plan, RunParams, RunResult, TakeRequest
from wan_backend.worker.executor import Executor
from wan_backend.worker.take_job import EXACT_MATRICES_NOTE, PRODUCT_FAILED_NOTE

RATE = FrameRate(16)
INT8 = replace(next(kernel for kernel in MATRIX_KERNELS if kernel.name == "int8"), min_rows=1)

PRODUCTS = {name: EightBitProduct(replace(INT8, name=name), TorchRows(), 0.0123) for name in ("int8", "another")}
"""As cards may have them, which compute on the processor as well."""


@pytest.fixture
def executor() -> Executor:
    return silent_executor()


@pytest.fixture
def make(executor, vace_folder, tmp_path):
    """Makes a take; its frames and its take.json."""

    def made(job: str, fast: bool) -> tuple[np.ndarray, dict[str, Any]]:
        precision = MatrixPrecision.FAST_8_BIT if fast else MatrixPrecision.EXACT
        notes = [FAST_8_BIT_NOTE] if fast else []
        request = TakeRequest("fog", "embedded", 32, 32, 5, RATE, 1, str(tmp_path), matrix_precision=precision)
        plan = Plan("embedded", 32, 32, 5, RATE, 5, 3, 3.0, 3.0, "unipc", matrix_precision=precision, notes=notes)
        state = str(tmp_path / "state")
        result = executor.run(asked(RunParams(job, request, plan, str(vace_folder), device="cpu", state_folder=state)))
        assert isinstance(result, RunResult), result
        folder = Path(result.take.folder)
        frames = np.stack([imageio.imread(file) for file in sorted(folder.glob("*.png"))])
        return frames, json.loads((folder / "take.json").read_text("utf-8"))

    return made


def offered(monkeypatch, product: EightBitProduct) -> EightBitProduct:
    monkeypatch.setattr(matrix_products, "_chosen", lambda *_given: product)
    return product


def test_they_are_used_and_named_on_the_take_and_the_next_exact_one_is_as_before(make, monkeypatch):
    exact, plain = make("a" * 32, False)
    product = offered(monkeypatch, EightBitProduct(INT8, TorchRows(), 0.0123))
    fast, named = make("b" * 32, True)
    assert not np.array_equal(fast, exact) and np.abs(fast.astype(int) - exact).mean() < 8
    assert product.description in named["backend"]["kernels"] and "1.2e-02" in named["backend"]["kernels"]
    assert "8 bit" not in plain["backend"]["kernels"]
    assert named["plan"]["matrix_precision"] == named["request"]["matrix_precision"] == "fast_8_bit"
    assert FAST_8_BIT_NOTE in named["plan"]["notes"] and named["notes"] == []
    again, _ = make("c" * 32, False)
    assert np.array_equal(again, exact)
    assert np.array_equal(make("d" * 32, True)[0], fast)


def test_where_the_card_has_none_the_take_is_exact_to_the_bit_and_says_so(make):
    exact, _ = make("a" * 32, False)
    made, named = make("b" * 32, True)
    assert np.array_equal(made, exact)
    assert named["notes"] == [EXACT_MATRICES_NOTE] and FAST_8_BIT_NOTE not in named["plan"]["notes"]
    assert named["plan"]["matrix_precision"] == "exact" and "8 bit" not in named["backend"]["kernels"]


def test_a_product_that_fails_in_use_costs_no_take(make, monkeypatch):
    exact, _ = make("a" * 32, False)
    calls: list[int] = []

    def fails_later(*given: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 20:
            raise RuntimeError("misaligned address")
        return INT8.multiply(*given)

    offered(monkeypatch, EightBitProduct(replace(INT8, multiply=fails_later), TorchRows(), 0.0123))
    made, named = make("b" * 32, True)
    assert named["notes"] == [PRODUCT_FAILED_NOTE] and len(calls) == 21
    assert np.abs(made.astype(int) - exact).mean() < 8
    after, named = make("c" * 32, True)
    assert np.array_equal(after, exact) and named["notes"] == [EXACT_MATRICES_NOTE]
