"""What an autoencoder computes between its convolutions, in one pass over memory: sum, norm, SiLU and upsampling.

Triton's kernels do it if they are available and compute what torch does, which is checked once for a device. Else
torch does it a frame at a time, which takes no more than 32-bit copies of one frame. All tensors are (T, H, W, C) and
contiguous. The arithmetic is in 32 bit and is rounded once.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from ..loading.kernel_trials import KernelFinding, KernelTrials, TrialPostponed
from ..storage import compiled_kernels

log = logging.getLogger(__name__)

_given_up: set[torch.device] = set()
"""Devices whose compiler took processes down."""
_ELEMENTS = 1024
"""Numbers that one program of a kernel works on: as fast as 4096 on an H100 (2.9 TB/s), and compiled in a third of the
time."""
_WARPS = 4
_EPSILON = 1e-12
"""The smallest length that a norm divides by, which is that of `torch.nn.functional.normalize`."""
_TOLERANCE = 2e-2
"""How much Triton's bfloat16 may differ from torch's: by one in the last place, for numbers up to four."""


def add_and_normalize(
    value: Tensor,
    more: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    total: Tensor | None = None,
    gamma: Tensor | None = None,
    normed: Tensor | None = None,
    silu: bool = True,
) -> None:
    """Write value + more + bias into `total`, which may be one of them, and the norm of that into `normed`.

    `bias` and `gamma` are (C); `gamma`, in float32, includes the norm's own factor. `silu` says whether SiLU follows.
    `normed` may have more channels, which become zeros.
    """
    kernels = _kernels(value.device)
    if kernels is None:
        _add_and_normalize_by_torch(value, more, bias, total, gamma, normed, silu)
    else:
        _add_and_normalize_by(kernels, value, more, bias, total, gamma, normed, silu)


def _add_and_normalize_by(
    kernels: ModuleType,
    value: Tensor,
    more: Tensor | None,
    bias: Tensor | None,
    total: Tensor | None,
    gamma: Tensor | None,
    normed: Tensor | None,
    silu: bool,
) -> None:
    width = value.shape[-1]
    wider = width if normed is None else normed.shape[-1]
    padded = _power(wider)
    rows_each, rows = max(1, _ELEMENTS // padded), value.numel() // width
    # A kernel wants a tensor for everything, but doesn't read those that aren't asked for.
    given = [value if each is None else each for each in (more, bias)]
    asked = [int(each is not None) for each in (more, bias, total, normed)] + [int(silu)]
    kernels.add_and_normalize_pixels[(-(-rows // rows_each),)](
        value, *given, _no_gamma(value.device) if gamma is None else gamma, value if total is None else total,
        value if normed is None else normed, rows, *asked,
        WIDTH=width, WIDER=wider, PADDED=padded, ROWS=rows_each, num_warps=_WARPS,
    )  # fmt: skip


@functools.cache
def _no_gamma(device: torch.device) -> Tensor:
    return torch.ones(1, device=device)


def upsample(source: Tensor, bias: Tensor | None, times: int) -> Tensor:
    """(T times, 2H, 2W, C) of (T, H, W, times C): each pixel four times, after `bias` (times C) is added."""
    frames, height, width, channels = source.shape
    out = source.new_empty(frames * times, 2 * height, 2 * width, channels // times)
    kernels = _kernels(source.device)
    if kernels is None:
        _upsample_by_torch(source, bias, times, out)
    else:
        _upsample_by(kernels, source, bias, times, out)
    return out


def _upsample_by(kernels: ModuleType, source: Tensor, bias: Tensor | None, times: int, out: Tensor) -> None:
    frames, height, width, channels = source.shape
    padded = _power(channels)
    rows_each, rows = max(1, _ELEMENTS // padded), frames * height * width
    kernels.upsample_pixels[(-(-rows // rows_each),)](
        source, source if bias is None else bias, out, rows, height, width, int(bias is not None), TIMES=times,
        CHANNELS=channels // times, PADDED=padded, ROWS=rows_each, num_warps=_WARPS,
    )  # fmt: skip


def compile_ahead(device: torch.device, widths: Iterable[tuple[int, int]], findings: Path | None = None) -> None:
    """Have a thread compile the kernels for pairs of the channels of a tensor and of those that it is padded to.

    `findings` is the file with the results of trials: what took processes down by it isn't compiled, nor used.
    """
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    key = f"autoencoder, {card}, torch {torch.__version__}, {compiled_kernels.compiler()}, {tuple(widths)}"
    if KernelTrials(findings).knows_failure(key):
        _given_up.add(device)
        return
    threading.Thread(target=_compile, args=(key, device, tuple(widths), findings), name="kernels", daemon=True).start()


@functools.cache
def _compile(key: str, device: torch.device, widths: tuple[tuple[int, int], ...], findings: Path | None) -> None:
    trials = KernelTrials(findings)
    if trials.knows(key):
        with contextlib.suppress(Exception):  # who needs them meets the same error
            _compiled(device, widths)
    elif trials.find_or_try(key, partial(_compiled, device, widths)) is None and trials.knows_failure(key):
        _given_up.add(device)


def _compiled(device: torch.device, widths: tuple[tuple[int, int], ...]) -> KernelFinding:
    """Have the kernels compiled; how long that took. Raises what compilers raise."""
    began = time.monotonic()
    try:
        if _kernels(device) is None:
            raise TrialPostponed
        for width, wider in widths:
            value = torch.zeros(1, 1, 1, width, dtype=torch.bfloat16, device=device)
            gamma = torch.ones(width, device=device)
            add_and_normalize(value, gamma=gamma, normed=value.new_empty(1, 1, 1, wider))
            add_and_normalize(value, total=value)
            upsample(value, None, 1)
            upsample(value.new_zeros(1, 1, 1, 2 * width), None, 2)
    except torch.OutOfMemoryError as error:
        raise TrialPostponed from error
    return {"ms": round(1000 * (time.monotonic() - began), 1)}


def _power(number: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << (number - 1).bit_length()


def _add_and_normalize_by_torch(
    value: Tensor,
    more: Tensor | None,
    bias: Tensor | None,
    total: Tensor | None,
    gamma: Tensor | None,
    normed: Tensor | None,
    silu: bool,
) -> None:
    for frame in range(len(value)):
        x = value[frame].float()
        if more is not None:
            x = x + more[frame]
        if bias is not None:
            x = x + bias
        if total is not None:
            total[frame] = x
            x = total[frame].float()
        if normed is not None:
            y = F.normalize(x, dim=-1, eps=_EPSILON)
            y = y if gamma is None else y * gamma
            normed[frame, ..., : y.shape[-1]] = F.silu(y) if silu else y
            normed[frame, ..., y.shape[-1] :] = 0


def _upsample_by_torch(source: Tensor, bias: Tensor | None, times: int, out: Tensor) -> None:
    frames, height, width, channels = source.shape
    to = out.view(frames, times, height, 2, width, 2, channels // times)
    for frame in range(frames):
        x = source[frame] if bias is None else (source[frame].float() + bias).to(source.dtype)
        to[frame] = x.view(height, 1, width, 1, times, -1).permute(4, 0, 1, 2, 3, 5)


@functools.cache
def _kernels(device: torch.device) -> ModuleType | None:
    """Triton's kernels, if they run on that device and compute what torch does."""
    if device.type != "cuda" or device in _given_up:
        return None
    try:
        from ..loading import triton_kernels

        good = _agree(triton_kernels, device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a compiler raises, torch does the same work
        log.warning("the autoencoder runs without Triton's kernels: %s", str(error).strip().split("\n")[0])
        return None
    if not good:
        log.warning("the autoencoder runs without Triton's kernels: on %s they give other numbers", device)
        return None
    return triton_kernels


def _agree(kernels: ModuleType, device: torch.device) -> bool:
    """Whether Triton and torch compute the same for a small film of 96 channels."""
    generator = torch.Generator().manual_seed(0)
    made = (torch.randn(shape, generator=generator) for shape in ((2, 5, 7, 96), (2, 5, 7, 96), (96,)))
    value, more, bias = (each.to(device, torch.bfloat16) for each in made)
    gamma = bias.float()
    mine, theirs = ([torch.empty_like(value), value.new_empty(2, 5, 7, 128)] for _ in range(2))
    _add_and_normalize_by(kernels, value, more, bias, mine[0], gamma, mine[1], True)
    _add_and_normalize_by_torch(value, more, bias, theirs[0], gamma, theirs[1], True)
    larger = [value.new_empty(4, 10, 14, 48) for _ in range(2)]
    _upsample_by(kernels, value, bias, 2, larger[0])
    _upsample_by_torch(value, bias, 2, larger[1])
    pairs = [*zip(mine, theirs, strict=True), tuple(larger)]
    return all(torch.allclose(one.float(), two.float(), rtol=_TOLERANCE, atol=_TOLERANCE) for one, two in pairs)
