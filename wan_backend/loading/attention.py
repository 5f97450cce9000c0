"""Which kernel computes attention: each that is here is measured and checked against float32, the quickest is taken.

Done once for a card and its versions; what was found is kept in a KernelBook. A take never fails for want of a kernel:
one that fails on the way makes room for torch's own. May import torch and the attention_kernels.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from . import devices
from .attention_kernels import KERNELS, SDPA, Attend, Kernel
from .kernel_book import Finding, KernelBook, NotNow

log = logging.getLogger(__name__)

PROBED_TOKENS, PROBED_HEADS = 16384, 8
"""Enough for a kernel's own speed to show through what it costs to start it: with 4,096 tokens the order is another.
And little enough to fit beside a transformer on the smallest card: 150 MB."""
LONG_KEYS = 1024
"""A prompt has half as many."""
REFERENCE_QUERIES = 64
RUNS, CALLS = 4, 4
"""Each run is so many calls, one right after another, as a transformer's are; the best counts."""
WORTH = 0.98
"""Another kernel than torch's own must take less than this share of its time."""


@dataclass(frozen=True)
class Shape:
    """Of what attention is computed."""

    heads: int
    side: int
    """Numbers of a head."""
    dtype: torch.dtype


class Attention:
    """Attends by the kernel that was chosen, and by torch's own from when that fails."""

    def __init__(self, kernel: Kernel, attend: Attend, key: str, book: KernelBook) -> None:
        self._kernel, self._attend, self._key, self._book = kernel, attend, key, book

    @property
    def name(self) -> str:
        """Of the kernel, for a person."""
        return self._kernel.name

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(1, S, heads, D) for queries of that shape, and keys and values (1, N, heads, D)."""
        if self._kernel is SDPA or (self._kernel.only_long and key.shape[1] < LONG_KEYS):
            return SDPA.make()(query, key, value)
        try:
            return self._attend(query, key, value)
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise
            log.warning("%s failed, so torch's own attention goes on: %s", self.name, error)
            self._book.give_up(self._key, f"in use: {type(error).__name__}: {error}")
            self._kernel, self._attend = SDPA, SDPA.make()
            return self._attend(query, key, value)


def choose(device: torch.device, shape: Shape, book: KernelBook, kernels: tuple[Kernel, ...] = KERNELS) -> Attention:
    """The quickest of the kernels that are right, on `device`; torch's own where there is no time to be won."""
    if device.type != "cuda":
        return Attention(SDPA, SDPA.make(), "", book)
    capability = torch.cuda.get_device_capability(device)
    probe = _Probe(device, shape)
    best, attend, least, best_key = SDPA, SDPA.make(), float("inf"), ""
    for kernel in kernels:
        if not kernel.fits(capability):
            continue
        key = _key(kernel, device, shape)
        found = book.find(key, lambda kernel=kernel: probe.try_out(kernel))  # type: ignore[misc]
        if found is None:
            continue
        log.info("attention by %s: %.3f ms, %.1e from float32", kernel.name, found["ms"], found["error"])
        if float(found["ms"]) < least * (WORTH if kernel is not SDPA else 1):
            try:
                attend = kernel.make()
            except Exception as error:  # noqa: BLE001 - what was here when it was measured may be gone
                book.give_up(key, f"{type(error).__name__}: {error}")
            else:
                best, least, best_key = kernel, float(found["ms"]), key
    log.info("attention is computed by %s", best.name)
    return Attention(best, attend, best_key, book)


def _key(kernel: Kernel, device: torch.device, shape: Shape) -> str:
    card = torch.cuda.get_device_name(device)
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, {kernel.version()}"
    return f"attention, {kernel.name}, {card}, {versions}, {shape.heads}x{shape.side}, {shape.dtype}"


class _Probe:
    """Random queries, keys and values, and what float32 makes of them; made when they are first wanted."""

    def __init__(self, device: torch.device, shape: Shape) -> None:
        self._device, self._shape = device, shape
        self._made: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    def try_out(self, kernel: Kernel) -> Finding:
        """How long the kernel takes (ms) and how far it is from float32; raises ValueError where that is too far, and
        NotNow where there is no room for a trial.
        """
        try:
            return self._measured(kernel)
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise NotNow from error
            raise

    @torch.no_grad()
    def _measured(self, kernel: Kernel) -> Finding:
        attend = kernel.make()
        query, key, value, exact = self._tensors()
        out = attend(query, key, value)
        error = float((out[:, :REFERENCE_QUERIES].float() - exact).norm() / exact.norm())
        if not error <= kernel.error:
            raise ValueError(f"it is {error:.1e} from float32, where {kernel.error:.1e} is allowed")
        attend(query, key[:, : LONG_KEYS // 2], value[:, : LONG_KEYS // 2])  # a prompt's, which must work, too
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
            size = (1, PROBED_TOKENS, min(self._shape.heads, PROBED_HEADS), self._shape.side)
            drawn = [torch.randn(size, generator=generator).to(self._device, self._shape.dtype) for _ in range(3)]
            query, key, value = (each.float().transpose(1, 2) for each in drawn)
            weights = (query[:, :, :REFERENCE_QUERIES] @ key.transpose(2, 3) * self._shape.side**-0.5).softmax(-1)
            self._made = (drawn[0], drawn[1], drawn[2], (weights @ value).transpose(1, 2))
        return self._made
