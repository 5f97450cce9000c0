"""Multiplies with weights in 8 bit as they are, if a person chose fast matrices and the card does so faster.

Each kernel that fits the card is tried once for it, its versions and a transformer's width: how far it is from float32,
and whether it is faster than torch's product in 16 bit with the rounding of what comes in counted. The results are
kept by KernelTrials. A take never fails because a kernel is missing or broken: if none is taken, the matrices are
exact, and if one fails in use, the weights' numbers are made anew for each product, as for weights that are in 8 bit
to save memory.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import devices, eight_bit
from .eight_bit import EightBitLinear
from .kernel_trials import KernelFinding, KernelTrials, TrialPostponed
from .matrix_kernels import MATRIX_KERNELS, MatrixKernel, RowOperations, TritonRows, rows_for

log = logging.getLogger(__name__)

TRIALS = "8-bit matrices"
"""What the keys of the trials begin with."""
PROBED_ROWS, ODD_ROWS, REFERENCE_ROWS = 8192, 8155, 64
"""How many rows are timed; checked, since a chunk may have any number of tokens; and compared with float32."""
RUNS, CALLS = 4, 4
"""The number of runs, of which the best counts, and of calls in each, one right after another as in a transformer."""
AS_FAST = 1.05
"""A kernel that takes no more than so many times the time of the fastest is taken before it if it is more exact."""
MAX_TIME_SHARE = 0.95
"""Share of the time of products in 16 bit that a kernel must stay under to be taken, for it isn't exact."""


@dataclass(frozen=True)
class MatrixWidth:
    """What a transformer's matrices are tried for."""

    channels: int
    middle: int
    """Channels between the two matrices of a feed-forward."""
    dtype: torch.dtype

    @classmethod
    def of(cls, config: Mapping[str, Any], dtype: torch.dtype) -> MatrixWidth:
        """That of a transformer by its configuration."""
        channels = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
        return cls(channels, int(config["ffn_dim"]), dtype)

    @property
    def sides(self) -> tuple[tuple[int, int], ...]:
        """Columns and rows of the weights that are measured: of the attention's four, and the feed-forward's two."""
        square = (self.channels, self.channels)
        return (*[square] * 4, (self.channels, self.middle), (self.middle, self.channels))


@dataclass
class _Quantized:
    """Rows as they were quantized last: queries, keys and values are made of the same."""

    source: weakref.ref[Tensor]
    version: int
    numbers: Tensor
    scale: Tensor


class EightBitProduct:
    """Multiplies by a kernel, until that fails; see `eight_bit.MatrixProduct`."""

    def __init__(
        self, kernel: MatrixKernel, rows: RowOperations, error: float, key: str = "", trials: KernelTrials | None = None
    ) -> None:
        """`error` is the kernel's relative difference to float32; `key` is its own in `trials`."""
        self.kernel, self.error = kernel, error
        self.weight_format = kernel.form
        self.broken = False
        """True once it has failed."""
        self._rows, self._key, self._trials = rows, key, trials
        self._last: _Quantized | None = None

    def __deepcopy__(self, _memo: Any) -> EightBitProduct:
        """Copies of a transformer share it."""
        return self

    @property
    def description(self) -> str:
        """What it is, as take.json says it."""
        return f"matrices in 8 bit ({self.kernel.name}, {self.error:.1e} from exact)"

    def fits(self, layer: EightBitLinear) -> bool:
        """See MatrixProduct."""
        sides = layer.weight.shape
        return layer.weight.dtype == self.weight_format and not any(side % self.kernel.side for side in sides)

    def multiply(self, layer: EightBitLinear, states: Tensor, gelu: bool = False) -> Tensor | None:
        """See MatrixProduct."""
        count = states.numel() // max(1, states.shape[-1])
        if self.broken or count < self.kernel.min_rows:
            return None
        if states.is_cuda and states.dtype != torch.bfloat16:  # the only format that all kernels give their product in
            return None
        try:
            numbers, scale = self._quantized(states, gelu)
            # Of one scale for the whole weight, each row has the same.
            weight_scale = layer.weight_scale.expand(layer.out_features, 1).contiguous().view(-1)
            made = self.kernel.multiply(
                self._rows, numbers, scale, layer.weight, weight_scale, layer.bias, states.dtype
            )
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise
            log.warning("products in %s failed, so weights are multiplied in 16 bit: %s", self.kernel.name, error)
            self.broken, self._last = True, None
            if self._trials is not None:
                self._trials.record_failure_in_use(self._key, error)
            return None
        return made.view(*states.shape[:-1], layer.out_features)

    def _quantized(self, states: Tensor, gelu: bool) -> tuple[Tensor, Tensor]:
        """The rows of `states`, (M, K) and (M, 1); those that were quantized last are kept while `states` lives."""
        known = self._last
        if known is not None and not gelu and known.source() is states and known.version == states._version:
            return known.numbers, known.scale
        self._last = None
        numbers, scale = self._rows.quantize(states.reshape(-1, states.shape[-1]), self.weight_format, gelu)
        if not gelu:
            self._last = _Quantized(weakref.ref(states, self._forget), states._version, numbers, scale)
        return numbers, scale

    def _forget(self, source: weakref.ref[Tensor]) -> None:
        if self._last is not None and self._last.source is source:
            self._last = None


def choose_for(device: torch.device, width: MatrixWidth, findings: Path | None = None) -> EightBitProduct | None:
    """The product in 8 bit for `device`; `findings` is the file in which the results of trials are kept.

    None if no kernel is available and faster than products in 16 bit, and the log says why.
    """
    chosen = _chosen(device, width, findings)
    return None if chosen is None or chosen.broken else chosen


