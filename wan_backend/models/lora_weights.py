"""The numbers of a LoRA file, by diffusers' names of layers. May import torch, lora_file and lora_fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from . import lora_fit
from .lora_file import Unusable, read
from .transformer_shapes import Shapes


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


def load(file: Path, shapes: Shapes) -> Weights:
    """The file's weights, checked against the transformer's `shapes`; raises Unusable."""
    content = lora_fit.check(read(file), shapes)
    try:
        with safe_open(file, framework="pt") as tensors:
            layers = {name: _factors(tensors.get_tensor, layer) for name, layer in content.layers.items()}
            differences = {name: tensors.get_tensor(key) for name, key in content.differences.items()}
    except (OSError, SafetensorError) as error:
        raise Unusable(f"can't be read ({str(error)[:200]}); download it again") from error
    return Weights(layers, differences)


def _factors(tensor: object, layer: lora_fit.Layer) -> Factors:
    assert callable(tensor)
    down, up = tensor(layer.down), tensor(layer.up)
    alpha = float(tensor(layer.alpha)) if layer.alpha else layer.told_alpha
    return Factors(down, up, float(down.shape[0]) if alpha is None else alpha)
