"""Attention by another kernel than torch's own, which takes over where one fails in use or isn't installed."""

from __future__ import annotations

import pytest
import torch

from wan_backend.loading import attention, attention_kernels
from wan_backend.loading.attention import Attention, AttentionShape
from wan_backend.loading.attention_kernels import ATTENTION_KERNELS, SDPA, AttentionKernel, KernelUnavailable, sdpa
from wan_backend.loading.kernel_trials import KernelTrials


def drawn(keys: int = 1500) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return torch.randn(1, 9, 2, 8), torch.randn(1, keys, 2, 8), torch.randn(1, keys, 2, 8)


def test_torchs_own_is_softmax_of_the_products():
    query, key, value = drawn(20)
    weights = (torch.einsum("bqhd,bkhd->bhqk", query, key) / 8**0.5).softmax(-1)
    expected = torch.einsum("bhqk,bkhd->bqhd", weights, value)
    assert torch.allclose(sdpa(query, key, value), expected, atol=1e-5)


def test_a_kernel_that_fails_in_use_makes_room_for_good(tmp_path):
    calls = []

    def fails(*_tensors):
        calls.append(None)
        raise RuntimeError("no kernel image is available")

    trials = KernelTrials(tmp_path / "book.json")
    attend = Attention(AttentionKernel("quick", lambda: fails), fails, "key", trials)
    for _ in range(2):
        assert torch.equal(attend(*drawn()), sdpa(*drawn()))
    assert len(calls) == 1 and attend.name == "torch"
    assert trials.find_or_try("key", lambda: {"ms": 1.0}) is None


def test_running_out_of_memory_is_no_fault_of_the_kernel():
    def fails(*_tensors):
        raise torch.OutOfMemoryError

    attend = Attention(AttentionKernel("quick", lambda: fails), fails, "key", KernelTrials())
    with pytest.raises(torch.OutOfMemoryError):
        attend(*drawn())
    assert attend.name == "quick"


def test_a_kernel_for_long_ones_leaves_the_prompt_to_torch():
    seen = []

    def notes(query, key, value):
        seen.append(key.shape[1])
        return sdpa(query, key, value)

    attend = Attention(AttentionKernel("long", lambda: notes, only_long_keys=True), notes, "key", KernelTrials())
    attend(*drawn(512)), attend(*drawn(1500))
    assert seen == [1500]


def test_on_the_cpu_it_is_torchs_own():
    attend = attention.choose(torch.device("cpu"), AttentionShape(2, 8, torch.float32), KernelTrials())
    assert attend.name == SDPA.name


@pytest.mark.parametrize(
    "kernel", [kernel for kernel in ATTENTION_KERNELS if kernel.packages], ids=lambda kernel: kernel.name
)
def test_a_package_that_is_not_here_is_not_tried(kernel, monkeypatch):
    monkeypatch.setattr(attention_kernels, "_version", lambda _package: "")
    assert not kernel.fits((9, 0)) and not kernel.fits((12, 0))


def test_each_fits_its_cards(monkeypatch):
    monkeypatch.setattr(attention_kernels, "_version", lambda _package: "9.9")
    fitting = {
        card: {kernel.name for kernel in ATTENTION_KERNELS if kernel.fits(card)}
        for card in ((7, 5), (8, 9), (9, 0), (10, 0))
    }
    assert fitting[7, 5] == {"torch"}
    assert "SageAttention 2" in fitting[8, 9] and "FlashAttention 3" not in fitting[8, 9]
    assert {"FlashAttention 3", "FlashAttention 4"} <= fitting[9, 0]
    assert "FlashAttention 4" in fitting[10, 0] and "FlashAttention 3" not in fitting[10, 0]


def test_a_package_that_can_not_be_imported_says_why():
    with pytest.raises(KernelUnavailable, match="no_such_module"):
        attention_kernels._first_of(("no_such_module", "attend"))
