"""Latents to pictures, a latent frame at a time.

AutoencoderKLWan is causal: a latent frame needs only what came before it, which the decoder's convolutions keep in a
cache. Frames leave the device as they are made, as bytes, and the whole film is never held. In tiles it is held,
because the frames are complete only when the last tile is. On cards that it suits, `channels_last_film` does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from ..loading import finite
from ..loading.diffusers_internals import WanResample, WanResidualBlock, unpatchify
from . import channels_last_autoencoder, channels_last_film, tiles
from .encode import PICTURES_A_LATENT, spatial_factor
from .stopping import ShouldStop, check, checked, never
from .transfers import NoPictures


def decode(
    vae: Any, latents: torch.Tensor, should_stop: ShouldStop = never, on_tile: tiles.OnTile = tiles.quiet
) -> Iterator[np.ndarray]:
    """Yield uint8 arrays (N, H, W, 3): first one frame, then four for each further latent frame.

    `latents` is (1, C, T, H, W) as `denoise` returns it. Equals `vae.decode` of the denormalized latents; if the
    picture is larger than `vae.tile_pixels`, nearly so, and `on_tile` is called for each latent frame of each tile.
    Raises Stopped between the decoder's blocks, and NoPictures; its cache is empty afterwards, whatever happened.
    """
    yielded = 0
    try:
        with torch.no_grad():
            hidden = vae.post_quant_conv(denormalize(vae, latents))
        if channels_last_autoencoder.is_suitable(vae):
            try:
                for pictures in _film(vae, hidden, should_stop, on_tile, channels_last=True):
                    yield pictures.numpy()
                    yielded += 1
                return
            except channels_last_film.FAILURES as error:
                if not channels_last_film.can_fall_back(vae, error):
                    raise
        for number, pictures in enumerate(_film(vae, hidden, should_stop, on_tile, channels_last=False)):
            if number >= yielded:
                yield pictures.numpy()
    finally:
        vae.clear_cache()


def _film(
    vae: Any, hidden: torch.Tensor, should_stop: ShouldStop, on_tile: tiles.OnTile, channels_last: bool
) -> Iterator[torch.Tensor]:
    """(N, H, W, 3) uint8 on the CPU for each latent frame."""
    factor = spatial_factor(vae.config)
    cuts = tiles.cut(hidden.shape[3], hidden.shape[4], factor, tiles.tile_pixels(vae))
    if len(cuts) == 1:
        if channels_last:
            return channels_last_film.decode_film(vae, hidden, should_stop)
        return (levels.round().to(torch.uint8).cpu() for levels in _levels(vae, hidden, should_stop))
    counts = [1] + (hidden.shape[2] - 1) * [PICTURES_A_LATENT]
    if channels_last:
        decoded = channels_last_film.tile_decoder(vae, hidden, should_stop)
    else:
        decoded = partial(_levels_of_tile, vae, hidden, should_stop)
    return tiles.join_film(cuts, factor, counts, decoded, on_tile)


def _levels_of_tile(
    vae: Any, hidden: torch.Tensor, should_stop: ShouldStop, tile: tiles.Tile
) -> Iterator[torch.Tensor]:
    return _levels(vae, tile.of(hidden), should_stop)


def _levels(vae: Any, hidden: torch.Tensor, should_stop: ShouldStop) -> Iterator[torch.Tensor]:
    """Levels (N, H, W, 3) from 0 to 255, not rounded, for each latent frame."""
    blocks = [module for module in vae.decoder.modules() if isinstance(module, WanResidualBlock | WanResample)]
    vae.clear_cache()
    for index in range(hidden.shape[2]):
        check(should_stop)
        # Not around the yield: these hooks must not act on what the caller does meanwhile.
        with torch.no_grad(), checked(blocks, should_stop):
            levels = _decode_one(vae, hidden[:, :, index : index + 1], first=index == 0)
        yield levels


def denormalize(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The autoencoder's latents from the transformer's: times its standard deviation, plus its mean."""
    latents = latents.to(vae.device, vae.dtype)
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1).to(latents)
    inverse = 1.0 / torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1).to(latents)
    return latents / inverse + mean


def _decode_one(vae: Any, hidden: torch.Tensor, first: bool) -> torch.Tensor:
    vae._conv_idx = [0]
    pictures = vae.decoder(hidden, feat_cache=vae._feat_map, feat_idx=vae._conv_idx, first_chunk=first)
    if vae.config.patch_size is not None:
        pictures = unpatchify(pictures, patch_size=vae.config.patch_size)
    if not finite.are_numbers(pictures):
        raise NoPictures
    return pictures[0].float().add(1).mul(127.5).clamp(0, 255).permute(1, 2, 3, 0).contiguous()
