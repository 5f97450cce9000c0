"""What a lean forward computes with on its device: attention, and what is between the matrices.

Both are chosen once for a card, its versions and a transformer's width, by trials whose findings are kept; on the CPU,
on Apple's cards and wherever something better isn't to be had, it is torch's own. May import torch.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from . import attention, devices
from .attention import Attention, Shape
from .kernel_book import Finding, KernelBook, NotNow
from .pointwise import Gate, Modulation, Plain, Pointwise, Times

log = logging.getLogger(__name__)

MEASURED_TOKENS = 4096
RUNS = 5


@dataclass(frozen=True)
class Tools:
    """See the module."""

    pointwise: Pointwise
    attention: Attention | None = None
    """None: what the model itself is set to."""
    fused: bool = False

    @property
    def words(self) -> str:
        """What they are, for whoever reads how a take was made."""
        if self.attention is None:
            return "torch"
        return f"attention by {self.attention.name}{', fused between the matrices' if self.fused else ''}"


PLAIN = Tools(Plain())


@dataclass(frozen=True)
class Width:
    """Of a transformer: what its kernels are made for."""

    channels: int
    heads: int
    dtype: torch.dtype


_WARMED: dict[tuple[torch.device, Width], threading.Thread] = {}


def warm(device: torch.device, width: Width) -> None:
    """Begin to compile what `for_device` will want, beside whatever goes on: while parts of a model are read, say."""
    if device.type != "cuda" or (device, width) in _WARMED:
        return
    thread = threading.Thread(target=_compile, args=(device, width), name="kernels", daemon=True)
    _WARMED[device, width] = thread
    thread.start()


def _compile(device: torch.device, width: Width) -> None:
    try:
        from . import fused_pointwise

        fused_pointwise.made(device, width.dtype, width.channels, width.heads)
    except Exception as error:  # noqa: BLE001 - the trial comes to the same, and keeps it
        log.info("the kernels between matrices: %s", error)


@functools.lru_cache(maxsize=16)
def for_device(device: torch.device, width: Width, book: Path | None = None) -> Tools:
    """The quickest tools on `device`; `book` is the file in which findings are kept.

    Whatever can't be had, is torch's own, and the log says why.
    """
    if device.type != "cuda":
        return PLAIN
    if (device, width) in _WARMED:
        _WARMED[device, width].join()  # nothing is measured while a processor or a card has other things to do
    began, findings = time.monotonic(), KernelBook(book)
    shape = Shape(width.heads, width.channels // width.heads, width.dtype)
    chosen = attention.choose(device, shape, findings)
    fused = _fused(device, width, findings)
    log.info("the tools of %s took %.2f s to find", devices.name(device), time.monotonic() - began)
    return Tools(fused or Plain(), chosen, fused is not None)


def _fused(device: torch.device, width: Width, book: KernelBook) -> Pointwise | None:
    """The kernels between the matrices, where they are right and quicker."""
    try:
        from . import fused_pointwise  # which may want a Triton that isn't there

        triton = fused_pointwise.version()
    except (ImportError, OSError, RuntimeError) as error:
        log.info("nothing is fused between the matrices: %s", error)
        return None
    name = torch.cuda.get_device_name(device)
    key = f"between matrices, {name}, torch {torch.__version__}, Triton {triton}, {width}"

    def trial() -> Finding:
        try:
            made = fused_pointwise.made(device, width.dtype, width.channels, width.heads)
            found = {"ms": _milliseconds(made, device, width), "torch_ms": _milliseconds(Plain(), device, width)}
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise NotNow from error
            raise
        if found["ms"] >= found["torch_ms"]:
            raise ValueError(f"torch's own are as quick: {found}")
        return found

    if book.find(key, trial) is None:
        return None
    return fused_pointwise.unchecked(on_failure=lambda why: book.give_up(key, why))


@torch.no_grad()
def _milliseconds(between: Pointwise, device: torch.device, width: Width) -> float:
    """What a block asks for, on some tokens: the best of some runs."""
    hidden = torch.randn(1, MEASURED_TOKENS, width.channels, device=device, dtype=width.dtype)
    times = Times(torch.randn(1, 1, 6, width.channels, device=device))
    bare = torch.nn.LayerNorm(width.channels, 1e-6, elementwise_affine=False)
    own = torch.nn.LayerNorm(width.channels, 1e-6, device=device)
    tokens, best = slice(0, MEASURED_TOKENS), float("inf")
    for _ in range(RUNS):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        begun.record()
        between.normed(bare, hidden, Modulation(times, tokens, 1, 0))
        between.gated_normed(own, hidden, hidden, Gate(times, tokens, 2))
        between.added_normed(bare, hidden, hidden, Modulation(times, tokens, 4, 3))
        between.gated(hidden, hidden, Gate(times, tokens, 5), None)
        ended.record()
        torch.cuda.synchronize(device)
        best = min(best, float(begun.elapsed_time(ended)))
    return round(best, 4)
