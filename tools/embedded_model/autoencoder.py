"""The embedded model's AutoencoderKLWan, and its forward pass over a whole clip at once.

diffusers codes a clip in chunks of one latent frame, which keeps memory small and a GPU idle, and
its three-dimensional convolutions are slow there in bfloat16. Training runs the same weights over
all frames in one go, each convolution as a flat one over three frames stacked as channels;
the tests hold both to equal numbers. May import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONFIG: dict[str, Any] = {
    "base_dim": 8,
    "decoder_base_dim": 8,
    "z_dim": 16,
    "dim_mult": [1, 6, 10, 12],  # the world is smooth: at half its size it is within 45 dB, so full size needs little
    "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}


_PHASES = [[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0.0, 0, 0], [1, 1, 0], [0, 0, 1]]]
"""For an even and an odd row of a picture made twice as large: which of its rows the three taps fall on."""


def _stack(x: Tensor) -> Tensor:
    """NTHWC to NTHW(3C): each frame with the two before it (black before the first)."""
    t = x.shape[1]
    x = torch.cat([torch.zeros_like(x[:, :1]), torch.zeros_like(x[:, :1]), x], dim=1)
    return torch.cat([x[:, :t], x[:, 1 : t + 1], x[:, 2:]], dim=-1)


def norm_silu(x: Tensor, gamma: Tensor) -> Tensor:
    """Wan's channel RMS norm with the SiLU that always follows it, in float32 inside; NTHWC."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().sum(-1, keepdim=True).clamp_min(1e-24))
    return F.silu(wide * (scale * x.shape[-1] ** 0.5) * gamma).to(x.dtype)


def stacked_norm_silu(x: Tensor, gamma: Tensor) -> Tensor:
    """The norm and SiLU of each frame, stacked with those of the two before it: what a convolution over time takes."""
    return _stack(norm_silu(x, gamma))


