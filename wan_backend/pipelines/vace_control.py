"""Control latents for a VACE transformer, equal to WanVACEPipeline's.

Two films go in: the inactive one shows the frames that are kept, the reactive one what guides those that are made;
both are gray elsewhere. The mask is black (0) where frames are kept and white (1) where they are made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..planning.lengths import latent_frames
from .conditions import Canvas
from .encode import Film, encode, spatial_factor
from .stopping import ShouldStop, never


def blank(vae: Any, frames: int, width: int, height: int, should_stop: ShouldStop = never) -> torch.Tensor:
    """(1, 96, T, h, w) control that leaves everything to the model: gray frames under an all-white mask.

    WanVACEPipeline makes it if it is given no video. The inactive and the reactive film are both gray, so one
    is encoded for both.
    """
    gray = encode(vae, Film(frames, width, height, {}), should_stop)
    return torch.cat([gray, gray, _mask(vae, gray, frames, ())], dim=1)


def build(
    vae: Any, canvas: Canvas, frames: int, gray: torch.Tensor, should_stop: ShouldStop = never
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two controls (1, 96, references + T, h, w) for `canvas`: with its guide, and without.

    `gray` is the latents of `frames` gray pictures, (1, C, T, h, w). The look, if there is one, becomes a reference
    before the film. Without a guide both are the same tensor.
    """
    height, width = (extent * spatial_factor(vae.config) for extent in gray.shape[3:])

    def film(pictures: Mapping[int, np.ndarray]) -> torch.Tensor:
        return encode(vae, Film(frames, width, height, pictures), should_stop) if pictures else gray

    gray = gray.to(vae.device, vae.dtype)
    kept = {**held(canvas.pictures), **canvas.kept}
    inactive = film(kept)
    guiding = {} if canvas.guide is None else {n: each for n, each in enumerate(canvas.guide) if n not in kept}
    mask = _mask(vae, gray, frames, canvas.kept, canvas.pictures)
    reference = None
    if canvas.look is not None:
        look = encode(vae, Film(1, width, height, {0: canvas.look}), should_stop)
        reference = torch.cat([look, torch.zeros_like(look), torch.zeros_like(mask[:, :, :1])], dim=1)

    def control(reactive: torch.Tensor) -> torch.Tensor:
        own = torch.cat([inactive, reactive, mask], dim=1)
        return own if reference is None else torch.cat([reference, own], dim=2)

    released = control(gray)
    return (control(film(guiding)), released) if guiding else (released, released)


def held(pictures: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Each picture in all frames of its latent frame; of two in one, each frame has the nearer one.

    A latent frame of one picture and three gray ones shows little of the picture: the model passes over it.
    """
    found: dict[int, np.ndarray] = {}
    for number in pictures:
        latent = latent_of(number)
        beside = [each for each in pictures if latent_of(each) == latent]
        for frame in range(max(0, 4 * latent - 3), 4 * latent + 1):
            found[frame] = pictures[min(beside, key=lambda each: abs(each - frame))]
    return found


def latent_of(frame: int) -> int:
    """The latent frame that has that frame: the first has one, each other four."""
    return (frame + 3) // 4


def latent_mask(frames: int, kept: Collection[int], pictures: Collection[int] = ()) -> torch.Tensor:
    """(T,) of 0 (kept) and 1 (made), by WanVACEPipeline's rule, with which VACE's models were trained.

    It looks at one picture of each latent frame's group, not at all: a first frame alone is not kept by the mask, only
    shown by the inactive film. The rule may look at a frame of the next group, so for single `pictures`, whose own
    groups are kept, these are meant.
    """
    mask = torch.ones(1, 1, frames)
    mask[:, :, sorted(kept)] = 0
    latent = F.interpolate(mask, size=latent_frames(frames), mode="nearest-exact")[0, 0]
    latent[[latent_of(each) for each in pictures]] = 0
    return latent


def _mask(
    vae: Any, latents: torch.Tensor, frames: int, kept: Collection[int], pictures: Collection[int] = ()
) -> torch.Tensor:
    """(1, factor squared, T, h, w): a plane for each of the pixels that one latent covers."""
    planes = spatial_factor(vae.config) ** 2
    mask = latent_mask(frames, kept, pictures).to(latents).view(1, 1, -1, 1, 1)
    return mask.expand(1, planes, -1, *latents.shape[3:])
