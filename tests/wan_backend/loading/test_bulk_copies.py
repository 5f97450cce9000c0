"""Weights that several threads copy: all of them, bit for bit, whatever their form; and what a failure leaves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wan_backend.loading import bulk_copies

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.float8_e4m3fn)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one tensor is many pieces, and the last one isn't whole."""
    monkeypatch.setattr(bulk_copies, "PIECE_BYTES", 1000)
    monkeypatch.setattr(bulk_copies, "LEAST_BYTES", 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_are_equal_whatever_the_shape(dtype: torch.dtype) -> None:
    sources = [torch.randint(0, 100, shape).to(dtype) for shape in ((3, 1117), (0, 4), (), (1,), (7, 11, 13))]
    targets = [torch.zeros_like(source) for source in sources]
    bulk_copies.copy_within_memory(list(zip(targets, sources, strict=True)))
    for target, source in zip(targets, sources, strict=True):
        assert torch.equal(target.view(torch.uint8).reshape(-1) if target.ndim else target.float(),
                           source.view(torch.uint8).reshape(-1) if source.ndim else source.float())  # fmt: skip


def test_tensors_of_a_subclass_are_copied_as_their_bytes() -> None:
    class Packed(Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            raise AssertionError(f"{func} was asked of it")

    plain = torch.arange(5000, dtype=torch.uint8)
    target = torch.zeros(5000, dtype=torch.uint8)
    with torch._C.DisableTorchFunctionSubclass():
        packed = plain.as_subclass(Packed)
    with torch._C.DisableTorchFunctionSubclass():
        bulk_copies.copy_within_memory([(target, packed)])
    assert torch.equal(target, plain)


class _Here:
    """In place of a card: the CPU, which fails after `allowed` pieces."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed

    def send(self, target: Tensor, source: Tensor) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("CUDA error: out of pinned memory")
        target.copy_(source)


def _module() -> nn.Module:
    module = nn.Sequential(nn.Linear(61, 67), nn.Linear(67, 61))
    module[1].bias = module[0].weight  # one weight under two names
    return module


@pytest.mark.parametrize("allowed", [10_000, 3])
def test_weights_are_moved_once_or_left_as_they_were(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    monkeypatch.setattr(bulk_copies, "_Sender", lambda _device: _Here(allowed))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    module = _module()
    weights = bulk_copies._plain_weights(module)
    assert len(weights) == 3
    before = [(weight.data_ptr(), weight.detach().clone()) for weight in weights]
    bulk_copies._send(weights, torch.device("cpu"))
    assert module[1].bias is module[0].weight
    for weight, (place, content) in zip(weights, before, strict=True):
        assert torch.equal(weight, content)
        assert (weight.data_ptr() != place) == (allowed > 3)


def test_only_what_is_plain_and_here_is_moved_by_threads() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, device="meta"))
    module[0].weight = nn.Parameter(torch.zeros(8, 4)[::2].t())
    assert bulk_copies._plain_weights(module) == [module[0].bias]


def test_on_the_cpu_nothing_happens() -> None:
    module = _module()
    places = [weight.data_ptr() for weight in module.parameters()]
    bulk_copies.move_to_card(module, torch.device("cpu"))
    assert [weight.data_ptr() for weight in module.parameters()] == places
