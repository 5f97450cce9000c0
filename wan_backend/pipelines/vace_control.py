"""Control latents for a VACE transformer, equal to WanVACEPipeline's. May import torch, autoencoder, canvas, stopping.

Two films go in: the inactive one shows the frames that are kept, the reactive one what guides those that are made;
both are grey elsewhere. The mask is black (0) where frames are kept and white (1) where they are made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .autoencoder import Film, encode, latent_frames, spatial_factor
from .canvas import Canvas
from .stopping import ShouldStop, never


def blank(vae: Any, frames: int, width: int, height: int, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, 96, T, h, w) control that leaves everything to the model: grey frames under an all-white mask.

    What WanVACEPipeline makes where it is given no video. Its kept and its changing half are the same grey
    film, so it is encoded once.
    """
    grey = encode(vae, Film(frames, width, height, {}), should_stop)
    return torch.cat([grey, grey, _mask(vae, grey, frames, ())], dim=1)


def build(
    vae: Any, canvas: Canvas, frames: int, grey: torch.Tensor, should_stop: ShouldStop = never
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two controls (1, 96, references + T, h, w) for `canvas`: with its guide, and the same without.

    `grey` is the latents of `frames` grey pictures, (1, C, T, h, w). The look, where there is one, is one reference
    before the film. Without a guide both are the same tensor.
    """
    height, width = (extent * spatial_factor(vae.config) for extent in grey.shape[3:])

    def film(pictures: Mapping[int, np.ndarray]) -> torch.Tensor:
        return encode(vae, Film(frames, width, height, pictures), should_stop) if pictures else grey

    grey = grey.to(vae.device, vae.dtype)
    inactive = film(canvas.kept)
    guiding = {} if canvas.guide is None else {n: each for n, each in enumerate(canvas.guide) if n not in canvas.kept}
    mask = _mask(vae, grey, frames, canvas.kept)
    reference = None
    if canvas.look is not None:
        look = encode(vae, Film(1, width, height, {0: canvas.look}), should_stop)
        reference = torch.cat([look, torch.zeros_like(look), torch.zeros_like(mask[:, :, :1])], dim=1)

    def control(reactive: torch.Tensor) -> torch.Tensor:
        own = torch.cat([inactive, reactive, mask], dim=1)
        return own if reference is None else torch.cat([reference, own], dim=2)

    released = control(grey)
    return (control(film(guiding)), released) if guiding else (released, released)


def latent_mask(frames: int, kept: Collection[int]) -> torch.Tensor:
    """(T,) of 0 (kept) and 1 (made), by the pipeline's rule, which is what VACE's models were trained by.

    It asks one picture for each latent frame, and not all of its group: a first frame alone is not kept by the mask,
    only shown by the inactive film.
    """
    mask = torch.ones(1, 1, frames)
    mask[:, :, sorted(kept)] = 0
    return F.interpolate(mask, size=latent_frames(frames), mode="nearest-exact")[0, 0]


def _mask(vae: Any, latents: torch.Tensor, frames: int, kept: Collection[int]) -> torch.Tensor:
    """(1, factor squared, T, h, w): a plane for each pixel that a latent stands for."""
    planes = spatial_factor(vae.config) ** 2
    mask = latent_mask(frames, kept).to(latents).view(1, 1, -1, 1, 1)
    return mask.expand(1, planes, -1, *latents.shape[3:])
