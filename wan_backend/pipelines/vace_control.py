"""Control latents for a VACE transformer. May import torch, diffusers and stopping."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, WanResidualBlock

from .stopping import ShouldStop, checked, never


def blank(vae: Any, frames: int, width: int, height: int, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, 96, T, h, w) control that leaves everything to the model: grey frames under an all-white mask.

    What WanVACEPipeline makes where it is given no video. Its kept and its changing half are the same grey
    film, so it is encoded once.
    """
    grey = torch.zeros(1, 3, frames, height, width, device=vae.device, dtype=vae.dtype)
    latents = encode(vae, grey, should_stop)
    factor = spatial_factor(vae)
    white = torch.ones(1, factor * factor, *latents.shape[2:], device=latents.device)
    return torch.cat([latents, latents, white.to(latents.dtype)], dim=1)


@torch.no_grad()
def encode(vae: Any, pixels: torch.Tensor, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, C, T, h, w) latents, normalised for the transformer, of (1, 3, frames, H, W) pixels in -1 to 1."""
    blocks = [part for part in vae.encoder.modules() if isinstance(part, WanResidualBlock | WanResample)]
    try:
        with checked(blocks, should_stop):
            latents = vae.encode(pixels).latent_dist.mode().float()
    finally:
        vae.clear_cache()
    mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(1, -1, 1, 1, 1)
    inverse = 1.0 / torch.tensor(vae.config.latents_std, device=latents.device).view(1, -1, 1, 1, 1)
    return ((latents - mean) * inverse).to(vae.dtype)


def spatial_factor(vae: Any) -> int:
    """How many pixels of a side one latent stands for."""
    return int(2 ** len(vae.config.temperal_downsample))
