"""Latents to pictures, a latent frame at a time. May import torch, diffusers and stopping.

AutoencoderKLWan is causal: a latent frame needs only what came before it, which the decoder's convolutions
keep in a cache. Frames so leave the device as they come, as bytes, and the whole film is never held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample, WanResidualBlock, unpatchify

from .stopping import ShouldStop, check, checked, never


def decode(vae: Any, latents: torch.Tensor, should_stop: ShouldStop = never) -> Iterator[np.ndarray]:
    """Yield uint8 arrays (N, H, W, 3): first one frame, then four for each further latent frame.

    `latents` is (1, C, T, H, W) as `denoise` gives it. Equals `vae.decode` of the denormalised latents. Raises
    Stopped between the decoder's blocks; its cache is empty afterwards, whatever happened.
    """
    blocks = [part for part in vae.decoder.modules() if isinstance(part, WanResidualBlock | WanResample)]
    try:
        with torch.no_grad():
            hidden = vae.post_quant_conv(denormalise(vae, latents))
        vae.clear_cache()
        for index in range(hidden.shape[2]):
            check(should_stop)
            # Not around the yield: what the caller does there is none of these hooks' business.
            with torch.no_grad(), checked(blocks, should_stop):
                pictures = _decode_one(vae, hidden[:, :, index : index + 1], first=index == 0)
            yield pictures
    finally:
        vae.clear_cache()


def denormalise(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The transformer's latents as the autoencoder's: times its standard deviation, plus its mean."""
    latents = latents.to(vae.device, vae.dtype)
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(latents)
    inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(latents)
    return latents / inverse + mean


def _decode_one(vae: Any, hidden: torch.Tensor, first: bool) -> np.ndarray:
    vae._conv_idx = [0]
    pictures = vae.decoder(hidden, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, first_chunk=first)
    if vae.config.patch_size is not None:
        pictures = unpatchify(pictures, patch_size=vae.config.patch_size)
    levels = pictures[0].float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    array: np.ndarray = levels.permute(1, 2, 3, 0).contiguous().cpu().numpy()
    return array
