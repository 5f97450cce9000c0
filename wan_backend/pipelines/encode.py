"""Pixels to latents, a latent frame at a time, and how many pixels one latent covers.

AutoencoderKLWan is causal: a latent frame needs only the pictures up to its own, and of those before it only what the
encoder's convolutions keep. So pictures are brought to the device a few at a time, however long the film is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ..loading.diffusers_internals import WanResample, WanResidualBlock, patchify
from ..planning.lengths import latent_frames
from . import channels_last_autoencoder, channels_last_film, tiles
from .stopping import ShouldStop, check, checked, never

PICTURES_A_LATENT = channels_last_autoencoder.PICTURES_A_LATENT
"""Pictures in a latent frame; the first latent frame is one picture alone."""


def spatial_factor(config: Mapping[str, Any]) -> int:
    """How many pixels of a side one latent covers, by the autoencoder's configuration."""
    stated = config.get("scale_factor_spatial")
    if stated:
        return int(stated)
    halvings = len(config.get("temperal_downsample", (False, True, True)))
    return int(2**halvings * (config.get("patch_size") or 1))


@dataclass(frozen=True)
class Film:
    """`frames` pictures of one size; those that `pictures` does not hold are gray (0 of -1 to 1)."""

    frames: int
    width: int
    height: int
    pictures: Mapping[int, np.ndarray]
    """Frame -> (H, W, 3) uint8 RGB."""

    def pixels(self, start: int, end_exclusive: int) -> torch.Tensor:
        """(1, 3, frames, H, W) float32 in -1 to 1, on the CPU."""
        pixels = torch.zeros(1, 3, end_exclusive - start, self.height, self.width)
        for index, frame in enumerate(range(start, end_exclusive)):
            picture = self.pictures.get(frame)
            if picture is not None:
                levels = torch.tensor(picture).permute(2, 0, 1)
                pixels[0, :, index] = levels.float().div(255).mul(2).sub(1)
        return pixels

    def pixels_on(self, device: torch.device, start: int, end_exclusive: int) -> torch.Tensor:
        """(frames, H, W, 3), float32 from -1 to 1, on `device`; the pictures are copied there as bytes."""
        pixels = torch.zeros(end_exclusive - start, self.height, self.width, 3, device=device)
        for index, frame in enumerate(range(start, end_exclusive)):
            picture = self.pictures.get(frame)
            if picture is not None:
                levels = torch.tensor(picture).to(device)
                pixels[index] = levels.float().div(255).mul(2).sub(1)
        return pixels

    def under(self, tile: tiles.Tile) -> Film:
        """The film under `tile`, which is in pixels; its pictures are views of these."""
        height, width = tile.rows.end - tile.rows.start, tile.columns.end - tile.columns.start
        rows, columns = slice(tile.rows.start, tile.rows.end), slice(tile.columns.start, tile.columns.end)
        pictures = {frame: picture[rows, columns] for frame, picture in self.pictures.items()}
        return Film(self.frames, width, height, pictures)


def encode(vae: Any, film: Film, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, C, T, h, w) latents of `film`, normalized for the transformer, in the autoencoder's dtype.

    Equals `vae.encode` of the whole film; if it is larger than `vae.tile_pixels`, nearly so. Raises Stopped between
    the encoder's blocks; its cache is empty afterwards, whatever happened.
    """
    factor = spatial_factor(vae.config)
    cuts = tiles.cut(film.height // factor, film.width // factor, factor, tiles.tile_pixels(vae))
    if len(cuts) == 1:
        return normalize(vae, _encode(vae, film, should_stop))
    return normalize(
        vae, tiles.join_latents(cuts, lambda tile: _encode(vae, film.under(tile.times(factor)), should_stop))
    )


def _encode(vae: Any, film: Film, should_stop: ShouldStop) -> torch.Tensor:
    """(1, C, T, h, w) latents, not normalized."""
    if channels_last_autoencoder.is_suitable(vae):
        try:
            return channels_last_film.encode_film(vae, film.frames, partial(film.pixels_on, vae.device), should_stop)
        except channels_last_film.FAILURES as error:
            if not channels_last_film.can_fall_back(vae, error):
                raise
    blocks = [module for module in vae.encoder.modules() if isinstance(module, WanResidualBlock | WanResample)]
    pieces = []
    try:
        vae.clear_cache()
        with torch.no_grad(), checked(blocks, should_stop):
            for index in range(latent_frames(film.frames)):
                check(should_stop)
                start = max(0, PICTURES_A_LATENT * (index - 1) + 1)
                pixels = film.pixels(start, PICTURES_A_LATENT * index + 1)
                pieces.append(_encode_one(vae, pixels.to(vae.device, vae.dtype)))
    finally:
        vae.clear_cache()
    return torch.cat(pieces, dim=2)


def normalize(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """The transformer's latents from the autoencoder's: minus its mean, divided by its standard deviation."""
    mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(1, -1, 1, 1, 1)
    inverse = 1.0 / torch.tensor(vae.config.latents_std, device=latents.device).view(1, -1, 1, 1, 1)
    return ((latents.float() - mean) * inverse).to(vae.dtype)


def _encode_one(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The most likely latents of one picture, or of the next four."""
    if vae.config.patch_size is not None:
        pixels = patchify(pixels, patch_size=vae.config.patch_size)
    vae._enc_conv_idx = [0]
    moments = vae.quant_conv(vae.encoder(pixels, feat_cache=vae._enc_feat_map, feat_idx=vae._enc_conv_idx))
    return moments.chunk(2, dim=1)[0]
