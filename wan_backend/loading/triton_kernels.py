"""Two kernels, a row of channels a program: sum, norm and scale of hidden states; norm and turn of queries and keys.

May import torch and triton; is imported only where Triton is.
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
"""Channels that the threads of one warp see to."""


def row(
    hidden: Tensor,
    work: Tensor | None,
    added: Tensor | None,
    normed: Tensor | None,
    numbers: Any,
    own: tuple[Tensor, Tensor] | None,
    eps: float,
) -> None:
    """`added` = hidden + work (weighted where `numbers` has a gate); `normed` = the layer norm of that.

    All are (1, n, C) with rows of C numbers in one piece. The norm is scaled and shifted by `numbers`, or by its `own`
    weight and bias.
    """
    channels, rows, which = hidden.shape[2], numbers.rows, numbers.which
    weight, bias = own or (hidden, hidden)
    kind = NO_SUM if work is None else WEIGHTED if numbers.gate >= 0 else SUM
    norm = NO_NORM if normed is None else MODULATED if own is None else OWN
    block = triton.next_power_of_2(channels)
    with torch.cuda.device(hidden.device) if hidden.is_cuda else torch.no_grad():
        _row[(hidden.shape[1],)](
            hidden, hidden if work is None else _in_rows(work), hidden if added is None else added,
            hidden if normed is None else normed, rows, rows if which is None else which, weight, bias,
            channels, rows.shape[2], numbers.gate, numbers.scale, numbers.shift, eps,
            SUMMED=kind, NORMED=norm, TIMED=which is not None, BLOCK=block, num_warps=_warps(block),
        )  # fmt: skip


def turn(states: Tensor, out: Tensor, weight: Tensor, tables: tuple[Tensor, Tensor] | None, eps: float) -> None:
    """`out` (1, n, heads, D) = the root-mean-square norm of `states` (1, n, C) over all C, turned by `tables`.

    The tables are (n, D / 2), float32: cosines and sines of each pair of a head's numbers.
    """
    channels, half = states.shape[2], out.shape[3] // 2
    cos, sin = tables or (states, states)
    block = triton.next_power_of_2(channels)
    with torch.cuda.device(states.device) if states.is_cuda else torch.no_grad():
        _turn[(states.shape[1],)](
            _in_rows(states), out, weight, cos, sin, channels, half, eps,
            TURNED=tables is not None, HALF_BLOCK=block // 2, num_warps=_warps(block),
        )  # fmt: skip


def _in_rows(states: Tensor) -> Tensor:
    return states if states.stride(-1) == 1 and states.stride(-2) == states.shape[-1] else states.contiguous()


def _warps(block: int) -> int:
    return max(1, min(16, block // WARP_CHANNELS))


@triton.jit
def _row(  # type: ignore[no-untyped-def]
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
def _turn(  # type: ignore[no-untyped-def]
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
