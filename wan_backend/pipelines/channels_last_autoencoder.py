"""AutoencoderKLWan run channels last, several latent frames at a time, as a graphics card computes it fastest.

Weights and sums are those of diffusers. Its forward keeps tensors as NCTHW, which cuDNN transposes and transposes back,
and it needs three copies for each convolution (cached frames, padding, joining), seven kernels for each norm and one
for each bias. Here tensors are (T, H, W, C), each norm writes right behind the two frames that its convolution has
cached, the convolution pads by itself, and bias, shortcut, norm and SiLU are one pass (`channel_norm`). A film has the
same bits in chunks of any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..loading.diffusers_internals import (
    WanAttentionBlock,
    WanResample,
    WanResidualBlock,
    WanResidualDownBlock,
    WanResidualUpBlock,
    WanUpBlock,
)
from . import channel_norm
from . import channels_last_convolutions as convolutions
from .channels_last_convolutions import CACHED_FRAMES, KERNEL_FRAMES, MAX_FOLDED_CHANNELS

PICTURES_A_LATENT = 4
"""Pictures in a latent frame; the first latent frame is one picture alone."""
ALIGNED = 64
"""Tensors begin at multiples of this many numbers if they share memory."""
MIN_CAPABILITY = (8, 0)
"""The lowest compute capability of an NVIDIA card with arithmetic in bfloat16."""


def is_suitable(vae: Any) -> bool:
    """Whether `vae` should run this way on the device that it is on; False once that has failed (`turn_off`)."""
    device = vae.device
    if device.type != "cuda" or getattr(vae, "runs_plainly", False) or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= MIN_CAPABILITY


def turn_off(vae: Any) -> None:
    """Have `vae` run as diffusers runs it from now on, with its weights laid out as they were loaded."""
    vae.runs_plainly = True
    restore_layout(vae)


def use_channels_last(vae: Any) -> None:
    """Lay out the weights of the convolutions channels last, which they stay when they are moved."""
    _set_layout(vae, torch.channels_last_3d, torch.channels_last)


def restore_layout(vae: Any) -> None:
    """Lay out the weights as they were loaded."""
    _set_layout(vae, torch.contiguous_format, torch.contiguous_format)


def _set_layout(vae: Any, in_five: torch.memory_format, in_four: torch.memory_format) -> None:
    for module in vae.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            form = in_five if isinstance(module, nn.Conv3d) else in_four
            if not module.weight.is_contiguous(memory_format=form):
                module.weight.data = module.weight.data.contiguous(memory_format=form)


def compile_ahead(device: torch.device, config: Mapping[str, Any], findings: Path | None = None) -> None:
    """Begin to compile the kernels for an autoencoder of that config, in a thread.

    `findings` is the file with the results of trials.
    """
    if device.type == "cuda":
        width_pairs = set()
        for base in {
            int(config.get("base_dim", 96)),
            int(config.get("decoder_base_dim") or config.get("base_dim", 96)),
        }:
            widths = [base * times for times in config.get("dim_mult", (1, 2, 4, 4))]
            width_pairs |= {(width, convolutions.padded_channels(width)) for width in widths}
        channel_norm.compile_ahead(device, sorted(width_pairs), findings)


class _Stream:
    """What goes from block to block: (T, H, W, C) frames, and the next convolution's input if it is made already.

    `bias`, if there is one, is still to be added to `value`. If `shared` is true, something else holds `value`,
    and it must not be changed.
    """

    def __init__(self, value: Tensor, bias: Tensor | None = None) -> None:
        self.value, self.bias = value, bias
        self.inputs: Tensor | None = None
        self.shared = False

    def take(self) -> Tensor:
        """The frames, which the stream lets go of."""
        value = self.value
        del self.value
        return value


@dataclass(frozen=True)
class _Next:
    """The norm and the convolution that come next."""

    norm: Any
    convolution: Any


class FilmPass:
    """One film's pass through an autoencoder, from its first picture on.

    Convolutions and matrix products take the frames of one latent frame at a time, however many come in one call, so
    that libraries choose the same kernels and the result is the same bit for bit. `before_block` is called before each
    block, and may raise. Nothing of the pass stays in the autoencoder.
    """

    def __init__(self, vae: Any, before_block: Callable[[], None] = lambda: None) -> None:
        self._vae, self._before = vae, before_block
        self._cached: dict[nn.Module, Tensor] = {}
        """The last frames that each convolution over time has seen."""
        self._derived: dict[nn.Module, Tensor] = {}
        """Factors of norms and rearranged weights, made once for the film."""
        self._first = True
        self._latents = 1
        """The latent frames of the current call."""

    @torch.no_grad()
    def decode(self, hidden: Tensor) -> Tensor:
        """Pictures (F, H, W, colors), float32 from about -1 to 1, of (1, C, T, h, w) latents after `post_quant_conv`.

        The first call must be for the first latent frame alone, which is one picture; later ones return 4 T pictures.
        """
        decoder, self._latents = self._vae.decoder, hidden.shape[2]
        stream = _Stream(
            self._convolve_frames(decoder.conv_in, convolutions.frames_first(hidden)), decoder.conv_in.bias
        )
        head = _Next(decoder.norm_out, decoder.conv_out)
        self._middle(decoder.mid_block, stream)
        for block in decoder.up_blocks:
            following = head if block is decoder.up_blocks[-1] else None
            if isinstance(block, WanResidualUpBlock):
                self._up_with_shortcut(block, stream, following)
            elif isinstance(block, WanUpBlock):
                self._blocks(block.resnets, stream, following)
                for resample in block.upsamplers or ():
                    self._upsample(resample, stream)
            else:
                raise TypeError(f"the decoder has a {type(block).__name__}")
        pictures = self._head(decoder, stream)
        self._first = False
        patch = self._vae.config.patch_size
        return pictures if patch is None else convolutions.unpatch(pictures, patch)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """Moments (1, 2 C, T, h, w) of (F, H, W, 3) pixels: of the first picture alone, later of 4 T at a time."""
        vae, encoder = self._vae, self._vae.encoder
        self._latents = max(1, len(pixels) // PICTURES_A_LATENT)
        pixels = pixels if vae.config.patch_size is None else convolutions.patch(pixels, vae.config.patch_size)
        stream = _Stream(self._convolve_frames(encoder.conv_in, pixels), encoder.conv_in.bias)
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
                self._downsample(block, stream)
        self._middle(encoder.mid_block, stream, _Next(encoder.norm_out, encoder.conv_out))
        out = self._head(encoder, stream).to(pixels.dtype)
        self._first = False
        moments = [convolutions.convolve_pointwise(vae.quant_conv, some) for some in self._by_latent(out)]
        return torch.cat(moments).permute(3, 0, 1, 2).unsqueeze(0)

    def compact(self) -> None:
        """Move the cached frames together after the first call, since they stay in place until the film's end.

        Where the first picture left them, they would split the free memory into pieces too small for the chunks.
        """
        sizes = [-(-kept.numel() // ALIGNED) * ALIGNED for kept in self._cached.values()]
        if not sizes:
            return
        flat = next(iter(self._cached.values())).new_empty(sum(sizes))
        for (convolution, kept), room in zip(list(self._cached.items()), flat.split(sizes), strict=True):
            self._cached[convolution] = room[: kept.numel()].view(kept.shape).copy_(kept)
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
        """Run blocks of one size; the last one prepares the input of `following`."""
        row = list(blocks)
        for number, block in enumerate(row, start=1):
            self._before()
            after = row[number] if number < len(row) else None
            beyond = _Next(after.norm1, after.conv1) if isinstance(after, WanResidualBlock) else None
            beyond = following if after is None else beyond
            if isinstance(block, WanResidualBlock):
                self._residual(block, stream, beyond)
            elif isinstance(block, WanAttentionBlock):
                self._attention(block, stream)
            else:
                raise TypeError(f"the autoencoder has a {type(block).__name__}")

    def _residual(self, block: Any, stream: _Stream, following: _Next | None) -> None:
        inputs = self._take_input(stream, _Next(block.norm1, block.conv1))
        out = x = stream.take()
        if not isinstance(block.conv_shortcut, nn.Identity):
            out = x.new_empty(*x.shape[:-1], block.conv2.out_channels)
            for some, here in zip(self._by_latent(x), self._by_latent(out), strict=True):
                here.copy_(convolutions.convolve_pointwise(block.conv_shortcut, some))
            x = out
        elif stream.shared:
            out = torch.empty_like(x)
        middle: Tensor | None = None
        gamma, shape = self._factor(block.norm2), (*x.shape[:-1], block.conv2.in_channels)
        for place, piece in self._convolve(block.conv1, inputs):
            if middle is None:
                middle = self._new_input(block.conv2, shape)
            channel_norm.add_and_normalize(piece, bias=block.conv1.bias, gamma=gamma, normed=middle[_behind(place)])
        assert middle is not None
        inputs, middle = [middle], None
        beyond = None if following is None else self._factor(following.norm)
        for place, piece in self._convolve(block.conv2, inputs):
            if middle is None and following is not None:
                middle = self._new_input(following.convolution, out.shape)
            channel_norm.add_and_normalize(
                x[place], piece, block.conv2.bias, total=out[place], gamma=beyond,
                normed=None if middle is None else middle[_behind(place)],
            )  # fmt: skip
        stream.value, stream.inputs, stream.shared = out, middle, False

    def _attention(self, block: Any, stream: _Stream) -> None:
        """Attention within each frame."""
        self._add_bias(stream)
        height, width, channels = stream.value.shape[1:]
        gamma = self._factor(block.norm)
        for frame in stream.value.split(1):
            normed = torch.empty_like(frame)
            channel_norm.add_and_normalize(frame, gamma=gamma, normed=normed, silu=False)
            triple = convolutions.convolve_pointwise(block.to_qkv, normed).view(1, 1, height * width, 3 * channels)
            query, key, value = triple.chunk(3, dim=-1)
            out = F.scaled_dot_product_attention(query, key, value).view(frame.shape)
            channel_norm.add_and_normalize(frame, convolutions.convolve_pointwise(block.proj, out), total=frame)

    def _head(self, half: Any, stream: _Stream) -> Tensor:
        """(T, H, W, C) float32: the last norm and convolution."""
        self._before()
        convolution = half.conv_out
        inputs = self._take_input(stream, _Next(half.norm_out, convolution))
        stream.take()
        fold = len(convolution.weight) * KERNEL_FRAMES <= MAX_FOLDED_CHANNELS
        weight = self._once(convolution, lambda: convolutions.fold_outputs(convolution.weight)) if fold else None
        pieces = [
            piece.float() + convolution.bias.float() for _place, piece in self._convolve(convolution, inputs, weight)
        ]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _up_with_shortcut(self, block: Any, stream: _Stream, following: _Next | None) -> None:
        self._add_bias(stream)
        beginning = stream.value if block.avg_shortcut is not None else None
        stream.shared = beginning is not None
        self._blocks(block.resnets, stream, following)
        if block.upsampler is not None:
            self._upsample(block.upsampler, stream)
        if beginning is not None:
            convolutions.add_duplicated(stream.value, beginning, block.avg_shortcut, self._first)

    def _down_with_shortcut(self, block: Any, stream: _Stream) -> None:
        self._add_bias(stream)
        beginning, stream.shared = stream.value, True
        self._blocks(block.resnets, stream)
        if block.downsampler is not None:
            self._downsample(block.downsampler, stream)
            self._add_bias(stream)
        convolutions.add_averaged(stream.value, beginning, block.avg_shortcut)

    def _upsample(self, resample: Any, stream: _Stream) -> None:
        """Twice the size, and after the first frame twice as many."""
        self._before()
        self._add_bias(stream)
        x, times, bias = stream.take(), 1, None
        if resample.mode == "upsample3d" and self._first:
            # diffusers' layer skips the first frame, too, and takes zeros for it afterwards.
            self._cache(resample.time_conv, x.new_zeros(CACHED_FRAMES, *x.shape[1:]))
        elif resample.mode == "upsample3d":
            times, bias = 2, resample.time_conv.bias
            x = self._convolve_frames(resample.time_conv, x, spatial=0)
        convolution = resample.resample[1]
        frames, height, width, _channels = x.shape
        out = x.new_empty(frames * times, 2 * height, 2 * width, convolution.out_channels)
        for some, here in zip(self._by_latent(x), self._by_latent(out), strict=True):
            made = convolutions.convolve_2d(channel_norm.upsample(some, bias, times), convolution.weight, stride=1)
            channel_norm.add_and_normalize(made, bias=convolution.bias, total=here)
        stream.value = out

    def _downsample(self, resample: Any, stream: _Stream) -> None:
        """Half the size, and after the first frame half as many."""
        self._before()
        self._add_bias(stream)
        convolution, x = resample.resample[1], stream.take()
        # Padded below and to the right alone; a row and a column of zeros in the weights do what a copy would.
        weight = self._once(convolution, lambda: convolutions.pad_before(convolution.weight))
        frames, height, width, _channels = x.shape
        out = x.new_empty(frames, height // 2, width // 2, convolution.out_channels)
        for some, here in zip(self._by_latent(x), self._by_latent(out), strict=True):
            channel_norm.add_and_normalize(
                convolutions.convolve_2d(some, weight, stride=2), bias=convolution.bias, total=here
            )
        del x
        stream.value, stream.shared = out, False
        if resample.mode != "downsample3d":
            return
        over_time, each = resample.time_conv, len(out) // self._latents
        if self._first:
            self._cache(over_time, out)
            return
        out = torch.cat([self._cached[over_time], out])
        self._cache(over_time, out[-1:])
        made = [
            convolutions.convolve_3d(out[start : start + each + 1], over_time.weight, (2, 1, 1), 0)
            for start in range(0, len(out) - 1, each)
        ]
        stream.value, stream.bias = torch.cat(made), over_time.bias

    def _add_bias(self, stream: _Stream) -> None:
        """Add the stream's bias to its value."""
        if stream.bias is not None:
            channel_norm.add_and_normalize(stream.value, bias=stream.bias, total=stream.value)
            stream.bias = None

    def _take_input(self, stream: _Stream, following: _Next) -> list[Tensor]:
        """The input of the next convolution, in a list that alone holds it."""
        if stream.inputs is None:
            stream.inputs = self._new_input(following.convolution, stream.value.shape)
            channel_norm.add_and_normalize(
                stream.value,
                bias=stream.bias,
                total=None if stream.bias is None else stream.value,
                gamma=self._factor(following.norm),
                normed=stream.inputs[CACHED_FRAMES:],
            )
            stream.bias = None
        inputs, stream.inputs = stream.inputs, None
        return [inputs]

    def _convolve_frames(self, convolution: Any, x: Tensor, spatial: int = 1) -> Tensor:
        """A convolution over time of frames that aren't in its input yet, without its bias."""
        channels, weight = x.shape[-1], None
        if channels * KERNEL_FRAMES <= MAX_FOLDED_CHANNELS and spatial:
            weight = self._once(convolution, lambda: convolutions.fold_inputs(convolution.weight))
        inputs = self._new_input(convolution, x.shape, channels if weight is not None else 0)
        inputs[CACHED_FRAMES:, ..., :channels].copy_(x)
        if inputs.shape[-1] != channels:
            inputs[CACHED_FRAMES:, ..., channels:].zero_()
        pieces = [piece for _place, piece in self._convolve(convolution, [inputs], weight, spatial)]
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _new_input(self, convolution: Any, shape: tuple[int, ...], channels: int = 0) -> Tensor:
        """The input of a convolution, (2 + T, H, W, C or more): the frames that it has cached, and room for T.

        It gets `channels` channels; 0 stands for the number that is fastest.
        """
        weight, own = convolution.weight, shape[-1]
        inputs: Tensor = weight.new_empty(
            CACHED_FRAMES + shape[0], *shape[1:3], channels or convolutions.padded_channels(own)
        )
        kept = self._cached.get(convolution)
        before = inputs[:CACHED_FRAMES]
        if kept is None:
            before.zero_()
            return inputs
        before[..., :own].copy_(kept)
        if inputs.shape[-1] != own:
            before[..., own:].zero_()
        return inputs

    def _convolve(
        self, convolution: Any, holder: list[Tensor], weight: Tensor | None = None, spatial: int = 1
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield which frames of the input they are and the convolution's output, without bias, for each latent frame.

        The last two frames are cached. What `holder` holds is freed before the last output is given. `weight` is that
        of the convolution in another form, folded if it has four dimensions.
        """
        inputs = holder.pop()
        frames = len(inputs) - CACHED_FRAMES
        each = frames // self._latents
        if weight is None:
            weight = convolution.weight
            if inputs.shape[-1] != convolution.in_channels:
                weight = self._once(
                    convolution, lambda: convolutions.fill_up_inputs(convolution.weight, inputs.shape[-1])
                )
        own = convolution.in_channels
        for start in range(0, frames, each):
            some = inputs[start : start + each + CACHED_FRAMES]
            if weight.ndim == 4:
                piece = convolutions.convolve_folded(some, weight, convolution)
            else:
                piece = convolutions.convolve_3d(some, weight, 1, spatial)
            if start + each == frames:
                self._cache(convolution, inputs[-CACHED_FRAMES:, ..., :own])
                del some, inputs
            yield slice(start, start + each), piece

    def _cache(self, convolution: nn.Module, frames: Tensor) -> None:
        """Cache a copy of the last frames that the convolution has seen."""
        kept = self._cached.get(convolution)
        if kept is None:
            self._cached[convolution] = frames.clone(memory_format=torch.contiguous_format)
        else:
            kept.copy_(frames)

    def _factor(self, norm: Any) -> Tensor:
        """A norm's weight times its own factor, (C)."""
        if isinstance(norm.bias, Tensor):
            raise TypeError("a norm of the autoencoder has a bias")
        return self._once(norm, lambda: norm.gamma.flatten().float() * norm.scale)

    def _once(self, module: nn.Module, make: Callable[[], Tensor]) -> Tensor:
        if module not in self._derived:
            self._derived[module] = make()
        return self._derived[module]


def _behind(place: slice) -> slice:
    """The place of the same frames behind the cached ones."""
    return slice(place.start + CACHED_FRAMES, place.stop + CACHED_FRAMES)
