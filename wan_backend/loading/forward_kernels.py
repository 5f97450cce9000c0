"""The kernels of a chunked forward on its device: for attention, and for what is between the matrix products.

Both are chosen once for a card, its versions and a transformer's width, by trials whose results are kept. On the CPU,
on Apple's cards and wherever nothing better is available they are torch's own. Before the first trials on a card, which
need a compiler, a take begins with torch's own (`are_at_hand`): nobody waits for its first preview on their account.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from . import attention, devices
from .attention import Attention, AttentionShape
from .kernel_trials import KernelFinding, KernelTrials, TrialPostponed
from .pointwise import Pointwise, ScaleAndShift, TimeModulation, TokenGate, TorchPointwise

log = logging.getLogger(__name__)

COMPILED = "compiled"
"""What the key of a trial of the compiler begins with."""
MEASURED_TOKENS = 4096
RUNS = 5
TRIAL_SECONDS = 2.0
"""An estimate of what all trials take on a card that has not had any, once the kernels are compiled."""
LEAST_GAIN = 0.15
"""Share of a step that the kernels save at the least; docs/speed.md has what was measured, 0.22 to 0.31."""


@dataclass(frozen=True)
class ForwardKernels:
    """What a transformer computes with."""

    pointwise: Pointwise
    attention: Attention | None = None
    """None for the attention that the model itself is set to."""
    is_fused: bool = False

    @property
    def description(self) -> str:
        """What they are, as take.json says it."""
        if self.attention is None:
            return "torch"
        return f"attention by {self.attention.name}{', fused between matrix products' if self.is_fused else ''}"


TORCH_KERNELS = ForwardKernels(TorchPointwise())


@dataclass(frozen=True)
class TransformerWidth:
    """What a transformer's kernels are compiled for."""

    channels: int
    heads: int
    dtype: torch.dtype


_COMPILATIONS: dict[tuple[torch.device, TransformerWidth], threading.Thread] = {}


def compile_ahead(device: torch.device, width: TransformerWidth, findings: Path | None = None) -> None:
    """Begin to compile what `choose_for` will need, in a thread: the model's components are read meanwhile.

    What failed before by `findings`, the file with the results of trials, isn't compiled.
    """
    if device.type != "cuda" or (device, width) in _COMPILATIONS:
        return
    thread = threading.Thread(target=_compile, args=(device, width, findings), name="kernels", daemon=True)
    _COMPILATIONS[device, width] = thread
    thread.start()


def _compile(device: torch.device, width: TransformerWidth, findings: Path | None) -> None:
    key, trials = _fused_key(device, width), KernelTrials(findings)
    if key is None or trials.knows_failure(key):
        return
    if not trials.knows(key):  # a compiler that takes the process down is known to the next one, as a trial is
        compiled = f"{COMPILED}, {key}"
        if trials.find_or_try(compiled, partial(_compiled, device, width)) is None and trials.knows_failure(compiled):
            trials.record_failure(key, "it can't be compiled")
        return
    try:
        _compiled(device, width)
    except Exception as error:  # noqa: BLE001 - who needs them meets the same error
        log.info("the fused kernels: %s", error)


def _compiled(device: torch.device, width: TransformerWidth) -> KernelFinding:
    """Have the kernels compiled; how long that took. Raises what compilers raise."""
    from . import fused_pointwise

    began = time.monotonic()
    try:
        fused_pointwise.make_checked(device, width.dtype, width.channels, width.heads)
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise TrialPostponed from error
        raise
    return {"ms": round(1000 * (time.monotonic() - began), 1)}


