"""Between the matrix products: one pass gives what torch's own operations give, and those take over from a failure.

The kernels run in Triton's interpreter here, where there is Triton; elsewhere stand-ins for them fail.
"""

from __future__ import annotations

import errno
import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from accelerate import init_empty_weights

from wan_backend.loading import forward_kernels, fused_pointwise
from wan_backend.loading.forward_kernels import TORCH_KERNELS, TransformerWidth
from wan_backend.loading.fused_pointwise import FusedPointwise, FusedSettings, KernelUnavailable
from wan_backend.loading.pointwise import TorchPointwise

CPU = torch.device("cpu")
CASES = ("norm", "rotary", "gate", "gate and norm", "sum and norm")


def failing(monkeypatch, error: Exception | None = None) -> list[Exception]:
    """Kernels that can't be started, in place of Triton's; the list gets the reason for giving one up."""
    module = ModuleType("wan_backend.loading.triton_kernels")

    def fails(*_arguments):
        raise error or RuntimeError("no kernel image is available")

    module.add_and_norm = module.norm_and_rotate = fails
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys.modules["wan_backend.loading"], "triton_kernels", module, raising=False)
    return []


@pytest.mark.parametrize("name", CASES)
def test_where_a_kernel_fails_torchs_own_operations_go_on(name, monkeypatch):
    why = failing(monkeypatch)
    found = FusedPointwise(FusedSettings(), why.append)
    run = fused_pointwise._cases(CPU, torch.float32, 24, 2)[name]
    for ours, theirs in zip(run(found, torch.float32), run(TorchPointwise(), torch.float32), strict=True):
        assert torch.equal(ours, theirs)
    assert found.broken and [str(each) for each in why] == ["no kernel image is available"]


@pytest.mark.parametrize("name", CASES)
def test_the_check_runs_beside_the_loading_of_a_model(name):
    """Which has every module's parameters made without content, in whatever thread."""
    run = fused_pointwise._cases(CPU, torch.float32, 24, 2)[name]
    usual = run(TorchPointwise(), torch.float32)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with init_empty_weights():
            beside = fused_pointwise._cases(CPU, torch.float32, 24, 2)[name](TorchPointwise(), torch.float32)
    finally:
        torch.set_default_dtype(default)
    for one, other in zip(usual, beside, strict=True):
        assert torch.equal(one, other)


def test_running_out_of_memory_is_no_fault_of_a_kernel(monkeypatch):
    failing(monkeypatch)
    found = FusedPointwise(FusedSettings())

    def spent():
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        found._run(True, spent, spent)
    assert not found.broken


def test_kernels_that_fail_are_not_taken(monkeypatch):
    failing(monkeypatch)
    with pytest.raises(KernelUnavailable, match="norm fails"):
        fused_pointwise._check(FusedPointwise(FusedSettings()), CPU, torch.float32, 24, 2)


def test_a_disk_that_takes_no_compiled_kernels_is_no_fault_of_them(monkeypatch):
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        fused_pointwise._checked(FusedSettings(), CPU, torch.float32, 24, 2)
    failing(monkeypatch)
    with pytest.raises(KernelUnavailable, match="norm fails"):
        fused_pointwise._checked(FusedSettings(), CPU, torch.float32, 24, 2)


def test_kernels_that_are_wrong_are_not_taken(monkeypatch):
    failing(monkeypatch)
    found = FusedPointwise(FusedSettings())
    found._add_and_norm = lambda _hidden, _work, added, normed, *_: [
        each.zero_() for each in (added, normed) if each is not None
    ]
    with pytest.raises(KernelUnavailable, match="norm differs by"):
        fused_pointwise._check(found, CPU, torch.float32, 24, 2)


@pytest.mark.parametrize(("channels", "heads"), [(32768, 2), (6, 2)])
def test_what_no_kernel_is_made_for_is_left_alone(channels, heads):
    with pytest.raises(KernelUnavailable, match="there are no kernels"):
        fused_pointwise.make_checked(torch.device("cuda"), torch.bfloat16, channels, heads)


def test_on_the_cpu_everything_is_torchs_own():
    assert forward_kernels.choose_for(CPU, TransformerWidth(24, 2, torch.float32)) is TORCH_KERNELS
    assert TORCH_KERNELS.description == "torch"
    with pytest.raises(KernelUnavailable):
        fused_pointwise.make_checked(CPU, torch.float32, 24, 2)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="the CPU's torch comes without Triton")
@pytest.mark.parametrize("channels", [24, 96])
def test_the_kernels_do_what_torchs_own_operations_do(channels, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, "wan_backend.loading.triton_kernels", raising=False)
    found = FusedPointwise(FusedSettings())
    fused_pointwise._check(found, CPU, torch.float32, channels, 2)
    assert not found.broken
