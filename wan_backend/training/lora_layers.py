"""The adapters that are trained: PEFT's, beside the linear layers of a transformer's own blocks.

PEFT keeps them; the product is ours. PEFT's adds the adapter's result in three passes over a tensor of the layer's
width, and keeps more of them for the way back. Here it is added where the layer's own result is written, and a weight
in 8 bit is made wide again on the way back, not kept wide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

ADAPTER = "trained"
TARGETS = r"blocks\.\d+\.(?:attn[12]\.to_(?:q|k|v|out\.0)|ffn\.net\.(?:0\.proj|2))"
"""Not the control's blocks, nor what reads the pictures' tokens: a LoRA for one Wan of a width so fits the others."""
CHUNK_BYTES = 64 << 20
"""Of the feed-forward's middle, at once: of the whole, the way back would keep three in memory."""


@dataclass
class Way:
    """Where a step is: on the way forward, or on the way back, on which blocks are computed again."""

    back: bool = False


def attach(transformer: Any, rank: int, seed: int, dtype: torch.dtype) -> dict[str, nn.Parameter]:
    """Put new adapters on the transformer; their factors by name, of which the first are random and the second 0.

    They are all that is trained of it; `dtype` is the number format that it computes in.
    """
    transformer.requires_grad_(False)
    transformer.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS, init_lora_weights=True), adapter_name=ADAPTER
    )
    found: dict[str, nn.Parameter] = {}
    for name, layer in layers(transformer):
        down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        down.data, up.data = _drawn(down.shape, seed, len(found)).to(dtype), torch.zeros(up.shape, dtype=dtype)
        found[f"{name}.lora_A.weight"], found[f"{name}.lora_B.weight"] = down, up
        layer.forward = partial(_forward, layer)
    return found


def layers(transformer: nn.Module) -> Iterator[tuple[str, Any]]:
    """The layers with an adapter, by diffusers' names."""
    for name, module in transformer.named_modules():
        if isinstance(module, LoraLayer) and ADAPTER in module.lora_A:
            yield name, module


def switch(transformer: Any, on: bool) -> None:
    """Have the adapters work, or the transformer be as it was without them."""
    for _, layer in layers(transformer):
        layer._disable_adapters = not on  # PEFT's own way also changes what is trained


def keep_little(transformer: Any, way: Way, whole_blocks: bool = False) -> None:
    """Have the transformer keep only what stands between its blocks for the way back, and compute all else again.

    With `whole_blocks`, what is within them is kept, too, but for the middle of the feed-forward.

    A block's feed-forward comes last in it: on the way back nobody asks for its result, so it isn't computed again, but
    for what its own gradients need, a share of the tokens at a time. `way` says when that is.
    """
    if not whole_blocks:
        transformer.enable_gradient_checkpointing(
            lambda block, *inputs: checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
        )
    for block in transformer.blocks:
        block.ffn.forward = partial(_feed_forward, block.ffn, way)


def _drawn(shape: torch.Size, seed: int, number: int) -> Tensor:
    """As PEFT draws them, but by the training's seed alone."""
    generator = torch.Generator("cpu").manual_seed((seed * 1_000_003 + number) % (1 << 63))
    return (torch.rand(shape, generator=generator) * 2 - 1) / shape[1] ** 0.5


def _forward(layer: Any, states: Tensor, *_arguments: Any, **_more: Any) -> Tensor:
    base = layer.base_layer
    if layer.disable_adapters:
        made: Tensor = base(states)
        return made
    scale = getattr(base, "weight_scale", None)
    down, up = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    product: Tensor = _Product.apply(states, base.weight, scale, base.bias, down, up)
    return product


