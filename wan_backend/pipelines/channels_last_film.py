"""Whole films through `channels_last_autoencoder`, in chunks of latent frames.

Pictures go into pinned memory as bytes while the next chunk is computed, and with them whether they are finite: only
the caller who uses the pictures waits for the device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from itertools import pairwise
from typing import Any

import torch

from ..loading import devices
from . import channels_last_autoencoder, tiles
from .channels_last_autoencoder import PICTURES_A_LATENT, FilmPass
from .stopping import BlockPacer, ShouldStop, check
from .transfers import Transfer, ahead

log = logging.getLogger(__name__)

FAILURES = (RuntimeError, TypeError, ValueError, AttributeError)
"""Errors after which diffusers' own autoencoder takes over; running out of memory isn't one of them."""

BLOCKS_AHEAD = 6
"""How many blocks the CPU may queue ahead: the first ones of an autoencoder are over before the next are queued."""
Pixels = Callable[[int, int], torch.Tensor]
"""A function that returns pictures `start` to `end_exclusive`, (F, H, W, 3) from -1 to 1, on the device."""


def chunk_latents(vae: Any) -> int:
    """The number of latent frames that `vae` takes at once, which the residency sets as `vae.chunk_latents`."""
    return int(getattr(vae, "chunk_latents", 1))


def chunks(frames: int, most: int) -> list[slice]:
    """Slices of the latent frames: the first alone, the others in chunks of about the same size, at most `most`."""
    rest = frames - 1
    count = -(-rest // max(1, most))
    ends = [1 + rest * number // count for number in range(count + 1)] if count else [1]
    return [slice(0, 1), *(slice(start, end) for start, end in pairwise(ends))]


def can_fall_back(vae: Any, error: Exception) -> bool:
    """Whether diffusers' own forward may take over from what failed with `error`; then `vae` stays with that one."""
    if devices.is_out_of_memory(error):
        return False
    log.warning("the autoencoder goes on as diffusers runs it: %s", str(error).strip().split("\n")[0])
    channels_last_autoencoder.turn_off(vae)
    return True


def decode_film(vae: Any, hidden: torch.Tensor, should_stop: ShouldStop) -> Iterator[torch.Tensor]:
    """Yield (N, H, W, 3) uint8 on the CPU for each latent frame of `hidden` (1, C, T, h, w). Raises NoPictures."""

    def transfers() -> Generator[Transfer, None, None]:
        for levels, is_finite in _levels(vae, hidden, should_stop):
            yield Transfer.begin(levels.round_().to(torch.uint8), is_finite)

    for each in ahead(transfers()):
        yield from _by_latent(each.wait())


def tile_decoder(
    vae: Any, hidden: torch.Tensor, should_stop: ShouldStop
) -> Callable[[tiles.Tile], Iterator[torch.Tensor]]:
    """A function that yields a tile's levels (N, H, W, 3), not rounded, on the CPU for each latent frame."""

    def transfers(tile: tiles.Tile) -> Generator[Transfer, None, None]:
        for levels, is_finite in _levels(vae, tile.of(hidden), should_stop):
            yield Transfer.begin(levels, is_finite)

    def decoded(tile: tiles.Tile) -> Iterator[torch.Tensor]:
        for each in ahead(transfers(tile)):
            yield from _by_latent(each.wait())

    return decoded


def encode_film(vae: Any, frames: int, pixels: Pixels, should_stop: ShouldStop) -> torch.Tensor:
    """(1, C, T, h, w) latents of `frames` pictures, not normalized."""
    film_pass, pieces = _begin(vae, should_stop), []
    for chunk in chunks((frames - 1) // PICTURES_A_LATENT + 1, chunk_latents(vae)):
        check(should_stop)
        start = PICTURES_A_LATENT * (chunk.start - 1) + 1 if chunk.start else 0
        some = pixels(start, PICTURES_A_LATENT * (chunk.stop - 1) + 1).to(vae.dtype)
        pieces.append(film_pass.encode(some).chunk(2, dim=1)[0])
        del some
        if not chunk.start:
            film_pass.compact()
    return torch.cat(pieces, dim=2).contiguous()


def _levels(vae: Any, hidden: torch.Tensor, should_stop: ShouldStop) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Levels (N, H, W, 3) from 0 to 255 of each chunk, not rounded, and whether they are finite; on the device."""
    film_pass = _begin(vae, should_stop)
    for chunk in chunks(hidden.shape[2], chunk_latents(vae)):
        check(should_stop)
        levels = film_pass.decode(hidden[:, :, chunk])
        is_finite = torch.isfinite(levels).all()
        yield levels.add_(1).mul_(127.5).clamp_(0, 255), is_finite
        del levels
        if not chunk.start:
            film_pass.compact()


def _begin(vae: Any, should_stop: ShouldStop) -> FilmPass:
    channels_last_autoencoder.use_channels_last(vae)
    pacer = BlockPacer(should_stop, BLOCKS_AHEAD)
    return FilmPass(vae, lambda: pacer.enter(vae.device))


def _by_latent(frames: torch.Tensor) -> Iterator[torch.Tensor]:
    return iter(frames.split(PICTURES_A_LATENT))
