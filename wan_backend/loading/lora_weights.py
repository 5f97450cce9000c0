"""Reads the tensors of a LoRA file, by diffusers' names of layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..catalogue.transformer_shapes import Shapes
from ..lora import fit
from ..lora.lora_head import UnusableLora, read_lora_head
from ..protocol.sentences import Sentence
from . import devices, finite


@dataclass(frozen=True)
class Factors:
    """One layer's change: scale * up @ down."""

    down: torch.Tensor
    """(rank, inputs), or (rank, channels, t, h, w) of a convolution."""
    up: torch.Tensor
    """(outputs, rank), or (outputs, rank, 1, 1, 1)."""
    alpha: float
    """The scale is alpha / rank."""


@dataclass(frozen=True)
class Weights:
    """All that a file changes; the tensors are on the CPU, in the file's number format."""

    layers: dict[str, Factors]
    differences: dict[str, torch.Tensor]
    """By the parameter's name: what is added to it, of its shape."""


def load(file: Path, shapes: Shapes, expert: str = "") -> Weights:
    """The file's weights, checked against the transformer's `shapes` and looked at for what is no number.

    `expert`: of a file for two transformers, for which one. Raises UnusableLora.
    """
    content = fit.check_fit(read_lora_head(file), shapes, expert)
    try:
        with safe_open(file, framework="pt") as tensors:

            def get(key: str) -> torch.Tensor:
                found: torch.Tensor = tensors.get_tensor(key)
                if not finite.are_numbers(found):
                    raise _no_numbers(key)
                return found

            layers = {name: _factors(get, layer, shapes[f"{name}.weight"]) for name, layer in content.layers.items()}
            differences = {name: get(key).reshape(shapes[name]) for name, key in content.differences.items()}
            for name, layer in content.layers.items():
                _add_biases(get, f"{name}.bias", layer, layers[name], differences)
    except (OSError, SafetensorError) as error:
        if devices.is_out_of_memory(error):
            raise
        raise UnusableLora(Sentence("can't be read ({reason}); download it again", reason=str(error)[:200])) from error
    return Weights(layers, differences)


def _factors(get: Callable[[str], torch.Tensor], layer: fit.LoraLayer, weight: tuple[int, ...]) -> Factors:
    """The factors in the weight's number of sides: files have them flat, or with sides of one more."""
    down, up = get(layer.down), get(layer.up)
    rank = down.shape[0]
    down, up = down.reshape(rank, *weight[1:]), up.reshape(up.shape[0], rank, *[1] * (len(weight) - 2))
    alpha = layer.config_alpha
    if layer.alpha:
        found = get(layer.alpha)
        if found.numel() != 1:
            raise UnusableLora(
                Sentence(
                    "has an alpha that is not a single number, {alpha}; download it again", alpha=layer.alpha[:100]
                )
            )
        alpha = float(found)
    scale = float(rank) if alpha is None else alpha
    if not math.isfinite(scale):
        raise _no_numbers(layer.alpha or "lora_alpha")
    return Factors(down, up, scale)


def _add_biases(
    get: Callable[[str], torch.Tensor], name: str, layer: fit.LoraLayer, made: Factors, to: dict[str, torch.Tensor]
) -> None:
    """Add to the bias of the layer itself what the factors' own come to: scale * (up @ (down x + a) + b)."""
    rank = made.down.shape[0]
    total = torch.zeros(made.up.shape[0])
    if layer.down_bias:
        total += made.up.reshape(-1, rank).float() @ get(layer.down_bias).reshape(-1).float()
    if layer.up_bias:
        total += get(layer.up_bias).reshape(-1).float()
    if layer.down_bias or layer.up_bias:
        total *= made.alpha / rank
        to[name] = total + to[name].float() if name in to else total


def _no_numbers(key: str) -> UnusableLora:
    return UnusableLora(
        Sentence(
            "contains NaN or infinite numbers (in {key}), as a failed training leaves them; every "
            "take would be black. Get the file again, or use another LoRA",
            key=key[:100],
        )
    )
