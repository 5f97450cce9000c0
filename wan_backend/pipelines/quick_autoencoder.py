"""AutoencoderKLWan's two halves as a card likes them: the same weights and sums, several latent frames at a time.

diffusers' forward keeps NCTHW, in which cuDNN turns every tensor round and back, and makes three copies for each
convolution (what is remembered, the padding, the joining), seven kernels for each norm, and one for each bias. Here a
tensor is (T, H, W, C): each norm writes into the place behind the two frames that its convolution remembers, the
convolution pads by itself, and bias, shortcut, norm and SiLU are one pass (`channel_norm`). A film gives the same bits
in chunks of any length.

`lay_out` puts the weights in order, `Course` goes through one film. May import torch, diffusers and channel_norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanAttentionBlock,
    WanResample,
    WanResidualBlock,
    WanResidualDownBlock,
    WanResidualUpBlock,
    WanUpBlock,
)
from torch import Tensor, nn

from . import channel_norm

KEPT_FRAMES = 2
"""That a convolution over three frames remembers of those before."""
OVER_FRAMES = 3
"""That such a convolution is over."""
PICTURES_A_LATENT = 4
ALIGNED = 64
"""Numbers to whose multiples a tensor begins in a larger one."""
GOOD_CHANNELS, MOST_FILLING = 64, 1.34
"""A tensor's channels are filled up with zeros to a multiple of these where that makes it no larger than so many times
as large: on an H100, 96 channels as 128 take 0.47 ms a frame of 832x480 where 96 take 0.81."""
MOST_FOLDED, EVEN_CHANNELS = 48, 8
"""A convolution over three frames from or to so few channels, colors mostly, is one over a picture whose channels are
those of three frames, filled up to a multiple: 0.12 ms a frame from colors and 0.1 to them, where it takes 0.38 and
0.3."""
LEAST_CAPABILITY = (8, 0)
"""Of an NVIDIA card: those before compute bfloat16 by detours of their own."""


def suits(vae: Any) -> bool:
    """Whether this way is the better one for `vae`, where it is now. False once it failed there (`give_up`)."""
    device = vae.device
    if device.type != "cuda" or getattr(vae, "goes_plainly", False) or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= LEAST_CAPABILITY


def give_up(vae: Any) -> None:
    """From now on `vae` goes diffusers' way; its weights lie as they did."""
    vae.goes_plainly = True
    lay_back(vae)


def lay_out(vae: Any) -> None:
    """Have the weights of the convolutions lie channels last, which stays so when they are moved. The same numbers."""
    _lie(vae, torch.channels_last_3d, torch.channels_last)


def lay_back(vae: Any) -> None:
    """The weights as they were loaded."""
    _lie(vae, torch.contiguous_format, torch.contiguous_format)


def _lie(vae: Any, in_five: torch.memory_format, in_four: torch.memory_format) -> None:
    for part in vae.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            form = in_five if isinstance(part, nn.Conv3d) else in_four
            if not part.weight.is_contiguous(memory_format=form):
                part.weight.data = part.weight.data.contiguous(memory_format=form)


def warm(device: torch.device, config: Mapping[str, Any]) -> None:
    """Begin to compile the kernels for an autoencoder of that config, beside whatever goes on."""
    if device.type == "cuda":
        width_pairs = set()
        for base in {
            int(config.get("base_dim", 96)),
            int(config.get("decoder_base_dim") or config.get("base_dim", 96)),
        }:
            widths = [base * times for times in config.get("dim_mult", (1, 2, 4, 4))]
            width_pairs |= {(width, _good_channels(width)) for width in widths}
        channel_norm.warm(device, sorted(width_pairs))


class _Stream:
    """What flows from block to block: (T, H, W, C) frames, and the next convolution's input where it is made already.

    `value` lacks `bias` where there is one. `shared`: someone else holds it, too, so it isn't to be changed.
    """

    def __init__(self, value: Tensor, bias: Tensor | None = None) -> None:
        self.value, self.bias = value, bias
        self.opened: Tensor | None = None
        self.shared = False

    def take(self) -> Tensor:
        """The frames, which the stream holds no more."""
        value = self.value
        del self.value
        return value


