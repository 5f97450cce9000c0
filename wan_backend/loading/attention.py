"""Chooses the kernel that computes attention: each that is installed is checked against float32, and the fastest is
taken.

That is done once for a card and its versions, and the results are kept by KernelTrials. A take never fails because a
kernel is missing or broken: torch's own takes over from one that fails in use.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from . import devices
from .attention_kernels import ATTENTION_KERNELS, SDPA, Attend, AttentionKernel
from .kernel_trials import KernelFinding, KernelTrials, TrialPostponed

log = logging.getLogger(__name__)

PROBED_TOKENS, PROBED_HEADS = 16384, 8
"""Enough that the time of a kernel isn't that of its launch (with 4,096 tokens another one is the fastest), and few
enough to fit beside a transformer on the smallest card: 150 MB."""
LONG_KEYS = 1024
"""The number of keys from which they count as long; a prompt has half as many."""
REFERENCE_QUERIES = 64
RUNS, CALLS = 4, 4
"""The number of runs, of which the best counts, and of calls in each, one right after another as in a transformer."""
MAX_TIME_SHARE = 0.98
"""Share of the time of torch's own that another kernel must stay under to be taken."""


@dataclass(frozen=True)
class AttentionShape:
    """The heads that attention is computed for."""

    heads: int
    channels: int
    """Channels of one head."""
    dtype: torch.dtype


class Attention:
    """Computes attention by the kernel that was chosen, and by torch's own once that has failed."""

    def __init__(self, kernel: AttentionKernel, attend: Attend, key: str, trials: KernelTrials) -> None:
        self._kernel, self._attend, self._key, self._trials = kernel, attend, key, trials

    @property
    def name(self) -> str:
        """The kernel's name, for a person to read."""
        return self._kernel.name

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(1, S, heads, D) of queries of that shape, and of keys and values (1, N, heads, D)."""
        if self._kernel is SDPA or (self._kernel.only_long_keys and key.shape[1] < LONG_KEYS):
            return SDPA.make()(query, key, value)
        try:
            return self._attend(query, key, value)
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise
            log.warning("%s failed, so torch's own attention takes over: %s", self.name, error)
            self._trials.record_failure_in_use(self._key, error)
            self._kernel, self._attend = SDPA, SDPA.make()
            return self._attend(query, key, value)


def is_chosen(device: torch.device, shape: AttentionShape, trials: KernelTrials) -> bool:
    """Whether `choose` would answer without a trial."""
    if device.type != "cuda":
        return True
    capability = torch.cuda.get_device_capability(device)
    fitting = [kernel for kernel in ATTENTION_KERNELS if kernel.fits(capability)]
    return all(trials.knows(_key(kernel, device, shape)) for kernel in fitting)


def choose(
    device: torch.device,
    shape: AttentionShape,
    trials: KernelTrials,
    kernels: tuple[AttentionKernel, ...] = ATTENTION_KERNELS,
) -> Attention:
    """The fastest of the kernels that compute `device`'s attention correctly; torch's own if none is faster."""
    if device.type != "cuda":
        return Attention(SDPA, SDPA.make(), "", trials)
    capability = torch.cuda.get_device_capability(device)
    probe = _Probe(device, shape)
    best, attend, least, best_key = SDPA, SDPA.make(), float("inf"), ""
    for kernel in kernels:
        if not kernel.fits(capability):
            continue
        key = _key(kernel, device, shape)
        found = trials.find_or_try(
            key,
            lambda kernel=kernel: probe.measure(kernel),  # type: ignore[misc]
            ("ms", "error"),
        )
        if found is None:
            continue
        log.info("attention by %s: %.3f ms, %.1e from float32", kernel.name, found["ms"], found["error"])
        if float(found["ms"]) < least * (MAX_TIME_SHARE if kernel is not SDPA else 1):
            try:
                attend = kernel.make()
            except Exception as error:  # noqa: BLE001 - its package may be gone since it was measured
                trials.record_failure(key, f"{type(error).__name__}: {error}")
            else:
                best, least, best_key = kernel, float(found["ms"]), key
    log.info("attention is computed by %s", best.name)
    return Attention(best, attend, best_key, trials)


def _key(kernel: AttentionKernel, device: torch.device, shape: AttentionShape) -> str:
    card = torch.cuda.get_device_name(device)
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, {kernel.version()}"
    return f"attention, {kernel.name}, {card}, {versions}, {shape.heads}x{shape.channels}, {shape.dtype}"


class _Probe:
    """Random queries, keys and values with their attention in float32, made when they are first needed."""

    def __init__(self, device: torch.device, shape: AttentionShape) -> None:
        self._device, self._shape = device, shape
        self._made: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def measure(self, kernel: AttentionKernel) -> KernelFinding:
        """The milliseconds that the kernel takes, and its relative difference to float32.

        Raises ValueError if the difference is too large, and TrialPostponed if memory is short.
        """
        try:
            return self._measured(kernel)
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise TrialPostponed from error
            raise

    @torch.no_grad()
    def _measured(self, kernel: AttentionKernel) -> KernelFinding:
        attend = kernel.make()
        query, key, value, exact = self._tensors()
        out = attend(query, key, value)
        error = float((out[:, :REFERENCE_QUERIES].float() - exact).norm() / exact.norm())
        if not error <= kernel.max_error:
            raise ValueError(f"its difference to float32 is {error:.1e}, more than {kernel.max_error:.1e}")
        attend(query, key[:, : LONG_KEYS // 2], value[:, : LONG_KEYS // 2])  # a prompt's length must work, too
        return {"ms": round(self._milliseconds(attend), 4), "error": round(error, 6)}

    def _milliseconds(self, attend: Attend) -> float:
        query, key, value, _ = self._tensors()
        best = float("inf")
        for _ in range(RUNS):
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begun.record()
            for _ in range(CALLS):
                attend(query, key, value)
            ended.record()
            torch.cuda.synchronize(self._device)
            best = min(best, float(begun.elapsed_time(ended)) / CALLS)
        return best

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self._made is None:
            generator = torch.Generator("cpu").manual_seed(0)
            size = (1, PROBED_TOKENS, min(self._shape.heads, PROBED_HEADS), self._shape.channels)
            drawn = [torch.randn(size, generator=generator).to(self._device, self._shape.dtype) for _ in range(3)]
            query, key, value = (each.float().transpose(1, 2) for each in drawn)
            weights = (query[:, :, :REFERENCE_QUERIES] @ key.transpose(2, 3) * self._shape.channels**-0.5).softmax(-1)
            self._made = (drawn[0], drawn[1], drawn[2], (weights @ value).transpose(1, 2))
        return self._made
