"""Between the matrices: one pass gives what torch's own operations give, and where a kernel fails, those go on.

The kernels run here in Triton's interpreter, where Triton is; elsewhere stand-ins for them fail.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from wan_backend.loading import forward_tools, fused_pointwise
from wan_backend.loading.forward_tools import PLAIN, Width
from wan_backend.loading.fused_pointwise import Fused, FusedPointwise, Unfit
from wan_backend.loading.pointwise import Plain

CPU = torch.device("cpu")
CASES = ("norm", "rotary", "gate", "gate and norm", "sum and norm")


def failing(monkeypatch) -> list[str]:
    """Kernels that can't be started, in place of Triton's; into the list goes why one was given up."""
    module = ModuleType("wan_backend.loading.triton_kernels")

    def fails(*_arguments):
        raise RuntimeError("no kernel image is available")

    module.row = module.turn = fails
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys.modules["wan_backend.loading"], "triton_kernels", module, raising=False)
    return []


@pytest.mark.parametrize("name", CASES)
def test_where_a_kernel_fails_torchs_own_operations_go_on(name, monkeypatch):
    why = failing(monkeypatch)
    found = FusedPointwise(Fused(), why.append)
    run = fused_pointwise._cases(CPU, torch.float32, 24, 2)[name]
    for ours, theirs in zip(run(found, torch.float32), run(Plain(), torch.float32), strict=True):
        assert torch.equal(ours, theirs)
    assert found.broken and why == ["in use: RuntimeError: no kernel image is available"]


def test_running_out_of_memory_is_no_fault_of_a_kernel(monkeypatch):
    failing(monkeypatch)
    found = FusedPointwise(Fused())

    def spent():
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        found._done(True, spent, spent)
    assert not found.broken


def test_kernels_that_fail_are_not_taken(monkeypatch):
    failing(monkeypatch)
    with pytest.raises(Unfit, match="norm fails"):
        fused_pointwise._check(FusedPointwise(Fused()), CPU, torch.float32, 24, 2)


def test_kernels_that_are_wrong_are_not_taken(monkeypatch):
    failing(monkeypatch)
    found = FusedPointwise(Fused())
    found._row = lambda _hidden, _work, added, normed, *_: [
        each.zero_() for each in (added, normed) if each is not None
    ]
    with pytest.raises(Unfit, match="norm differs by"):
        fused_pointwise._check(found, CPU, torch.float32, 24, 2)


@pytest.mark.parametrize(("channels", "heads"), [(32768, 2), (6, 2)])
def test_what_no_kernel_is_made_for_is_left_alone(channels, heads):
    with pytest.raises(Unfit, match="there are none"):
        fused_pointwise.made(torch.device("cuda"), torch.bfloat16, channels, heads)


def test_on_the_cpu_everything_is_torchs_own():
    assert forward_tools.for_device(CPU, Width(24, 2, torch.float32)) is PLAIN
    assert PLAIN.words == "torch"
    with pytest.raises(Unfit):
        fused_pointwise.made(CPU, torch.float32, 24, 2)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="the CPU's torch comes without Triton")
@pytest.mark.parametrize("channels", [24, 96])
def test_the_kernels_do_what_torchs_own_operations_do(channels, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delitem(sys.modules, "wan_backend.loading.triton_kernels", raising=False)
    found = FusedPointwise(Fused())
    fused_pointwise._check(found, CPU, torch.float32, channels, 2)
    assert not found.broken