class WholeClip:
    """Encodes and decodes whole clips with the modules of one `AutoencoderKLWan`.

    Inside, activations are NTHWC. `fused` may be a compiled `stacked_norm_silu`.
    """

    def __init__(self, vae: Any, fused: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        self.vae = vae
        self.stacked = fused or stacked_norm_silu
        device = next(vae.parameters()).device
        self._phases = torch.tensor(_PHASES, device=device)

    def encode(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """NCTHW in -1..1 with 1+4k frames to the latents' mean and log variance."""
        coder = self.vae.encoder
        x = self._conv(coder.conv_in, clip.permute(0, 2, 3, 4, 1))
        for layer in coder.down_blocks:
            x = self._residual(layer, x) if hasattr(layer, "conv1") else self._resample(layer, x)
        x = self._middle(coder.mid_block, x)
        x = self._after_norm(coder.norm_out, coder.conv_out, x)
        moments = self._conv(self.vae.quant_conv, x).float().permute(0, 4, 1, 2, 3)
        mean, log_variance = moments.chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (not normalised) to NCTHW, not clamped."""
        coder = self.vae.decoder
        x = self._conv(self.vae.post_quant_conv, latents.permute(0, 2, 3, 4, 1))
        x = self._middle(coder.mid_block, self._conv(coder.conv_in, x))
        for block in coder.up_blocks:
            for layer in block.resnets:
                x = self._residual(layer, x)
            if block.upsamplers is not None:
                x = self._resample(block.upsamplers[0], x)
        x = self._after_norm(coder.norm_out, coder.conv_out, x)
        return x.float().permute(0, 4, 1, 2, 3)

    def _flat(self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1) -> Tensor:
        """A two-dimensional convolution on every frame, padded to keep the size."""
        n, t = x.shape[:2]
        frames = x.flatten(0, 1).permute(0, 3, 1, 2)
        if stride == 2:
            frames = F.conv2d(F.pad(frames, (0, 1, 0, 1)), weight, bias, stride=2)
        else:
            frames = F.conv2d(frames, weight, bias, padding=weight.shape[-1] // 2)
        return frames.permute(0, 2, 3, 1).unflatten(0, (n, t))

    def _conv(self, conv: Any, x: Tensor) -> Tensor:
        """A causal convolution: its time taps become channels of a flat one."""
        if conv.weight.shape[2] == 1:
            return self._flat(x, conv.weight[:, :, 0], conv.bias)
        return self._over_time(conv, _stack(x))

    def _after_norm(self, norm: Any, conv: Any, x: Tensor) -> Tensor:
        """A causal convolution of the normed and activated input."""
        return self._over_time(conv, self.stacked(x, norm.gamma.flatten()))

    def _over_time(self, conv: Any, stacked: Tensor) -> Tensor:
        return self._flat(stacked, conv.weight.transpose(1, 2).flatten(1, 2), conv.bias)

    def _residual(self, block: Any, x: Tensor) -> Tensor:
        shortcut = block.conv_shortcut
        kept = x if isinstance(shortcut, nn.Identity) else self._conv(shortcut, x)
        x = self._after_norm(block.norm1, block.conv1, x)
        return kept + self._after_norm(block.norm2, block.conv2, x)

    def _middle(self, block: Any, x: Tensor) -> Tensor:
        x = self._residual(block.resnets[0], x)
        x = self._attention(block.attentions[0], x)
        return self._residual(block.resnets[1], x)

    def _attention(self, block: Any, x: Tensor) -> Tensor:
        """Attention within each frame, one head."""
        n, t, h, w, c = x.shape
        wide = x.float()
        scale = torch.rsqrt(wide.square().sum(-1, keepdim=True).clamp_min(1e-24)) * c**0.5
        rows = (wide * scale * block.norm.gamma.flatten()).to(x.dtype).reshape(n * t, 1, h * w, c)
        qkv = F.linear(rows, block.to_qkv.weight[:, :, 0, 0], block.to_qkv.bias)
        q, k, v = (part.contiguous() for part in qkv.chunk(3, dim=-1))
        out = F.scaled_dot_product_attention(q, k, v)
        out = F.linear(out, block.proj.weight[:, :, 0, 0], block.proj.bias)
        return x + out.reshape(n, t, h, w, c)

    def _resample(self, layer: Any, x: Tensor) -> Tensor:
        conv = layer.resample[1]
        if layer.mode == "upsample3d":
            x = self._twice_as_long(layer, x)
        if layer.mode.startswith("upsample"):
            return self._twice_as_large(conv, x)
        x = self._flat(x, conv.weight, conv.bias, stride=2)
        if layer.mode == "downsample3d" and x.shape[1] > 1:
            conv = layer.time_conv
            taps = torch.cat([x[:, :-2:2], x[:, 1:-1:2], x[:, 2::2]], dim=-1)
            rest = self._flat(taps, conv.weight.transpose(1, 2).flatten(1, 2), conv.bias)
            x = torch.cat([x[:, :1], rest], dim=1)
        return x

    def _twice_as_large(self, conv: Any, x: Tensor) -> Tensor:
        """Each pixel becomes four, then the convolution: done at the small size, for the four phases at once."""
        n, t, h, w, _ = x.shape
        phases = self._phases.to(conv.weight)
        weight = torch.einsum("pai,qbj,ocij->pqocab", phases, phases, conv.weight)
        out = self._flat(x, weight.flatten(0, 2), conv.bias.repeat(4))
        out = out.unflatten(-1, (2, 2, -1)).permute(0, 1, 2, 4, 3, 5, 6)
        return out.reshape(n, t, 2 * h, 2 * w, out.shape[-1])

    def _twice_as_long(self, layer: Any, x: Tensor) -> Tensor:
        """The first frame stays alone; of each later one two are made, blind to the first."""
        if x.shape[1] == 1:
            return x
        rest = self._conv(layer.time_conv, x[:, 1:])
        n, t, h, w, c = rest.shape
        rest = rest.reshape(n, t, h, w, 2, c // 2).permute(0, 1, 4, 2, 3, 5)
        return torch.cat([x[:, :1], rest.reshape(n, 2 * t, h, w, c // 2)], dim=1)


def compiled_stacked_norm_silu() -> Callable[[Tensor, Tensor], Tensor]:
    """`stacked_norm_silu` as one kernel per number of channels."""
    compiled: Callable[[Tensor, Tensor], Tensor] = torch.compile(stacked_norm_silu, dynamic=True)

    def fused(x: Tensor, gamma: Tensor) -> Tensor:
        n, t, h, w, c = x.shape
        rows = x.reshape(n, t, h * w, c)
        torch._dynamo.mark_static(rows, 3)
        return compiled(rows, gamma).view(n, t, h, w, 3 * c)

    return fused