def are_at_hand(device: torch.device, width: TransformerWidth, findings: Path | None = None) -> bool:
    """Whether `choose_for` would answer at once, or after reading what was compiled before; else it has to try."""
    if device.type != "cuda":
        return True
    trials = KernelTrials(findings)
    fused = _fused_key(device, width)
    shape = AttentionShape(width.heads, width.channels // width.heads, width.dtype)
    return (fused is None or trials.knows(fused)) and attention.is_chosen(device, shape, trials)


def is_compiling(device: torch.device, width: TransformerWidth) -> bool:
    """Whether `choose_for` would wait for a compiler that is at work."""
    thread = _COMPILATIONS.get((device, width))
    return thread is not None and thread.is_alive()


def pays(step_seconds: float, steps_left: int) -> bool:
    """Whether the steps that are left will save the time that the trials take, by what they save at the least."""
    return step_seconds * steps_left * LEAST_GAIN > TRIAL_SECONDS


@functools.lru_cache(maxsize=16)
def choose_for(device: torch.device, width: TransformerWidth, findings: Path | None = None) -> ForwardKernels:
    """The fastest kernels on `device`; `findings` is the file in which the results of trials are kept.

    They are torch's own if others aren't available, and the log says why.
    """
    if device.type != "cuda":
        return TORCH_KERNELS
    if (device, width) in _COMPILATIONS:
        _COMPILATIONS[device, width].join()  # a compiler beside it would disturb the measurements
    began, trials = time.monotonic(), KernelTrials(findings)
    shape = AttentionShape(width.heads, width.channels // width.heads, width.dtype)
    chosen = attention.choose(device, shape, trials)
    fused = _fused(device, width, trials)
    log.info("the kernels of %s were chosen in %.2f s", devices.name(device), time.monotonic() - began)
    return ForwardKernels(fused or TorchPointwise(), chosen, fused is not None)


def _fused(device: torch.device, width: TransformerWidth, trials: KernelTrials) -> Pointwise | None:
    """The fused kernels, if they compute correctly and faster than torch's own; else None."""
    key = _fused_key(device, width)
    if key is None:
        return None
    from . import fused_pointwise

    def trial() -> KernelFinding:
        try:
            fused = fused_pointwise.make_checked(device, width.dtype, width.channels, width.heads)
            found = {
                "ms": _milliseconds(fused, device, width),
                "torch_ms": _milliseconds(TorchPointwise(), device, width),
            }
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise TrialPostponed from error
            raise
        if found["ms"] >= found["torch_ms"]:
            raise ValueError(f"torch's own are as fast: {found}")
        return found

    if trials.find_or_try(key, trial) is None:
        return None
    return fused_pointwise.make_unchecked(on_failure=partial(trials.record_failure_in_use, key))


def _fused_key(device: torch.device, width: TransformerWidth) -> str | None:
    """The key of the trial of the fused kernels; None where there are none."""
    try:
        from . import fused_pointwise  # can be imported only where Triton is

        triton = fused_pointwise.version()
    except (ImportError, OSError, RuntimeError) as error:
        log.info("there are no fused kernels: %s", error)
        return None
    return f"fused, {torch.cuda.get_device_name(device)}, torch {torch.__version__}, Triton {triton}, {width}"


@torch.no_grad()
def _milliseconds(operations: Pointwise, device: torch.device, width: TransformerWidth) -> float:
    """The time of the operations of a block on MEASURED_TOKENS tokens: the best of RUNS."""
    hidden = torch.randn(1, MEASURED_TOKENS, width.channels, device=device, dtype=width.dtype)
    modulation = TimeModulation(torch.randn(1, 1, 6, width.channels, device=device))
    without_weights = torch.nn.LayerNorm(width.channels, 1e-6, elementwise_affine=False)
    with_weights = torch.nn.LayerNorm(width.channels, 1e-6, device=device)
    tokens, best = slice(0, MEASURED_TOKENS), float("inf")
    for _ in range(RUNS):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begun.record()
        operations.normed(without_weights, hidden, ScaleAndShift(modulation, tokens, 1, 0))
        operations.gated_normed(with_weights, hidden, hidden, TokenGate(modulation, tokens, 2))
        operations.added_normed(without_weights, hidden, hidden, ScaleAndShift(modulation, tokens, 4, 3))
        operations.gated(hidden, hidden, TokenGate(modulation, tokens, 5), None)
        ended.record()
        torch.cuda.synchronize(device)
        best = min(best, float(begun.elapsed_time(ended)))
    return round(best, 4)
