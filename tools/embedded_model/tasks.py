"""What a VACE transformer is given for each task, as `WanVACEPipeline` prepares it.

A task has two videos and a mask of whole frames: where the mask is 0 the inactive video shows what is
kept, where it is 1 the reactive video shows what guides (depth, edges, another look) or nothing (grey, 0).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import world
from .scenes import LOOKS, Scene

WEIGHTS = {
    "text": 40,
    "image": 13,
    "fill": 14,
    "extend": 7,
    "extend backward": 4,
    "restyle": 12,
    "depth": 8,
    "edges": 3,
    "still and depth": 5,
}
"""How often each task is trained on: words alone show nothing of the shape, so they are the hardest to follow."""
CONTROLS = ("restyle", "depth", "edges")


@dataclass(frozen=True)
class Condition:
    """`inactive` and `reactive` NCTHW in -1..1, `mask` NxT of 0 (kept) and 1 (made anew)."""

    inactive: Tensor
    reactive: Tensor
    mask: Tensor


def kept_frames(task: str, frames: int, rng: random.Random) -> tuple[int, int]:
    """How many frames are kept at the start and at the end."""
    most = max(1, frames - 4)
    if task in ("image", "still and depth"):
        return 1, 0
    if task == "fill":
        return min(most, rng.choice((1, 1, 5, 9))), min(most, rng.choice((1, 1, 4, 8)))
    if task == "extend":
        return min(most, rng.choice((1, 5, 5, 9, 13, 17))), 0
    if task == "extend backward":
        return 0, min(most, rng.choice((1, 4, 8, 12, 16)))
    return 0, 0


def mask_of(frames: int, first: int, last: int) -> Tensor:
    """T of 0 for the kept and 1 for the others; a clip never keeps all of its frames."""
    mask = torch.ones(frames)
    mask[:first] = 0
    if last:
        mask[-last:] = 0
    return mask


def latent_mask(mask: Tensor, latent_frames: int) -> Tensor:
    """NxT to N x latent frames, by the pipeline's own rule (nearest-exact over all frames)."""
    whole = torch.nn.functional.interpolate(mask.unsqueeze(1), size=latent_frames, mode="nearest-exact")
    return whole.squeeze(1)


def control(inactive: Tensor, reactive: Tensor, mask: Tensor) -> Tensor:
    """The 96 control channels from normalised latents N16THW and a latent mask NxT."""
    n, _, t, h, w = inactive.shape
    planes = mask.to(inactive).view(n, 1, t, 1, 1).expand(n, 64, t, h, w)
    return torch.cat([inactive, reactive, planes], dim=1)


def _restyled(scenes: Sequence[Scene], drawn: world.Drawing, rng: random.Random) -> Tensor:
    """The scenes in other looks, NCTHW in 0..1."""
    frames, height, width = drawn.frames.shape[2:]
    others = [replace(s, look=rng.choice([name for name in LOOKS if name != s.look])) for s in scenes]
    return world.draw(others, frames=frames, height=height, width=width, device=drawn.frames.device).frames


def _shown_depth(depth: Tensor, rng: random.Random) -> Tensor:
    """Depth frames of one clip, CTHW in 0..1: other renderers measure depth otherwise."""
    low, high = rng.uniform(0, 0.15), rng.uniform(0.85, 1.0)
    return low + (high - low) * world.depth_frames(depth)[0] ** rng.uniform(0.7, 1.4)


def prepare(tasks: Sequence[str], scenes: Sequence[Scene], drawn: world.Drawing, rng: random.Random) -> Condition:
    """The condition of a batch of drawn clips."""
    clips = drawn.frames * 2 - 1
    frames = clips.shape[2]
    inactive, reactive, masks = torch.zeros_like(clips), torch.zeros_like(clips), []
    restyled = [i for i, task in enumerate(tasks) if task == "restyle"]
    others = iter(_restyled([scenes[i] for i in restyled], drawn, rng) if restyled else ())
    for i, task in enumerate(tasks):
        mask = mask_of(frames, *kept_frames(task, frames, rng)).to(clips)
        masks.append(mask)
        inactive[i] = clips[i] * (1 - mask).view(1, -1, 1, 1)
        if task == "restyle":
            reactive[i] = next(others) * 2 - 1
        elif task == "edges":
            reactive[i] = world.edges(drawn.frames[i : i + 1])[0] * 2 - 1
        elif task in ("depth", "still and depth"):
            reactive[i] = (_shown_depth(drawn.depth[i : i + 1], rng) * 2 - 1) * mask.view(1, -1, 1, 1)
    return Condition(inactive, reactive, torch.stack(masks))
