"""Triton's kernels for `channel_norm`: what an autoencoder does to each pixel's channels, in one pass over memory.

Imported only where Triton is. May import triton alone. Tensors are rows of channels, one row a pixel. What is asked for
comes as numbers, not as constants, so that each width is compiled once.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Triton looks up whatever an annotation names, so only its own are here.


@triton.jit(do_not_specialize=["rows", "has_more", "has_bias", "has_total", "has_normed", "silu"])  # type: ignore[untyped-decorator]
def settle(  # type: ignore[no-untyped-def]
    value, more, bias, gamma, total, normed, rows, has_more, has_bias, has_total, has_normed, silu,
    WIDTH: tl.constexpr, WIDER: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """`total` = value + more + bias; `normed` = SiLU of its RMS norm times gamma, in rows of WIDER that end with zeros.

    What isn't asked for isn't touched.
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


@triton.jit(do_not_specialize=["rows", "height", "width", "has_bias"])  # type: ignore[untyped-decorator]
def enlarge(  # type: ignore[no-untyped-def]
    source, bias, out, rows, height, width, has_bias,
    TIMES: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Each pixel four times; its channels are those of TIMES frames, one after another."""
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
