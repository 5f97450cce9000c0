"""The kernels that are written in Triton: for a transformer's tokens, and for an autoencoder's pixels.

This module can be imported only if Triton is installed. A program works on a row of channels, or on a few rows.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

NO_SUM, SUM, WEIGHTED = 0, 1, 2
NO_NORM, MODULATED, OWN = 0, 1, 2
WARP_CHANNELS = 512
"""Channels that the threads of one warp work on."""
SCALED_COLUMNS = 2048
"""Columns that one program of `scale_sums` works on."""


def add_and_norm(
    hidden: Tensor,
    work: Tensor | None,
    added: Tensor | None,
    normed: Tensor | None,
    numbers: Any,
    own: tuple[Tensor, Tensor] | None,
    eps: float,
) -> None:
    """`added` = hidden + work (weighted if `numbers` has a gate); `normed` = the layer norm of that.

    All are (1, n, C) with contiguous rows. The norm is scaled and shifted by `numbers`, which is a modulation of
    `fused_pointwise`, or by its `own` weight and bias.
    """
    channels, rows, which = hidden.shape[2], numbers.rows, numbers.which
    weight, bias = own or (hidden, hidden)
    kind = NO_SUM if work is None else WEIGHTED if numbers.gate >= 0 else SUM
    norm = NO_NORM if normed is None else MODULATED if own is None else OWN
    block = triton.next_power_of_2(channels)
    with torch.cuda.device(hidden.device) if hidden.is_cuda else torch.no_grad():
        _add_and_norm_rows[(hidden.shape[1],)](
            hidden, hidden if work is None else _in_rows(work), hidden if added is None else added,
            hidden if normed is None else normed, rows, rows if which is None else which, weight, bias,
            channels, rows.shape[2], numbers.gate, numbers.scale, numbers.shift, eps,
            SUMMED=kind, NORMED=norm, TIMED=which is not None, BLOCK=block, num_warps=_warps(block),
        )  # fmt: skip


def norm_and_rotate(
    states: Tensor, out: Tensor, weight: Tensor, tables: tuple[Tensor, Tensor] | None, eps: float
) -> None:
    """`out` (1, n, heads, D) = the root-mean-square norm of `states` (1, n, C) over all C, rotated by `tables`.

    The tables are (n, D / 2), float32: cosines and sines of each pair of a head's numbers.
    """
    channels, half = states.shape[2], out.shape[3] // 2
    cos, sin = tables or (states, states)
    block = triton.next_power_of_2(channels)
    with torch.cuda.device(states.device) if states.is_cuda else torch.no_grad():
        _norm_and_rotate_rows[(states.shape[1],)](
            _in_rows(states), out, weight, cos, sin, channels, half, eps,
            TURNED=tables is not None, HALF_BLOCK=block // 2, num_warps=_warps(block),
        )  # fmt: skip


def quantize_rows(states: Tensor, numbers: Tensor, scales: Tensor, largest: float, gelu: bool) -> None:
    """`numbers` (M, K) = `states` (M, K), or GELU of them, divided by `scales` (M, 1), so that each row's largest is
    `largest`. The number format is that of `numbers`; a row with NaN in it has NaN for a scale.
    """
    columns = states.shape[1]
    block = triton.next_power_of_2(columns)
    with torch.cuda.device(states.device) if states.is_cuda else torch.no_grad():
        _quantize_one_row[(states.shape[0],)](
            _in_rows(states), numbers, scales, columns, largest,
            GELU=gelu, WHOLE=not numbers.is_floating_point(), BLOCK=block, num_warps=_warps(block),
        )  # fmt: skip


def scale_sums(sums: Tensor, scale: Tensor, weight_scale: Tensor, bias: Tensor | None, out: Tensor) -> None:
    """`out` (M, N) = int32 `sums` times the scales of their rows (M, 1) and columns (N), plus `bias` (N)."""
    count, columns = sums.shape
    with torch.cuda.device(sums.device) if sums.is_cuda else torch.no_grad():
        _scale_one_row[(count, triton.cdiv(columns, SCALED_COLUMNS))](
            sums, scale, weight_scale, weight_scale if bias is None else bias, out, columns,
            BIASED=bias is not None, BLOCK=SCALED_COLUMNS, num_warps=_warps(SCALED_COLUMNS),
        )  # fmt: skip


def _in_rows(states: Tensor) -> Tensor:
    return states if states.stride(-1) == 1 and states.stride(-2) == states.shape[-1] else states.contiguous()


def _warps(block: int) -> int:
    return max(1, min(16, block // WARP_CHANNELS))


@triton.jit
def _add_and_norm_rows(  # type: ignore[no-untyped-def]
    hidden, work, added, normed, rows, which, weight, bias,
    channels, numbers, gate, scale, shift, eps,
    SUMMED: tl.constexpr, NORMED: tl.constexpr, TIMED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < channels
    here = token * channels + place
    state = tl.load(hidden + here, mask=inside, other=0.0).to(tl.float32)
    times = rows
    if TIMED:
        times = rows + tl.load(which + token) * numbers * channels
    if SUMMED > 0:
        more = tl.load(work + here, mask=inside, other=0.0).to(tl.float32)
        if SUMMED == 2:
            more = more * tl.load(times + gate * channels + place, mask=inside, other=0.0)
        kept = (state + more).to(added.dtype.element_ty)
        tl.store(added + here, kept, mask=inside)
        state = kept.to(tl.float32)
    if NORMED > 0:
        mean = tl.sum(state, axis=0) / channels
        apart = tl.where(inside, state - mean, 0.0)
        narrow = apart * tl.rsqrt(tl.sum(apart * apart, axis=0) / channels + eps)
        if NORMED == 1:
            factor = 1.0 + tl.load(times + scale * channels + place, mask=inside, other=0.0)
            more = tl.load(times + shift * channels + place, mask=inside, other=0.0)
        else:
            factor = tl.load(weight + place, mask=inside, other=0.0).to(tl.float32)
            more = tl.load(bias + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(normed + here, (narrow * factor + more).to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _norm_and_rotate_rows(  # type: ignore[no-untyped-def]
    states, out, weight, cos, sin, channels, half, eps, TURNED: tl.constexpr, HALF_BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    pair = tl.arange(0, HALF_BLOCK)
    both = pair[:, None] * 2 + tl.arange(0, 2)[None, :]
    inside = both < channels
    state = tl.load(states + token * channels + both, mask=inside, other=0.0).to(tl.float32)
    square = tl.sum(tl.sum(state * state, axis=1), axis=0) / channels
    state = state * tl.rsqrt(square + eps) * tl.load(weight + both, mask=inside, other=0.0).to(tl.float32)
    if TURNED:
        one, two = tl.split(state)
        table = token * half + pair % half
        known = pair * 2 < channels
        near = tl.load(cos + table, mask=known, other=1.0)
        far = tl.load(sin + table, mask=known, other=0.0)
        state = tl.join(one * near - two * far, one * far + two * near)
    tl.store(out + token * channels + both, state.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _quantize_one_row(  # type: ignore[no-untyped-def]
    states, numbers, scales, columns, largest, GELU: tl.constexpr, WHOLE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < columns
    x = tl.load(states + row * columns + place, mask=inside, other=0.0).to(tl.float32)
    if GELU:
        x = x / (1.0 + tl.exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))
    scale = tl.maximum(tl.max(tl.abs(x), axis=0) / largest, 1e-12)
    scale = tl.where(tl.sum((x != x).to(tl.int32), axis=0) > 0, float("nan"), scale)
    x = x / scale
    if WHOLE:
        x = (x + 12582912.0) - 12582912.0  # rounds to the nearest whole number, halves to the even one
    tl.store(numbers + row * columns + place, x.to(numbers.dtype.element_ty), mask=inside)
    tl.store(scales + row, scale)


@triton.jit
def _scale_one_row(  # type: ignore[no-untyped-def]
    sums, scales, weight_scales, bias, out, columns, BIASED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < columns
    x = tl.load(sums + row * columns + place, mask=inside, other=0).to(tl.float32)
    x = x * tl.load(scales + row) * tl.load(weight_scales + place, mask=inside, other=0.0)
    if BIASED:
        x += tl.load(bias + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * columns + place, x.to(out.dtype.element_ty), mask=inside)


# What an autoencoder does to each pixel's channels (`pipelines.channel_norm`). Tensors are rows of channels, one row a
# pixel. What is asked for comes as numbers, not as constants, so that a width is compiled only once.


@triton.jit(do_not_specialize=["rows", "has_more", "has_bias", "has_total", "has_normed", "silu"])
def add_and_normalize_pixels(  # type: ignore[no-untyped-def]
    value, more, bias, gamma, total, normed, rows, has_more, has_bias, has_total, has_normed, silu,
    WIDTH: tl.constexpr, WIDER: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """`total` = value + more + bias; `normed` = SiLU of its RMS norm times gamma, in rows of WIDER that end with zeros.

    What isn't asked for isn't written.
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, PADDED)
    there = row[:, None] < rows
    inside = there & (column[None, :] < WIDTH)
    place = row[:, None] * WIDTH + column[None, :]
    x = tl.load(value + place, mask=inside, other=0.0).to(tl.float32)
    x += tl.load(more + place, mask=inside & (has_more > 0), other=0.0).to(tl.float32)
    x += tl.load(bias + column, mask=(column < WIDTH) & (has_bias > 0), other=0.0).to(tl.float32)[None, :]
    kept = x.to(total.dtype.element_ty)
    tl.store(total + place, kept, mask=inside & (has_total > 0))
    x = tl.where(has_total > 0, kept.to(tl.float32), x)
    length = tl.sqrt(tl.sum(x * x, axis=1))
    scale = tl.load(gamma + column, mask=(column < WIDTH) & (has_normed > 0), other=0.0)
    y = x / tl.maximum(length, 1e-12)[:, None] * scale[None, :]
    y = tl.where(silu > 0, y / (1.0 + tl.exp(-y)), y)
    to = there & (column[None, :] < WIDER) & (has_normed > 0)
    tl.store(normed + row[:, None] * WIDER + column[None, :], y.to(normed.dtype.element_ty), mask=to)


