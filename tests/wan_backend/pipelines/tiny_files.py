"""Random tiny autoencoders with the keys, and the rule for the shapes, of the published files. May import torch."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTHS = (256, 128, 64, 64)
"""Of the published files."""
SMALL = (8, 6, 4, 4)


def shapes(latents: int, patch: int, widths: tuple[int, ...] = WIDTHS, spreads: tuple[int, ...] = (1, 2, 2)):
    """Key -> shape of a published file's decoder, written down from its listing of layers."""
    found = {"decoder.1.weight": (widths[0], latents, 3, 3), "decoder.1.bias": (widths[0],)}
    for stage, first in enumerate((3, 9, 15)):
        width = widths[stage]
        for block in range(first, first + 3):
            for layer, inputs in ((0, 2 * width), (2, width), (4, width)):
                found[f"decoder.{block}.conv.{layer}.weight"] = (width, inputs, 3, 3)
                found[f"decoder.{block}.conv.{layer}.bias"] = (width,)
        found[f"decoder.{first + 4}.conv.weight"] = (width * spreads[stage], width, 1, 1)
        found[f"decoder.{first + 5}.weight"] = (widths[stage + 1], width, 3, 3)
    found["decoder.22.weight"], found["decoder.22.bias"] = (3 * patch**2, widths[3], 3, 3), (3 * patch**2,)
    return found


def weights(latents: int = 16, patch: int = 1, **more) -> dict[str, torch.Tensor]:
    """Random ones, loud enough to paint, too quiet to clip, and something of an encoder, which is to be passed over."""
    generator = torch.Generator().manual_seed(latents)
    made = {}
    for key, shape in shapes(latents, patch, **{"widths": SMALL, **more}).items():
        scale = 0.1 if len(shape) == 1 else (1.0 / (shape[1] * shape[2] * shape[3])) ** 0.5
        made[key] = torch.randn(shape, generator=generator) * scale
    made["decoder.22.weight"] *= 0.2
    made["decoder.22.bias"] += 0.5
    return {**made, "encoder.0.weight": torch.zeros(2, 3, 3, 3)}


def write(file: Path, latents: int = 16, patch: int = 1, **more) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.half() for key, value in weights(latents, patch, **more).items()}, file)
    return file
