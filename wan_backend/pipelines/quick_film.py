"""Whole films through `quick_autoencoder`, in chunks: pictures leave the card while the next chunk is in the works.

May import torch, models, the autoencoder's modules, tiles and ahead. Pictures come as bytes into pinned memory, and
with them whether they are numbers, so that nothing waits for the card but who wants the pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from ..loading import devices
from . import quick_autoencoder, tiles
from .ahead import ahead
from .quick_autoencoder import PICTURES_A_LATENT, Course
from .stopping import Gate, ShouldStop, check

log = logging.getLogger(__name__)

FAILURES = (RuntimeError, TypeError, ValueError, AttributeError)
"""What this way may fail with where diffusers' own goes on; memory that ran out is none of it."""

BLOCKS_AHEAD = 6
"""Of an autoencoder, whose first blocks are over sooner than the next are queued."""
Pixels = Callable[[int, int], torch.Tensor]
"""Pictures `start` to `end_exclusive`, (F, H, W, 3) in -1 to 1, on the device."""


class NoPictures(Exception):
    """What an autoencoder makes of these latents is no picture: its numbers ran over."""


def chunk_latents(vae: Any) -> int:
    """How many latent frames `vae` is to take at once, as `vae.chunk_latents` says."""
    return int(getattr(vae, "chunk_latents", 1))


def chunks(frames: int, most: int) -> list[slice]:
    """Latent frames in chunks: the first alone, the others `most` at a time or as near to that as makes them alike."""
    rest = frames - 1
    count = -(-rest // max(1, most))
    ends = [1 + rest * number // count for number in range(count + 1)] if count else [1]
    return [slice(0, 1), *(slice(start, end) for start, end in pairwise(ends))]


def may_go_on(vae: Any, error: Exception) -> bool:
    """Whether diffusers' way should do what failed here with `error`; then `vae` goes that way from now on."""
    if devices.is_out_of_memory(error):
        return False
    log.warning("the autoencoder goes on without its quick way: %s", str(error).strip().split("\n")[0])
    quick_autoencoder.give_up(vae)
    return True


def pictures(vae: Any, hidden: torch.Tensor, should_stop: ShouldStop) -> Iterator[torch.Tensor]:
    """Yield (N, H, W, 3) uint8 on the CPU for each latent frame of `hidden` (1, C, T, h, w). Raises NoPictures."""

    def landing() -> Generator[Landing, None, None]:
        for levels, good in _levels(vae, hidden, should_stop):
            yield Landing.of(levels.round_().to(torch.uint8), good)

    for each in ahead(landing()):
        yield from _by_latent(each.arrived())


def levels_of_tiles(
    vae: Any, hidden: torch.Tensor, should_stop: ShouldStop
) -> Callable[[tiles.Tile], Iterator[torch.Tensor]]:
    """A function that gives a tile's levels (N, H, W, 3), not rounded, on the CPU for each latent frame."""

    def landing(tile: tiles.Tile) -> Generator[Landing, None, None]:
        for levels, good in _levels(vae, tile.of(hidden), should_stop):
            yield Landing.of(levels, good)

    def decoded(tile: tiles.Tile) -> Iterator[torch.Tensor]:
        for each in ahead(landing(tile)):
            yield from _by_latent(each.arrived())

    return decoded


def latents(vae: Any, frames: int, pixels: Pixels, should_stop: ShouldStop) -> torch.Tensor:
    """(1, C, T, h, w) latents of `frames` pictures, of the autoencoder's own scale."""
    course, pieces = _course(vae, should_stop), []
    for chunk in chunks((frames - 1) // PICTURES_A_LATENT + 1, chunk_latents(vae)):
        check(should_stop)
        start = PICTURES_A_LATENT * (chunk.start - 1) + 1 if chunk.start else 0
        some = pixels(start, PICTURES_A_LATENT * (chunk.stop - 1) + 1).to(vae.dtype)
        pieces.append(course.encode(some).chunk(2, dim=1)[0])
        del some
        if not chunk.start:
            course.tidy()
    return torch.cat(pieces, dim=2).contiguous()


def _levels(vae: Any, hidden: torch.Tensor, should_stop: ShouldStop) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Levels (N, H, W, 3) from 0 to 255 of each chunk, not rounded, and whether they are numbers: on the device."""
    course = _course(vae, should_stop)
    for chunk in chunks(hidden.shape[2], chunk_latents(vae)):
        check(should_stop)
        levels = course.decode(hidden[:, :, chunk])
        good = torch.isfinite(levels).all()
        yield levels.add_(1).mul_(127.5).clamp_(0, 255), good
        del levels
        if not chunk.start:
            course.tidy()


def _course(vae: Any, should_stop: ShouldStop) -> Course:
    quick_autoencoder.lay_out(vae)
    gate = Gate(should_stop, BLOCKS_AHEAD)
    return Course(vae, lambda: gate.enter(vae.device))


def _by_latent(frames: torch.Tensor) -> Iterator[torch.Tensor]:
    return iter(frames.split(PICTURES_A_LATENT))


@dataclass(frozen=True)
class Landing:
    """A chunk on its way from the device."""

    frames: torch.Tensor
    good: torch.Tensor
    """Whether its numbers were numbers."""
    landed: Any
    """The event after which it is here; None where it is."""

    @classmethod
    def of(cls, frames: torch.Tensor, good: torch.Tensor) -> Landing:
        """Have it leave; the device goes on meanwhile."""
        if frames.device.type != "cuda":
            return cls(frames.cpu(), good.cpu(), None)
        here, whether = _pinned(frames), _pinned(good)
        return cls(here, whether, torch.cuda.current_stream(frames.device).record_event())

    def arrived(self) -> torch.Tensor:
        """The frames, on the CPU; waits for them. Raises NoPictures."""
        if self.landed is not None:
            self.landed.synchronize()
        if not bool(self.good):
            raise NoPictures
        return self.frames


def _pinned(tensor: torch.Tensor) -> torch.Tensor:
    try:
        here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    except RuntimeError:  # there is a limit to what a system pins
        return tensor.cpu()
    return here.copy_(tensor, non_blocking=True)