@triton.jit(do_not_specialize=["rows", "height", "width", "has_bias"])
def upsample_pixels(  # type: ignore[no-untyped-def]
    source, bias, out, rows, height, width, has_bias,
    TIMES: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Each pixel four times; its channels are those of TIMES frames, one frame after another."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, PADDED)
    inside = (row[:, None] < rows) & (column[None, :] < TIMES * CHANNELS)
    x = tl.load(source + row[:, None] * (TIMES * CHANNELS) + column[None, :], mask=inside, other=0.0).to(tl.float32)
    x += tl.load(bias + column, mask=(column < TIMES * CHANNELS) & (has_bias > 0), other=0.0).to(tl.float32)[None, :]
    across = row % width
    down = (row // width) % height
    frame = row // (width * height)
    which = column // CHANNELS
    channel = column % CHANNELS
    first = (frame[:, None] * TIMES + which[None, :]) * (2 * height) + (2 * down)[:, None]
    place = (first * (2 * width) + (2 * across)[:, None]) * CHANNELS + channel[None, :]
    below = 2 * width * CHANNELS
    made = x.to(out.dtype.element_ty)
    tl.store(out + place, made, mask=inside)
    tl.store(out + place + CHANNELS, made, mask=inside)
    tl.store(out + place + below, made, mask=inside)
    tl.store(out + place + below + CHANNELS, made, mask=inside)
