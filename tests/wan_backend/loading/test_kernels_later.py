"""A transformer begins with torch's own kernels where the card's are not compiled yet, and takes them up later."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch

from wan_backend.loading import forward_kernels, fused_pointwise
from wan_backend.loading.forward_kernels import TORCH_KERNELS, ForwardKernels, TransformerWidth, pays
from wan_backend.loading.kernel_trials import KernelTrials
from wan_backend.loading.pointwise import TorchPointwise
from wan_backend.loading.residency import PlacedModel
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.residency_plan import MemoryPlan, Residency

CPU = torch.device("cpu")
PLAN = MemoryPlan(Residency.RESIDENT, Residency.RESIDENT, Residency.RESIDENT, 0)


class Noting(TorchPointwise):
    """Torch's own operations, counted: the card's kernels of this test."""

    def __init__(self) -> None:
        self.calls = 0

    def normed(self, *arguments):
        self.calls += 1
        return super().normed(*arguments)


class Card:
    """A card whose kernels have to be compiled and tried; stands in for what `forward_kernels` knows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at_hand, self.compiling, self.chosen = False, True, 0
        self.kernels = ForwardKernels(Noting())
        monkeypatch.setattr(forward_kernels, "are_at_hand", lambda *_: self.at_hand)
        monkeypatch.setattr(forward_kernels, "is_compiling", lambda *_: self.compiling)
        monkeypatch.setattr(forward_kernels, "choose_for", self._choose)

    def _choose(self, *_arguments):
        self.chosen += 1
        return self.kernels


@pytest.fixture
def card(monkeypatch) -> Card:
    return Card(monkeypatch)


@pytest.fixture
def model(t2v_folder) -> WanModel:
    return WanModel(t2v_folder, CPU)


def forward(transformer) -> torch.Tensor:
    torch.manual_seed(0)
    latents, text = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 512, 32)
    return transformer(hidden_states=latents, timestep=torch.tensor([500.0]), encoder_hidden_states=text)[0]


def test_the_first_step_waits_for_no_compiler(card, model):
    placement = PlacedModel(model, PLAN, begin_at_once=True)
    with placement.use("transformer") as transformer:
        first = forward(transformer)
        assert placement.kernels is TORCH_KERNELS and not card.chosen
        assert not placement.take_up_kernels(60.0, 20), "the compiler is still at work"
        card.compiling = False
        assert not placement.take_up_kernels(0.1, 3), "the trials would take longer than they save"
        assert not card.chosen
        assert placement.take_up_kernels(60.0, 20)
        assert torch.equal(forward(transformer), first) and card.kernels.pointwise.calls
        assert not placement.take_up_kernels(60.0, 20), "once"
    assert placement.kernels is card.kernels


def test_what_was_tried_before_is_used_from_the_first_step_on(card, model):
    card.at_hand = True
    placement = PlacedModel(model, PLAN, begin_at_once=True)
    with placement.use("transformer") as transformer:
        forward(transformer)
    assert card.kernels.pointwise.calls and not placement.take_up_kernels(60.0, 20)


def test_a_benchmark_has_them_at_once(card, model):
    with PlacedModel(model, PLAN).use("transformer") as transformer:
        forward(transformer)
    assert card.kernels.pointwise.calls


@pytest.mark.parametrize(
    ("seconds", "left", "worth"), [(0.5, 3, False), (0.5, 50, True), (20.0, 0, False), (20, 1, True)]
)
def test_trials_are_made_in_a_take_only_where_it_gains_by_them(seconds, left, worth):
    assert pays(seconds, left) is worth


def test_a_trial_is_known_only_once_it_is_over(tmp_path: Path):
    trials = KernelTrials(tmp_path / "kernels.json")
    assert not trials.knows("quick")
    seen = []

    def trial():
        seen.append(KernelTrials(tmp_path / "kernels.json").knows("quick"))
        return {"ms": 1.0}

    trials.find_or_try("quick", trial)
    assert seen == [False]
    assert trials.knows("quick") and KernelTrials(tmp_path / "kernels.json").knows("quick")
    trials.record_failure("slow", "it is not here")
    assert KernelTrials(tmp_path / "kernels.json").knows("slow"), "a failure is an answer, too"


def test_on_the_cpu_they_are_torchs_own_and_at_hand():
    width = TransformerWidth(24, 2, torch.float32)
    assert forward_kernels.are_at_hand(CPU, width) and not forward_kernels.is_compiling(CPU, width)


def test_what_failed_before_is_not_compiled_ahead(tmp_path: Path, monkeypatch):
    compiled, findings = [], tmp_path / "kernels.json"
    monkeypatch.setattr(forward_kernels, "_fused_key", lambda *_: "fused")
    monkeypatch.setattr(fused_pointwise, "make_checked", lambda *_: compiled.append(None))
    width = TransformerWidth(24, 2, torch.float32)
    for finding in ({"ms": 1.0}, {"failed": "the process ended while it was tried"}):
        forward_kernels._compile(CPU, width, findings)
        KernelTrials(findings)._write("fused", finding)
        forward_kernels._compile(CPU, width, findings)
    assert len(compiled) == 3, "only before the failure was known"


def test_a_compiler_that_takes_two_processes_down_is_not_started_again(tmp_path: Path, monkeypatch):
    findings, width = tmp_path / "kernels.json", TransformerWidth(24, 2, torch.float32)
    monkeypatch.setattr(forward_kernels, "_fused_key", lambda *_: "fused")
    begun = []

    def crashes(*_given):
        begun.append(json.loads(findings.read_text())["findings"]["compiled, fused"])
        raise SystemExit  # what a crash leaves is put back below

    monkeypatch.setattr(fused_pointwise, "make_checked", crashes)
    for number in range(3):
        with contextlib.suppress(SystemExit):
            forward_kernels._compile(CPU, width, findings)
        if number < 2:
            KernelTrials(findings)._write("compiled, fused", {**begun[number], "trying": 3_999_999})
    assert len(begun) == 2 and KernelTrials(findings).knows_failure("fused")


def test_what_was_tried_before_is_compiled_without_a_note(tmp_path: Path, monkeypatch):
    findings, compiled = tmp_path / "kernels.json", []
    monkeypatch.setattr(forward_kernels, "_fused_key", lambda *_: "fused")
    monkeypatch.setattr(fused_pointwise, "make_checked", lambda *_: compiled.append(findings.read_text()))
    KernelTrials(findings)._write("fused", {"ms": 1.0})
    forward_kernels._compile(CPU, TransformerWidth(24, 2, torch.float32), findings)
    assert "compiled" not in compiled[0]
