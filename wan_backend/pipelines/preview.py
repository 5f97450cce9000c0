"""A rough picture of a take from its latents alone: one matrix leads from a latent's channels to a color.

The matrices are in latent_colors.json, each with the means of the autoencoder that it was fitted to, by which it is
found. Those of Wan 2.1 and 2.2 are the published ones (comfy/latent_formats.py); the embedded model's is fitted by
`tools.embedded_model.latent_colors`. For an autoencoder that is not there, nothing is shown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

FILE = Path(__file__).with_name("latent_colors.json")
NEAR = 1e-3
"""Means that differ by less belong to the same autoencoder."""
SIDE = 384
"""The longer side of a preview, in pixels."""


@dataclass(frozen=True)
class LatentColors:
    """Red, green and blue, -1 to 1, as weighted sums of normalized latents."""

    weights: torch.Tensor
    """(C, 3)"""
    bias: torch.Tensor
    """(3,)"""

    @classmethod
    def of(cls, vae_config: Mapping[str, Any]) -> LatentColors | None:
        """The colors for the autoencoder of that configuration; None if they are not known."""
        mean = vae_config.get("latents_mean") or []
        for known in _known():
            if len(known["latents_mean"]) == len(mean) and _near(known["latents_mean"], mean):
                return cls(torch.tensor(known["weights"]), torch.tensor(known["bias"]))
        return None

    def picture(self, latents: torch.Tensor) -> np.ndarray:
        """(H, W, 3) uint8 RGB of one latent frame (C, h, w); its longer side is SIDE pixels or less."""
        frame = latents.detach().float().to("cpu")
        colors = torch.einsum("chw,ck->khw", frame, self.weights) + self.bias.view(3, 1, 1)
        scale = SIDE / max(colors.shape[1:])
        size = [max(1, round(extent * scale)) for extent in colors.shape[1:]]
        large = torch.nn.functional.interpolate(colors[None], size=size, mode="bicubic", align_corners=False)[0]
        levels = large.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        picture: np.ndarray = levels.permute(1, 2, 0).contiguous().numpy()
        return picture


@cache
def _known() -> list[dict[str, Any]]:
    known: list[dict[str, Any]] = json.loads(FILE.read_text("ascii"))["autoencoders"]
    return known


def _near(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(abs(a - b) < NEAR for a, b in zip(first, second, strict=True))