@functools.lru_cache(maxsize=16)
def _chosen(device: torch.device, width: MatrixWidth, findings: Path | None) -> EightBitProduct | None:
    if device.type != "cuda":
        return None
    return choose(device, width, KernelTrials(findings), torch.cuda.get_device_capability(device))


def choose(
    device: torch.device,
    width: MatrixWidth,
    trials: KernelTrials,
    capability: tuple[int, int],
    kernels: tuple[MatrixKernel, ...] = MATRIX_KERNELS,
) -> EightBitProduct | None:
    """The most exact of the kernels that fit the card, pass their trial and are about as fast as the fastest."""
    fitting = [kernel for kernel in kernels if capability >= kernel.min_capability]
    for rows in rows_for(device):
        passed = []
        for kernel in fitting:
            key = _key(kernel, rows, device, width)
            found = trials.find_or_try(key, partial(_measured, kernel, rows, device, width), ("ms", "error"))
            if found is not None:
                passed.append((kernel, key, found))
        if passed:
            longest = AS_FAST * min(float(found["ms"]) for _, _, found in passed)
            fast = [each for each in passed if float(each[2]["ms"]) <= longest]
            kernel, key, found = min(fast, key=lambda each: float(each[2]["error"]))
            log.info("matrices in 8 bit by %s: %s", kernel.name, found)
            return EightBitProduct(kernel, rows, float(found["error"]), key, trials)
    return None


def _key(kernel: MatrixKernel, rows: RowOperations, device: torch.device, width: MatrixWidth) -> str:
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    by = f"Triton {importlib.metadata.version('triton')}" if isinstance(rows, TritonRows) else "torch's rows"
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, {by}"
    return f"{TRIALS}, {kernel.name}, {card}, {versions}, {width.channels}x{width.middle}, {width.dtype}"


def _measured(kernel: MatrixKernel, rows: RowOperations, device: torch.device, width: MatrixWidth) -> KernelFinding:
    """The milliseconds of a block's matrices by the kernel and in 16 bit, and its relative difference to float32.

    Raises ValueError if it is too far off or no faster, and TrialPostponed if memory is short.
    """
    try:
        probe = _Probe(kernel, rows, device, width)
        found = {"error": probe.error(), "ms": probe.milliseconds(True), "exact_ms": probe.milliseconds(False)}
    except Exception as error:
        if devices.is_out_of_memory(error):
            raise TrialPostponed from error
        raise
    if not found["error"] <= kernel.max_error:
        raise ValueError(f"its difference to float32 is {found['error']:.1e}, more than {kernel.max_error:.1e}")
    if found["ms"] > MAX_TIME_SHARE * found["exact_ms"]:
        raise ValueError(f"products in 16 bit are as fast: {found}")
    return found


class _Probe:
    """Random weights of a block, whole and in 8 bit, and rows to multiply with them."""

    @torch.no_grad()
    def __init__(self, kernel: MatrixKernel, rows: RowOperations, device: torch.device, width: MatrixWidth) -> None:
        source = torch.Generator("cpu").manual_seed(0)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=source).to(device, width.dtype)

        self._device = device
        self._product = EightBitProduct(kernel, rows, 0.0)
        self._states = {columns: drawn(PROBED_ROWS, columns) for columns in {side for side, _ in width.sides}}
        self._whole = {(k, n): (drawn(n, k), drawn(n)) for k, n in dict.fromkeys(width.sides)}
        self._layers = {}
        for sides, (weight, bias) in self._whole.items():
            layer = EightBitLinear(
                *eight_bit.rounded(weight, kernel.form), torch.nn.Parameter(bias, requires_grad=False)
            )
            if not self._product.fits(layer):
                raise ValueError(f"it can't multiply with a weight of {sides[1]} x {sides[0]}")
            self._layers[sides] = layer
        self._sides = width.sides

    @torch.no_grad()
    def error(self) -> float:
        """The largest of the relative differences to float32 of the products with each weight."""
        errors = []
        for sides, (weight, bias) in self._whole.items():
            states = self._states[sides[0]][:ODD_ROWS]
            exact = states[:REFERENCE_ROWS].float() @ weight.float().t() + bias.float()
            errors.append((self._by_kernel(sides, states)[:REFERENCE_ROWS].float() - exact).norm() / exact.norm())
        return round(float(torch.stack(errors).max()), 6)  # NaN if one of them is

    def _by_kernel(self, sides: tuple[int, int], states: Tensor) -> Tensor:
        numbers, scale = self._product._rows.quantize(states, self._product.weight_format, False)
        layer = self._layers[sides]
        kernel = self._product.kernel
        return kernel.multiply(
            self._product._rows, numbers, scale, layer.weight, layer.weight_scale.view(-1), layer.bias, states.dtype
        )

    def _by_torch(self, sides: tuple[int, int], states: Tensor) -> Tensor:
        return torch.nn.functional.linear(states, *self._whole[sides])

    @torch.no_grad()
    def milliseconds(self, in_8_bit: bool) -> float:
        """The time of a block's matrices: the best of RUNS."""
        multiply = self._by_kernel if in_8_bit else self._by_torch
        best = float("inf")
        for _ in range(RUNS):
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begun.record()
            for _ in range(CALLS):
                for sides in self._sides:
                    multiply(sides, self._states[sides[0]])
            ended.record()
            torch.cuda.synchronize(self._device)
            best = min(best, float(begun.elapsed_time(ended)) / CALLS)
        return round(best, 4)