def _wide(weight: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The weight as numbers to compute with, as `eight_bit.EightBitLinear` makes them."""
    return weight.to(dtype) if scale is None else weight.to(dtype).mul_(scale)


class _Product(torch.autograd.Function):
    """states @ weight.T + bias + states @ down.T @ up.T, of which states, down and up get gradients."""

    @staticmethod
    def forward(
        context: Any,
        states: Tensor,
        weight: Tensor,
        scale: Tensor | None,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
    ) -> Tensor:
        flat = states.reshape(-1, states.shape[-1])
        inner = flat @ down.t()
        made = nn.functional.linear(flat, _wide(weight, scale, states.dtype), bias)
        made.addmm_(inner, up.t())
        context.save_for_backward(states, weight, scale, down, up)
        return made.view(*states.shape[:-1], -1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, scale, down, up = context.saved_tensors
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        flat = states.reshape(-1, states.shape[-1])
        inner = gradient @ up
        of_up = gradient.t() @ (flat @ down.t())
        of_down = inner.t() @ flat
        of_states = None
        if context.needs_input_grad[0]:
            of_states = gradient @ _wide(weight, scale, gradient.dtype)
            of_states = of_states.addmm_(inner, down).view_as(states)
        return of_states, None, None, None, of_down, of_up


def _feed_forward(feed_forward: Any, way: Way, states: Tensor) -> Tensor:
    first, last = feed_forward.net[0].proj, feed_forward.net[2]
    if first.disable_adapters or not torch.is_grad_enabled():
        for module in feed_forward.net:
            states = module(states)
        return states
    made: Tensor = _FeedForward.apply(states, way, *_parts(first), *_parts(last))
    return made


def _parts(layer: Any) -> tuple[Tensor | None, ...]:
    """A layer's weight, its scale if it has one, its bias, and the factors of its adapter."""
    base = layer.base_layer
    scale = getattr(base, "weight_scale", None)
    return base.weight, scale, base.bias, layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight


def _layer(flat: Tensor, wide: Tensor, bias: Tensor | None, down: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer makes with its adapter, and what the adapter's first factor makes."""
    inner = flat @ down.t()
    return nn.functional.linear(flat, wide, bias).addmm_(inner, up.t()), inner


class _FeedForward(torch.autograd.Function):
    """Both layers with GELU between them; only what comes in is kept."""

    @staticmethod
    def forward(context: Any, states: Tensor, way: Way, *parts: Tensor | None) -> Tensor:
        context.save_for_backward(states, *parts)
        weight, scale, bias, down, up, weight_2, scale_2, bias_2, down_2, up_2 = parts
        assert weight is not None and weight_2 is not None
        assert down is not None and up is not None and down_2 is not None and up_2 is not None
        flat = states.reshape(-1, states.shape[-1])
        if way.back:
            return flat.new_zeros(*states.shape[:-1], weight_2.shape[0])
        wide, wide_2 = _wide(weight, scale, states.dtype), _wide(weight_2, scale_2, states.dtype)
        pieces = []
        for chunk in _chunks(flat, weight.shape[0]):
            middle = nn.functional.gelu(_layer(chunk, wide, bias, down, up)[0], approximate="tanh")
            pieces.append(_layer(middle, wide_2, bias_2, down_2, up_2)[0])
        return torch.cat(pieces).view(*states.shape[:-1], -1)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, scale, bias, down, up, weight_2, scale_2, _, down_2, up_2 = context.saved_tensors
        flat, gradient = states.reshape(-1, states.shape[-1]), gradients[0].reshape(-1, gradients[0].shape[-1])
        wide, wide_2 = _wide(weight, scale, states.dtype), _wide(weight_2, scale_2, states.dtype)
        sums = [torch.zeros_like(factor, dtype=torch.float32) for factor in (down, up, down_2, up_2)]
        pieces = []
        for chunk, given in zip(_chunks(flat, weight.shape[0]), _chunks(gradient, weight.shape[0]), strict=True):
            before, inner = _layer(chunk, wide, bias, down, up)
            middle = nn.functional.gelu(before, approximate="tanh")
            of_inner_2 = given @ up_2
            sums[3] += given.t() @ (middle @ down_2.t())
            sums[2] += of_inner_2.t() @ middle
            of_middle = (given @ wide_2).addmm_(of_inner_2, down_2)
            of_before = torch.ops.aten.gelu_backward(of_middle, before, approximate="tanh")
            of_inner = of_before @ up
            sums[1] += of_before.t() @ inner
            sums[0] += of_inner.t() @ chunk
            pieces.append((of_before @ wide).addmm_(of_inner, down))
        of_down, of_up, of_down_2, of_up_2 = (total.to(down.dtype) for total in sums)
        of_states = torch.cat(pieces).view_as(states)
        return of_states, None, None, None, None, of_down, of_up, None, None, None, of_down_2, of_up_2


def _chunks(flat: Tensor, widest: int) -> tuple[Tensor, ...]:
    """Shares of the rows, about alike, of which a tensor of `widest` columns takes CHUNK_BYTES at most."""
    return flat.tensor_split(max(1, -(-flat.shape[0] * widest * flat.element_size() // CHUNK_BYTES)))
