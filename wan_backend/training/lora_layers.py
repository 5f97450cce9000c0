"""The adapters that are trained: PEFT's, beside the linear layers of a transformer's own blocks.

PEFT keeps them; the product is ours. PEFT's adds the adapter's result in three passes over a tensor of the layer's
width, and keeps more of them for the way back. Here it is added where the layer's own result is written, and a weight
in 8 bit is made wide again on the way back, not kept wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

ADAPTER = "trained"
TARGETS = r"blocks\.\d+\.(?:attn[12]\.to_(?:q|k|v|out\.0)|ffn\.net\.(?:0\.proj|2))"
"""Not the control's blocks, nor what reads the pictures' tokens: a LoRA for one Wan of a width so fits the others."""
_ATTENTION = tuple(
    getattr(torch.ops.aten, name).default
    for name in (
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
    )
)


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


def keep_little(transformer: Any, keeps_attention: bool) -> None:
    """Have the transformer keep only what stands between its blocks for the way back, and what attention gave.

    All else of a block is computed again. With `keeps_attention` False, attention is computed again, too.
    """
    contexts = partial(create_selective_checkpoint_contexts, _policy) if keeps_attention else None

    def run(block: Callable[..., Any], *inputs: Any) -> Any:
        more = {"context_fn": contexts} if contexts is not None else {}
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, **more)

    transformer.enable_gradient_checkpointing(run)


def _policy(_context: Any, op: Any, *_arguments: Any, **_more: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in _ATTENTION else CheckpointPolicy.PREFER_RECOMPUTE


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
    return _Product.apply(states, base.weight, scale, base.bias, down, up)  # type: ignore[no-untyped-call, no-any-return]


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
