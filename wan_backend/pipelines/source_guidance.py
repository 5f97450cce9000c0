"""Guidance of an edit: how the predictions with less of what was given are held against the one with all of it.

Bernini-R's makers guide edits in two ways (Liu et al. 2026, arXiv 2605.22344; the settings are their program's own):

* With footage alone, by adaptive projected guidance (Sadat et al. 2024, arXiv 2410.02416) between the negative prompt
  and the prompt, both with the footage: the difference of the clean estimates is limited in each latent frame, and of
  what lies along the estimate itself only a part is used. A large scale doesn't burn the picture then.
* With pictures, by a chain: nothing, the footage, the footage with the pictures, and those with the prompt. Each has a
  scale of its own, for how much it counts over the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..loading import devices

LIMIT = 50.0
"""The largest norm of a latent frame's difference."""
ALONG = 0.5
"""How much of a difference along the estimate is used."""
FOOTAGE_SHARE = 1.25 / 4.0
"""The scale of the footage, as a share of the prompt's."""
PICTURES_SHARE = 4.5 / 4.0
"""The scale of the pictures, as a share of the prompt's."""
_FRAME = (1, 3, 4)
"""Channels, height and width: what a latent frame of (1, C, T, H, W) consists of."""


def projected(latents: Tensor, sigma: float, away: Tensor, towards: Tensor, scale: float) -> Tensor:
    """The velocity guided from that of the negative prompt to that of the prompt; all are (1, C, T, H, W).

    `sigma` is the share of noise in `latents`.
    """
    latents, away, towards = latents.float(), away.float(), towards.float()
    estimate = latents - sigma * towards
    difference = sigma * (away - towards)  # of the clean estimates
    norm = torch.linalg.vector_norm(difference, dim=_FRAME, keepdim=True)
    difference = difference * (LIMIT / norm).clamp(max=1)
    exact = devices.widest_format(estimate.device)
    direction = estimate.to(exact)
    direction = direction / torch.linalg.vector_norm(direction, dim=_FRAME, keepdim=True).clamp_min(1e-12)
    along = ((difference.to(exact) * direction).sum(dim=_FRAME, keepdim=True) * direction).float()
    return away - (scale / sigma) * (difference - (1 - ALONG) * along)


def chained(predictions: Sequence[Tensor], scale: float) -> Tensor:
    """The velocity guided from nothing by way of the footage and the pictures to the prompt.

    `predictions` are those of the negative prompt with nothing, with the footage, and with the pictures too, and the
    prompt's; `scale` is the prompt's.
    """
    guided = predictions[0]
    scales = (FOOTAGE_SHARE * scale, PICTURES_SHARE * scale, scale)
    for before, after, each in zip(predictions[:-1], predictions[1:], scales, strict=True):
        guided = guided + each * (after - before)
    return guided