@dataclass(frozen=True)
class _Next:
    """The norm and the convolution that come next."""

    norm: Any
    convolution: Any


class Course:
    """One film's way through an autoencoder, from its first picture on.

    Convolutions and products take the frames of one latent frame at a time, however many come in one call, so that
    libraries choose the same kernels and the numbers are the same to the bit. `before_block` is called before each
    block, and may raise. Nothing of a course is left in the autoencoder.
    """

    def __init__(self, vae: Any, before_block: Callable[[], None] = lambda: None) -> None:
        self._vae, self._before = vae, before_block
        self._kept: dict[nn.Module, Tensor] = {}
        """The last frames that went into each convolution over time."""
        self._made: dict[nn.Module, Tensor] = {}
        """Factors of norms and weights in another form: made once a film."""
        self._first = True
        self._latents = 1
        """Latent frames in the works."""

    @torch.no_grad()
    def decode(self, hidden: Tensor) -> Tensor:
        """(F, H, W, colors) float32 about -1 to 1 of (1, C, T, h, w) latents, which `post_quant_conv` has seen.

        The first call is for the first latent frame alone, which is one picture; after it, T become 4 T.
        """
        decoder, self._latents = self._vae.decoder, hidden.shape[2]
        stream = _Stream(self._convolved(decoder.conv_in, _frames_first(hidden)), decoder.conv_in.bias)
        head = _Next(decoder.norm_out, decoder.conv_out)
        self._middle(decoder.mid_block, stream)
        for block in decoder.up_blocks:
            following = head if block is decoder.up_blocks[-1] else None
            if isinstance(block, WanResidualUpBlock):
                self._up_with_shortcut(block, stream, following)
            elif isinstance(block, WanUpBlock):
                self._blocks(block.resnets, stream, following)
                for resample in block.upsamplers or ():
                    self._enlarged(resample, stream)
            else:
                raise TypeError(f"the decoder has a {type(block).__name__}")
        pictures = self._head(decoder, stream)
        self._first = False
        patch = self._vae.config.patch_size
        return pictures if patch is None else _unpatched(pictures, patch)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(1, 2 C, T, h, w) moments of (F, H, W, 3) pixels: of the first picture alone, then of 4 T at a time."""
        vae, encoder = self._vae, self._vae.encoder
        self._latents = max(1, len(pixels) // PICTURES_A_LATENT)
        pixels = pixels if vae.config.patch_size is None else _patched(pixels, vae.config.patch_size)
        stream = _Stream(self._convolved(encoder.conv_in, pixels), encoder.conv_in.bias)
        last = len(encoder.down_blocks) - 1
        run: list[Any] = []
        for number, block in enumerate(encoder.down_blocks):
            if isinstance(block, WanResidualBlock | WanAttentionBlock):
                run.append(block)
                if number != last:
                    continue
            self._blocks(run, stream)
            run = []
            if isinstance(block, WanResidualDownBlock):
                self._down_with_shortcut(block, stream)
            elif isinstance(block, WanResample):
                self._reduced(block, stream)
        self._middle(encoder.mid_block, stream, _Next(encoder.norm_out, encoder.conv_out))
        out = self._head(encoder, stream).to(pixels.dtype)
        self._first = False
        moments = [_pointwise(vae.quant_conv, some) for some in self._by_latent(out)]
        return torch.cat(moments).permute(3, 0, 1, 2).unsqueeze(0)

    def tidy(self) -> None:
        """After the first call: have what is remembered lie together, for it stays where it lies till the film's end.

        Among what the first picture left, it would hold memory in pieces that are too small for the chunks.
        """
        sizes = [-(-kept.numel() // ALIGNED) * ALIGNED for kept in self._kept.values()]
        if not sizes:
            return
        flat = next(iter(self._kept.values())).new_empty(sum(sizes))
        for (convolution, kept), room in zip(list(self._kept.items()), flat.split(sizes), strict=True):
            self._kept[convolution] = room[: kept.numel()].view(kept.shape).copy_(kept)
        del kept
        if flat.is_cuda:
            torch.cuda.empty_cache()

    def _by_latent(self, frames: Tensor) -> Iterator[Tensor]:
        """The frames of each latent frame: views of (T, ...)."""
        return iter(frames.split(len(frames) // self._latents))

    def _middle(self, block: Any, stream: _Stream, following: _Next | None = None) -> None:
        blocks = [block.resnets[0]]
        for attention, residual in zip(block.attentions, block.resnets[1:], strict=True):
            blocks += [residual] if attention is None else [attention, residual]
        self._blocks(blocks, stream, following)

    def _blocks(self, blocks: Iterable[Any], stream: _Stream, following: _Next | None = None) -> None:
        """Blocks of the one size, and what comes after them where that is of it, too."""
        row = list(blocks)
        for number, block in enumerate(row, start=1):
            self._before()
            after = row[number] if number < len(row) else None
            beyond = _Next(after.norm1, after.conv1) if isinstance(after, WanResidualBlock) else None
            beyond = following if after is None else beyond
            if isinstance(block, WanResidualBlock):
                self._residual(block, stream, beyond)
            elif isinstance(block, WanAttentionBlock):
                self._attended(block, stream)
            else:
                raise TypeError(f"the autoencoder has a {type(block).__name__}")

    def _residual(self, block: Any, stream: _Stream, following: _Next | None) -> None:
        opened = self._ready(stream, _Next(block.norm1, block.conv1))
        out = x = stream.take()
        if not isinstance(block.conv_shortcut, nn.Identity):
            out = x.new_empty(*x.shape[:-1], block.conv2.out_channels)
            for some, here in zip(self._by_latent(x), self._by_latent(out), strict=True):
                here.copy_(_pointwise(block.conv_shortcut, some))
            x = out
        elif stream.shared:
            out = torch.empty_like(x)
        middle: Tensor | None = None
        gamma, shape = self._gamma(block.norm2), (*x.shape[:-1], block.conv2.in_channels)
        for place, piece in self._through(block.conv1, opened):
            if middle is None:
                middle = self._opened(block.conv2, shape)
            channel_norm.settle(piece, bias=block.conv1.bias, gamma=gamma, normed=middle[_behind(place)])
        assert middle is not None
        opened, middle = [middle], None
        beyond = None if following is None else self._gamma(following.norm)
        for place, piece in self._through(block.conv2, opened):
            if middle is None and following is not None:
                middle = self._opened(following.convolution, out.shape)
            channel_norm.settle(
                x[place], piece, block.conv2.bias, total=out[place], gamma=beyond,
                normed=None if middle is None else middle[_behind(place)],
            )  # fmt: skip
        stream.value, stream.opened, stream.shared = out, middle, False

    def _attended(self, block: Any, stream: _Stream) -> None:
        """Within each frame."""
        self._settle(stream)
        height, width, channels = stream.value.shape[1:]
        gamma = self._gamma(block.norm)
        for frame in stream.value.split(1):
            normed = torch.empty_like(frame)
            channel_norm.settle(frame, gamma=gamma, normed=normed, silu=False)
            triple = _pointwise(block.to_qkv, normed).view(1, 1, height * width, 3 * channels)
            query, key, value = triple.chunk(3, dim=-1)
            out = F.scaled_dot_product_attention(query, key, value).view(frame.shape)
            channel_norm.settle(frame, _pointwise(block.proj, out), total=frame)

    def _head(self, half: Any, stream: _Stream) -> Tensor:
        """(T, H, W, C) float32: the last norm and convolution."""
        self._before()
        convolution = half.conv_out
        opened = self._ready(stream, _Next(half.norm_out, convolution))
        stream.take()
        fold = len(convolution.weight) * OVER_FRAMES <= MOST_FOLDED
        weight = self._once(convolution, lambda: _folded_out(convolution.weight)) if fold else None
        pieces = [
            piece.float() + convolution.bias.float() for _place, piece in self._through(convolution, opened, weight)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _up_with_shortcut(self, block: Any, stream: _Stream, following: _Next | None) -> None:
        self._settle(stream)
        beginning = stream.value if block.avg_shortcut is not None else None
        stream.shared = beginning is not None
        self._blocks(block.resnets, stream, following)
        if block.upsampler is not None:
            self._enlarged(block.upsampler, stream)
        if beginning is not None:
            _add_spread(stream.value, beginning, block.avg_shortcut, self._first)

    def _down_with_shortcut(self, block: Any, stream: _Stream) -> None:
        self._settle(stream)
        beginning, stream.shared = stream.value, True
        self._blocks(block.resnets, stream)
        if block.downsampler is not None:
            self._reduced(block.downsampler, stream)
            self._settle(stream)
        _add_averaged(stream.value, beginning, block.avg_shortcut)

    def _enlarged(self, resample: Any, stream: _Stream) -> None:
        """Twice the size, and after the first frame twice as many."""
        self._before()
        self._settle(stream)
        x, times, bias = stream.take(), 1, None
        if resample.mode == "upsample3d" and self._first:
            # It has seen nothing of the first frame, of which there is one alone.
            self._remember(resample.time_conv, x.new_zeros(KEPT_FRAMES, *x.shape[1:]))
        elif resample.mode == "upsample3d":
            times, bias = 2, resample.time_conv.bias
            x = self._convolved(resample.time_conv, x, spatial=0)
        convolution = resample.resample[1]
        frames, height, width, _channels = x.shape
        out = x.new_empty(frames * times, 2 * height, 2 * width, convolution.out_channels)
        for some, here in zip(self._by_latent(x), self._by_latent(out), strict=True):
            made = _convolved_2d(channel_norm.enlarge(some, bias, times), convolution.weight, stride=1)
            channel_norm.settle(made, bias=convolution.bias, total=here)
        stream.value = out

    def _reduced(self, resample: Any, stream: _Stream) -> None:
        """Half the size, and after the first frame half as many."""
        self._before()
        self._settle(stream)
        convolution, x = resample.resample[1], stream.take()
        # Padded below and to the right alone; a row and a column of zeros in the weights do what a copy would.
        weight = self._once(convolution, lambda: _padded_before(convolution.weight))
        frames, height, width, _channels = x.shape
        out = x.new_empty(frames, height // 2, width // 2, convolution.out_channels)
        for some, here in zip(self._by_latent(x), self._by_latent(out), strict=True):
            channel_norm.settle(_convolved_2d(some, weight, stride=2), bias=convolution.bias, total=here)
        del x
        stream.value, stream.shared = out, False
        if resample.mode != "downsample3d":
            return
        over_time, each = resample.time_conv, len(out) // self._latents
        if self._first:
            self._remember(over_time, out)
            return
        out = torch.cat([self._kept[over_time], out])
        self._remember(over_time, out[-1:])
        made = [
            _convolved_3d(out[start : start + each + 1], over_time.weight, (2, 1, 1), 0)
            for start in range(0, len(out) - 1, each)
        ]
        stream.value, stream.bias = torch.cat(made), over_time.bias

    def _settle(self, stream: _Stream) -> None:
        """Have the stream's bias added."""
        if stream.bias is not None:
            channel_norm.settle(stream.value, bias=stream.bias, total=stream.value)
            stream.bias = None

    def _ready(self, stream: _Stream, following: _Next) -> list[Tensor]:
        """The one who holds what goes into the convolution."""
        if stream.opened is None:
            stream.opened = self._opened(following.convolution, stream.value.shape)
            channel_norm.settle(
                stream.value,
                bias=stream.bias,
                total=None if stream.bias is None else stream.value,
                gamma=self._gamma(following.norm),
                normed=stream.opened[KEPT_FRAMES:],
            )
            stream.bias = None
        opened, stream.opened = stream.opened, None
        return [opened]

    def _convolved(self, convolution: Any, x: Tensor, spatial: int = 1) -> Tensor:
        """A convolution over time of frames that lie elsewhere, without its bias."""
        channels, weight = x.shape[-1], None
        if channels * OVER_FRAMES <= MOST_FOLDED and spatial:
            weight = self._once(convolution, lambda: _folded_in(convolution.weight))
        opened = self._opened(convolution, x.shape, channels if weight is not None else 0)
        opened[KEPT_FRAMES:, ..., :channels].copy_(x)
        if opened.shape[-1] != channels:
            opened[KEPT_FRAMES:, ..., channels:].zero_()
        pieces = [piece for _place, piece in self._through(convolution, [opened], weight, spatial)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _opened(self, convolution: Any, shape: tuple[int, ...], channels: int = 0) -> Tensor:
        """(2 + T, H, W, C or more) for what goes into a convolution: what it remembers, and room for T frames.

        `channels` are those that there are to be; 0: as many as are good for it.
        """
        weight, own = convolution.weight, shape[-1]
        opened: Tensor = weight.new_empty(KEPT_FRAMES + shape[0], *shape[1:3], channels or _good_channels(own))
        kept = self._kept.get(convolution)
        before = opened[:KEPT_FRAMES]
        if kept is None:
            before.zero_()
            return opened
        before[..., :own].copy_(kept)
        if opened.shape[-1] != own:
            before[..., own:].zero_()
        return opened

    def _through(
        self, convolution: Any, holder: list[Tensor], weight: Tensor | None = None, spatial: int = 1
    ) -> Iterator[tuple[slice, Tensor]]:
        """What the convolution makes of the frames of each latent frame, without its bias; and which frames they are.

        It remembers the last two. What `holder` holds is freed before the last piece is given. `weight` is the
        convolution's in another form: folded, where it has four dimensions.
        """
        opened = holder.pop()
        frames = len(opened) - KEPT_FRAMES
        each = frames // self._latents
        if weight is None:
            weight = convolution.weight
            if opened.shape[-1] != convolution.in_channels:
                weight = self._once(convolution, lambda: _filled_up(convolution.weight, opened.shape[-1]))
        own = convolution.in_channels
        for start in range(0, frames, each):
            some = opened[start : start + each + KEPT_FRAMES]
            if weight.ndim == 4:
                piece = _convolved_folded(some, weight, convolution)
            else:
                piece = _convolved_3d(some, weight, 1, spatial)
            if start + each == frames:
                self._remember(convolution, opened[-KEPT_FRAMES:, ..., :own])
                del some, opened
            yield slice(start, start + each), piece

    def _remember(self, convolution: nn.Module, frames: Tensor) -> None:
        """Keep a copy of the last frames that went into the convolution."""
        kept = self._kept.get(convolution)
        if kept is None:
            self._kept[convolution] = frames.clone(memory_format=torch.contiguous_format)
        else:
            kept.copy_(frames)

    def _gamma(self, norm: Any) -> Tensor:
        """(C): a norm's weight times its own factor."""
        if isinstance(norm.bias, Tensor):
            raise TypeError("a norm of the autoencoder has a bias")
        return self._once(norm, lambda: norm.gamma.flatten().float() * norm.scale)

    def _once(self, part: nn.Module, make: Callable[[], Tensor]) -> Tensor:
        if part not in self._made:
            self._made[part] = make()
        return self._made[part]


def _behind(place: slice) -> slice:
    """The same frames where what is remembered stands before them."""
    return slice(place.start + KEPT_FRAMES, place.stop + KEPT_FRAMES)


def _good_channels(channels: int) -> int:
    """So many that the kernels for them are the quick ones: cuDNN's for Hopper take 64 at a time."""
    full = -(-channels // GOOD_CHANNELS) * GOOD_CHANNELS
    return full if full <= MOST_FILLING * channels else channels


def _frames_first(tensor: Tensor) -> Tensor:
    """(T, H, W, C) of (1, C, T, H, W), a view."""
    return tensor[0].permute(1, 2, 3, 0)


def _convolved_3d(opened: Tensor, weight: Tensor, stride: int | tuple[int, int, int], spatial: int) -> Tensor:
    x = opened.permute(3, 0, 1, 2).unsqueeze(0)
    out = F.conv3d(x, weight, None, stride, (0, spatial, spatial))
    return _frames_first(out).contiguous()


def _convolved_2d(pictures: Tensor, weight: Tensor, stride: int) -> Tensor:
    out = F.conv2d(pictures.permute(0, 3, 1, 2), weight, None, stride, 1)
    return out.permute(0, 2, 3, 1).contiguous()


def _convolved_folded(opened: Tensor, weight: Tensor, convolution: Any) -> Tensor:
    """A convolution over three frames as one over their channels: of those that go in, or of those that come out."""
    frames = len(opened) - KEPT_FRAMES
    if weight.shape[0] == convolution.out_channels:
        own = opened.shape[-1]
        joined = opened.new_zeros(frames, *opened.shape[1:3], weight.shape[1])
        for back in range(OVER_FRAMES):
            joined[..., back * own : (back + 1) * own] = opened[back : back + frames]
        return _convolved_2d(joined, weight, stride=1)
    out, parts = convolution.out_channels, _convolved_2d(opened, weight, stride=1)
    first, *others = (
        parts[back : back + frames, ..., back * out : (back + 1) * out].float() for back in range(OVER_FRAMES)
    )
    return sum(others, first)


def _pointwise(convolution: Any, x: Tensor) -> Tensor:
    """A convolution of one pixel alone: a product of matrices."""
    return F.linear(x, convolution.weight.flatten(1), convolution.bias)


def _filled_up(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight with zeros for channels that are not there."""
    missing = channels - weight.shape[1]
    filled = F.pad(weight.contiguous(), (0, 0, 0, 0, 0, 0, 0, missing))
    return filled.contiguous(memory_format=torch.channels_last_3d)


def _folded_in(weight: Tensor) -> Tensor:
    """(O, I, 3, k, k) as (O, 3 I and more, k, k), the earliest frame's channels first."""
    flat = weight.transpose(1, 2).flatten(1, 2)
    missing = -flat.shape[1] % EVEN_CHANNELS
    return F.pad(flat, (0, 0, 0, 0, 0, missing)).contiguous(memory_format=torch.channels_last)


def _folded_out(weight: Tensor) -> Tensor:
    """(O, I, 3, k, k) as (3 O and more, I and more, k, k), the earliest frame's channels first."""
    flat = weight.permute(2, 0, 1, 3, 4).flatten(0, 1)
    out, own = -flat.shape[0] % EVEN_CHANNELS, _good_channels(flat.shape[1]) - flat.shape[1]
    return F.pad(flat, (0, 0, 0, 0, 0, own, 0, out)).contiguous(memory_format=torch.channels_last)


def _padded_before(weight: Tensor) -> Tensor:
    """A weight (O, I, 3, 3) as (O, I, 4, 4), which begins with zeros."""
    return F.pad(weight.contiguous(), (1, 0, 1, 0)).contiguous(memory_format=torch.channels_last)


def _add_spread(total: Tensor, source: Tensor, shortcut: Any, first: bool) -> None:
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


def _add_averaged(total: Tensor, source: Tensor, shortcut: Any) -> None:
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


def _unpatched(pictures: Tensor, patch: int) -> Tensor:
    """(F, H, W, C) of (F, h, w, C patch patch)."""
    frames, height, width, channels = pictures.shape
    parts = pictures.view(frames, height, width, channels // patch**2, patch, patch)
    return parts.permute(0, 1, 5, 2, 4, 3).reshape(frames, height * patch, width * patch, -1)


def _patched(pixels: Tensor, patch: int) -> Tensor:
    """(F, h, w, C patch patch) of (F, H, W, C)."""
    frames, height, width, channels = pixels.shape
    parts = pixels.view(frames, height // patch, patch, width // patch, patch, channels)
    return parts.permute(0, 1, 3, 5, 4, 2).reshape(frames, height // patch, width // patch, -1)
