"""Makes pictures larger with an upscaling model: in tiles whose seams can't be seen, to any size.

A tile is computed with MARGIN pixels of its surroundings, which are thrown away, so that what is kept of it is what the
whole picture would have given wherever the model looks no further. What is left of a difference fades where tiles
overlap (`tiles`).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from ..loading import devices
from ..loading.upscaling_model import UpscalingModel
from ..protocol.errors import Refusal
from ..protocol.messages import ProblemKind
from ..protocol.sentences import Sentence
from . import tiles
from .stopping import ShouldStop, check, never
from .tiles import Span, Tile

MARGIN = 32
"""Pixels of the smaller picture around a tile. Real-ESRGAN's own programs take 10."""
FIRST_TILE, LEAST_TILE = 1024, 64
"""Sides in pixels of the smaller picture: tiles are as large as memory allows, and halved where memory runs out."""
PIXEL_BYTES = 1024
"""Memory for a pixel of the larger picture, at 32 bits: about four tensors of 64 channels at a time, which is what the
last layers of Real-ESRGAN hold; most others take less."""
NO_NUMBERS = Sentence(
    "The upscaling model made no pictures of this take: its numbers overflowed. Get its file again, or choose another."
)
MAX_PASSES = 3
"""A model that doubles makes 4x in two passes; what no model here reaches is resized."""


def tile_for(model: UpscalingModel, free_bytes: int) -> int:
    """The side in pixels of the largest tile of the smaller picture for which half of the free memory suffices."""
    pixel_bytes = PIXEL_BYTES * model.scale**2 * torch.finfo(model.dtype).bits // 32
    return min(FIRST_TILE, max(LEAST_TILE, math.isqrt(max(0, free_bytes) // 2 // pixel_bytes)))


class Upscaler:
    """Makes pictures larger, one after another; what didn't fit into memory once isn't tried again."""

    def __init__(self, model: UpscalingModel, tile: int = FIRST_TILE, should_stop: ShouldStop = never) -> None:
        self._model, self._tile, self._should_stop = model, tile, should_stop

    @property
    def tile(self) -> int:
        """The side in pixels of the tiles of the smaller picture, at the most."""
        return self._tile

    def enlarge(self, picture: np.ndarray, width: int, height: int) -> np.ndarray:
        """uint8 (height, width, 3) of a smaller uint8 (h, w, 3). Raises Refusal, as if memory runs out; Stopped."""
        for _ in range(MAX_PASSES):
            if picture.shape[0] >= height and picture.shape[1] >= width:
                break
            picture = self._pass(picture)
        if picture.shape[:2] == (height, width):
            return picture
        shrinks = picture.shape[0] >= height
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    def _pass(self, picture: np.ndarray) -> np.ndarray:
        while True:
            try:
                return upscaled(self._model, picture, self._tile, self._should_stop)
            except Exception as error:
                if not devices.is_out_of_memory(error):
                    raise
            # Only here is the error gone, and with its traceback the tensors of the try.
            devices.release(self._model.device)
            self._tile //= 2
            if self._tile < LEAST_TILE:
                words = Sentence(
                    "There is too little memory to make this take larger, even in tiles: close other programs, retry."
                )
                raise Refusal.of(ProblemKind.OUT_OF_MEMORY, words)


@torch.no_grad()
def upscaled(
    model: UpscalingModel, picture: np.ndarray, tile: int = FIRST_TILE, should_stop: ShouldStop = never
) -> np.ndarray:
    """uint8 (scale h, scale w, 3) of uint8 (h, w, 3), in tiles of at most about `tile` x `tile` pixels of it.

    Raises Refusal if the model makes no pictures, Stopped, or what torch raises.
    """
    height, width = picture.shape[:2]
    whole = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    grid = tiles.cut(height, width, model.scale, tile * model.scale)

    def levels(each: Tile) -> list[torch.Tensor]:
        check(should_stop)
        return [_tile_levels(model, whole, each)]

    (made,) = tiles.join_film(grid, model.scale, [1], levels)
    return made[0].numpy()


def _tile_levels(model: UpscalingModel, whole: torch.Tensor, tile: Tile) -> torch.Tensor:
    """(1, h, w, 3) levels of a tile, seen with its surroundings."""
    height, width = whole.shape[-2:]
    rows, columns = _seen(tile.rows, height, model.smallest), _seen(tile.columns, width, model.smallest)
    seen = whole[..., rows.start : rows.stop, columns.start : columns.stop]
    made = model.call(seen.to(model.device, model.dtype) / 255).float()
    if bool(made.isnan().any()):
        raise Refusal.of(ProblemKind.MODEL_BROKEN, NO_NUMBERS)
    made = made.clamp(0, 1) * 255
    top, left = (tile.rows.start - rows.start) * model.scale, (tile.columns.start - columns.start) * model.scale
    bottom, right = top + tile.rows.length * model.scale, left + tile.columns.length * model.scale
    return made[..., top:bottom, left:right].permute(0, 2, 3, 1)


def _seen(span: Span, size: int, smallest: int) -> slice:
    """What a tile sees of a side of the picture."""
    start, stop = max(0, span.start - MARGIN), min(size, span.end + MARGIN)
    if stop - start < smallest:
        start, stop = max(0, stop - smallest), min(size, max(stop, start + smallest))
    return slice(start, stop)
