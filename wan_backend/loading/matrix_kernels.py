"""Matrix products whose two factors are in 8 bit: the rows of what comes in are rounded, each with a scale of its own.

The weight is in 8 bit already, with a scale for each of its rows (`eight_bit`). To add a kernel, write a function as
`Multiply` and name it in MATRIX_KERNELS; `matrix_products.choose_for` tries those that fit the card.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .eight_bit import LEVELS

log = logging.getLogger(__name__)

SMALLEST_SCALE = 1e-12
PIECE_NUMBERS = 1 << 24
"""Torch's own operations round so many numbers at a time, since they make a 32-bit copy of them."""


class RowOperations(Protocol):
    """What is done to rows before and after a product."""

    def quantize(self, states: Tensor, form: torch.dtype, gelu: bool) -> tuple[Tensor, Tensor]:
        """(M, K), or GELU of it, as numbers (M, K) of the 8-bit `form` and their scales, float32 (M, 1)."""

    def scale_sums(self, sums: Tensor, scale: Tensor, weight_scale: Tensor, bias: Tensor | None, to: Tensor) -> Tensor:
        """int32 sums (M, N) times the scales of their rows (M, 1) and columns (N), plus `bias` (N), written to `to`."""


class TorchRows:
    """Torch's own operations; see `RowOperations` for each."""

    def quantize(self, states: Tensor, form: torch.dtype, gelu: bool) -> tuple[Tensor, Tensor]:
        """See RowOperations."""
        numbers = torch.empty(states.shape, dtype=form, device=states.device)
        scales = torch.empty(states.shape[0], 1, dtype=torch.float32, device=states.device)
        for rows in _pieces(states):
            wide = states[rows].float()
            if gelu:
                wide = torch.nn.functional.gelu(wide, approximate="tanh")
            scale = (wide.abs().amax(dim=1, keepdim=True) / LEVELS[form]).clamp_min_(SMALLEST_SCALE)
            wide = wide / scale
            numbers[rows] = (wide.round_() if form == torch.int8 else wide).to(form)
            scales[rows] = scale
        return numbers, scales

    def scale_sums(self, sums: Tensor, scale: Tensor, weight_scale: Tensor, bias: Tensor | None, to: Tensor) -> Tensor:
        """See RowOperations."""
        for rows in _pieces(sums):
            wide = (sums[rows] * scale[rows]).mul_(weight_scale)
            to[rows] = wide if bias is None else wide.add_(bias)
        return to


def _pieces(states: Tensor) -> list[slice]:
    size = max(1, PIECE_NUMBERS // max(1, states.shape[1]))
    return [slice(start, start + size) for start in range(0, states.shape[0], size)]


class TritonRows:
    """One pass over memory for each operation; see `RowOperations`. Raises ImportError if there is no Triton."""

    def __init__(self) -> None:
        from . import triton_kernels  # can be imported only where Triton is

        self._kernels = triton_kernels

    def quantize(self, states: Tensor, form: torch.dtype, gelu: bool) -> tuple[Tensor, Tensor]:
        """See RowOperations."""
        numbers = torch.empty(states.shape, dtype=form, device=states.device)
        scales = torch.empty(states.shape[0], 1, dtype=torch.float32, device=states.device)
        self._kernels.quantize_rows(states, numbers, scales, LEVELS[form], gelu)
        return numbers, scales

    def scale_sums(self, sums: Tensor, scale: Tensor, weight_scale: Tensor, bias: Tensor | None, to: Tensor) -> Tensor:
        """See RowOperations."""
        self._kernels.scale_sums(sums, scale, weight_scale, bias, to)
        return to


def rows_for(device: torch.device) -> list[RowOperations]:
    """The operations on rows that `device` may have, the faster first: Triton's on a card, and torch's own."""
    found: list[RowOperations] = [TorchRows()]
    if device.type == "cuda":
        try:
            found.insert(0, TritonRows())
        except (ImportError, OSError, RuntimeError) as error:
            log.info("rows are quantized by torch: %s", error)
    return found


Multiply = Callable[[RowOperations, Tensor, Tensor, Tensor, Tensor, Tensor | None, torch.dtype], Tensor]
"""Numbers (M, K) and their scales (M, 1), the weight (N, K) and its scales (N), and the bias (N): the product (M, N).

The last argument is the number format of the product.
"""


def _multiply_fp8(
    rows: RowOperations,
    numbers: Tensor,
    scale: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    del rows  # the scales are applied where the sums are made
    fused = bias is not None and bias.dtype == dtype and numbers.is_cuda
    made: Tensor = torch._scaled_mm(
        numbers,
        weight.t(),
        scale_a=scale,
        scale_b=weight_scale.view(1, -1),
        bias=bias if fused else None,
        out_dtype=dtype,
        use_fast_accum=True,
    )
    return made if fused or bias is None else made.add_(bias)


def _multiply_int8(
    rows: RowOperations,
    numbers: Tensor,
    scale: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    sums = torch._int_mm(numbers, weight.t())
    return rows.scale_sums(sums, scale, weight_scale, bias, torch.empty(sums.shape, dtype=dtype, device=sums.device))


@dataclass(frozen=True)
class MatrixKernel:
    """One way to multiply matrices in 8 bit."""

    name: str
    form: torch.dtype
    """The number format of both factors."""
    multiply: Multiply
    min_capability: tuple[int, int]
    """The lowest compute capability of a card that it runs on."""
    max_error: float
    """The relative difference to float32 that it may have on numbers drawn from a normal distribution."""
    min_rows: int = 1
    """The fewest rows that it multiplies."""
    side: int = 16
    """Both sides of a weight are multiples of this."""


MATRIX_KERNELS = (
    MatrixKernel("fp8", torch.float8_e4m3fn, _multiply_fp8, (8, 9), max_error=5e-2),
    MatrixKernel("int8", torch.int8, _multiply_int8, (7, 5), max_error=2.5e-2, min_rows=17, side=8),
)
"""All kernels; `matrix_products.choose` takes the more exact of those that are as fast. On normally distributed numbers
that is int8 (1.3e-2 from float32, where fp8 has 3.8e-2), but on an H100, where it has to scale its sums in a pass of
their own, it is slower than 16 bit: 1.33 ms for a block's matrices of the 1.3B and 5.3 of the 14B, where fp8 takes 0.74
and 3.2, and 16 bit 0.80 and 5.2."""
