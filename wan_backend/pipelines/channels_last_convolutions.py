"""Convolutions of an autoencoder over (T, H, W, C) tensors, with weights in the forms that a card is fast with.

Their biases are left out: they are added in one pass with what follows (`channel_norm`).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CACHED_FRAMES = 2
"""The frames before that a convolution over three frames caches."""
KERNEL_FRAMES = 3
"""The frames that such a convolution is over."""
CHANNEL_STEP, MAX_FILLING = 64, 1.34
"""A tensor's channels are padded with zeros to a multiple of the first if that makes it at most the second times as
large: on an H100, 96 channels padded to 128 take 0.47 ms for a frame of 832x480, and unpadded 0.81."""
MAX_FOLDED_CHANNELS, EVEN_CHANNELS = 48, 8
"""A convolution over three frames from or to so few channels (colors, mostly) is run as one over a picture that has the
channels of three frames, padded to a multiple of the second: a frame takes 0.12 ms from colors and 0.1 to them, instead
of 0.38 and 0.3."""


def padded_channels(channels: int) -> int:
    """The number of channels to pad to: cuDNN's kernels for Hopper work on 64 at a time."""
    full = -(-channels // CHANNEL_STEP) * CHANNEL_STEP
    return full if full <= MAX_FILLING * channels else channels


def frames_first(tensor: Tensor) -> Tensor:
    """A (T, H, W, C) view of (1, C, T, H, W)."""
    return tensor[0].permute(1, 2, 3, 0)


def convolve_3d(inputs: Tensor, weight: Tensor, stride: int | tuple[int, int, int], spatial: int) -> Tensor:
    """A convolution over frames that are there, padded by `spatial` pixels on each side."""
    x = inputs.permute(3, 0, 1, 2).unsqueeze(0)
    out = F.conv3d(x, weight, None, stride, (0, spatial, spatial))
    return frames_first(out).contiguous()


def convolve_2d(pictures: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution within each picture, padded by one pixel on each side."""
    out = F.conv2d(pictures.permute(0, 3, 1, 2), weight, None, stride, 1)
    return out.permute(0, 2, 3, 1).contiguous()


def convolve_folded(inputs: Tensor, weight: Tensor, convolution: Any) -> Tensor:
    """A convolution over three frames as one within pictures, with a weight of `fold_inputs` or of `fold_outputs`."""
    frames = len(inputs) - CACHED_FRAMES
    if weight.shape[0] == convolution.out_channels:
        own = inputs.shape[-1]
        joined = inputs.new_zeros(frames, *inputs.shape[1:3], weight.shape[1])
        for back in range(KERNEL_FRAMES):
            joined[..., back * own : (back + 1) * own] = inputs[back : back + frames]
        return convolve_2d(joined, weight, stride=1)
    out, parts = convolution.out_channels, convolve_2d(inputs, weight, stride=1)
    first, *others = (
        parts[back : back + frames, ..., back * out : (back + 1) * out].float() for back in range(KERNEL_FRAMES)
    )
    return sum(others, first)


def convolve_pointwise(convolution: Any, x: Tensor) -> Tensor:
    """A convolution with a kernel of one pixel, bias included, as a matrix product."""
    return F.linear(x, convolution.weight.flatten(1), convolution.bias)


def fill_up_inputs(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight with zeros for inputs that are padding."""
    missing = channels - weight.shape[1]
    filled = F.pad(weight.contiguous(), (0, 0, 0, 0, 0, 0, 0, missing))
    return filled.contiguous(memory_format=torch.channels_last_3d)


def fold_inputs(weight: Tensor) -> Tensor:
    """A weight (O, I, 3, k, k) as (O, 3 I and padding, k, k), the earliest frame's channels first."""
    flat = weight.transpose(1, 2).flatten(1, 2)
    missing = -flat.shape[1] % EVEN_CHANNELS
    return F.pad(flat, (0, 0, 0, 0, 0, missing)).contiguous(memory_format=torch.channels_last)


def fold_outputs(weight: Tensor) -> Tensor:
    """A weight (O, I, 3, k, k) as (3 O and padding, I and padding, k, k), the earliest frame's channels first."""
    flat = weight.permute(2, 0, 1, 3, 4).flatten(0, 1)
    out, own = -flat.shape[0] % EVEN_CHANNELS, padded_channels(flat.shape[1]) - flat.shape[1]
    return F.pad(flat, (0, 0, 0, 0, 0, own, 0, out)).contiguous(memory_format=torch.channels_last)


def pad_before(weight: Tensor) -> Tensor:
    """A weight (O, I, 3, 3) as (O, I, 4, 4), with zeros in the first row and column."""
    return F.pad(weight.contiguous(), (1, 0, 1, 0)).contiguous(memory_format=torch.channels_last)


def add_duplicated(total: Tensor, source: Tensor, shortcut: Any, first: bool) -> None:
    """Add to (T times, 2H, 2W, O) what diffusers' DupUp3D makes of (T, H, W, C)."""
    frames, height, width, _channels = source.shape
    factors, out = [shortcut.factor_t, shortcut.factor_s, shortcut.factor_s], shortcut.out_channels
    left: int = shortcut.repeats
    held: list[int] = []
    for factor in reversed(factors):
        whole = left % factor == 0
        held.insert(0, 1 if whole else factor)
        left = left // factor if whole else left
    if left == 1:
        spread = source.view(frames, height, width, out, *held)
    else:
        spread = source.repeat_interleave(shortcut.repeats, -1).view(frames, height, width, out, *factors)
    spread = spread.permute(0, 4, 1, 5, 2, 6, 3)
    times = factors[0]
    if first and times > 1:
        spread, times = spread[:, -1:], 1
    to = total.view(frames, times, height, factors[1], width, factors[2], out)
    for frame in range(frames):
        to[frame] += spread[frame]


def add_averaged(total: Tensor, source: Tensor, shortcut: Any) -> None:
    """Add to (T, H, W, O) what diffusers' AvgDown3D makes of (T times, 2H, 2W, C)."""
    times, side = shortcut.factor_t, shortcut.factor_s
    missing = -len(source) % times
    if missing:
        source = torch.cat([source.new_zeros(missing, *source.shape[1:]), source])
    frames, height, width, out = total.shape
    source = source.view(frames, times, height, side, width, side, -1)
    for frame in range(frames):
        by_pixel = source[frame].permute(1, 3, 5, 0, 2, 4).reshape(height, width, out, shortcut.group_size)
        total[frame] += by_pixel.mean(-1)


def unpatch(pictures: Tensor, patch: int) -> Tensor:
    """Pictures (F, H, W, C) of (F, h, w, C patch patch)."""
    frames, height, width, channels = pictures.shape
    parts = pictures.view(frames, height, width, channels // patch**2, patch, patch)
    return parts.permute(0, 1, 5, 2, 4, 3).reshape(frames, height * patch, width * patch, -1)


def patch(pixels: Tensor, patch: int) -> Tensor:
    """Patches (F, h, w, C patch patch) of (F, H, W, C)."""
    frames, height, width, channels = pixels.shape
    parts = pixels.view(frames, height // patch, patch, width // patch, patch, channels)
    return parts.permute(0, 1, 3, 5, 4, 2).reshape(frames, height // patch, width // patch, -1)
