"""Measures what a take shows, given the shape's masks: its way, its size, and the camera's move.

May import torch. Takes are CTHW in 0..1, masks THW in 0..1 of any size; places come in the take's pixels. `reach` is
how much of the usual way a clip of its length covers (`scenes.reach_of`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .scenes import CAMERAS, Scene

FAR_PIXELS = 14  # of 256: less than half of the shortest way that a moving shape goes
_AMOUNTS = tuple(0.04 + 0.02 * step for step in range(6))  # of the frame, in a quarter of the clip
UNREADABLE = ("spin", "still")
GROWS, GROWS_ANYWAY = 0.3, 0.42  # the logarithm of the change of width


def psnr(one: Tensor, other: Tensor) -> float:
    """In dB, of pictures in 0..1."""
    return float(-10 * torch.log10((one - other).square().mean().clamp_min(1e-10)))


@dataclass(frozen=True)
class Sighting:
    """Where the shape is in each frame: `x`, `y`, and `size`, the square root of its area, in pixels."""

    x: Tensor
    y: Tensor
    size: Tensor


def sight(masks: Tensor, height: int, width: int) -> Sighting:
    """Centroid and size in pixels of a frame of that size."""
    weight = masks.clamp_min(0) ** 2 + 1e-9
    total = weight.sum((1, 2))
    ys = (torch.arange(masks.shape[1]) + 0.5).view(1, -1, 1) * height / masks.shape[1]
    xs = (torch.arange(masks.shape[2]) + 0.5).view(1, 1, -1) * width / masks.shape[2]
    area = masks.mean((1, 2)) * height * width
    return Sighting((weight * xs).sum((1, 2)) / total, (weight * ys).sum((1, 2)) / total, area.sqrt())


def _change(values: Tensor) -> float:
    """From the first frames to the last."""
    few = max(1, values.shape[0] // 10)
    return float(values[-few:].mean() - values[:few].mean())


def motion_of(seen: Sighting, width: int = 256, reach: float = 1.0) -> str:
    """left, right, up, down, grow, shrink or still (a spin shows in none of these numbers).

    What grows much grows: the way that it goes meanwhile is the camera's.
    """
    dx, dy = _change(seen.x), _change(seen.y)
    growth = _change(torch.log(seen.size.clamp_min(1)))
    far = max(abs(dx), abs(dy)) > FAR_PIXELS * reach * width / 256
    if abs(growth) > (GROWS_ANYWAY if far else GROWS):
        return "grow" if growth > 0 else "shrink"
    if not far:
        return "still"
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def reads_motion(scene: Scene) -> bool:
    """Whether `motion_of` can tell the scene's motion: a spin doesn't show in where a shape is and how large, and what
    rests goes where the camera has it go, or grows with a zoom."""
    return scene.motion not in UNREADABLE and not scene.camera.startswith("zoom")


def is_monotone(values: Tensor, slack: float = 1.5) -> bool:
    """True where the values go one way all along, but for `slack` pixels."""
    way = float(values[-1] - values[0])
    steps = values.diff() * (1 if way >= 0 else -1)
    return float(steps.clamp_max(0).sum()) > -slack - 0.05 * abs(way)


def camera_of(take: Tensor, masks: Tensor, reach: float = 1.0) -> str:
    """The camera's move, by which of the known warps best takes a frame to one a quarter of the clip later."""
    gap = max(1, round(take.shape[1] / 4))
    every = max(1, gap // 2)
    small = F.interpolate(take.transpose(0, 1), scale_factor=0.5, mode="area")
    small = F.avg_pool2d(small, 3, stride=1, padding=1, count_include_pad=False)
    first, later = small[:-gap:every], small[gap::every]
    covered = F.interpolate(masks.unsqueeze(1), small.shape[2:], mode="bilinear")
    free = 1 - F.max_pool2d(covered, 9, stride=1, padding=4).clamp(0, 1)  # the rim is no ground either
    best = (math.inf, "static")
    for camera in CAMERAS:
        for amount in (0.0,) if camera == "static" else _AMOUNTS:
            error = _warp_error(first, later, (free[:-gap:every], free[gap::every]), camera, reach * amount)
            best = min(best, (error, camera))
    return best[1]


def _warp_error(first: Tensor, later: Tensor, free: tuple[Tensor, Tensor], camera: str, amount: float) -> float:
    """Mean squared difference of the later frame and the first one moved, where both show ground."""
    scale, shift = 1.0, [0.0, 0.0]
    if camera.startswith("zoom"):
        scale = 1 + 1.8 * amount if camera == "zoom in" else 1 / (1 + 1.8 * amount)
    elif camera != "static":
        axis = 0 if camera.startswith("pan") else 1
        shift[axis] = 2 * amount * (1 if camera.endswith(("right", "down")) else -1)
    # Where each pixel of the later frame was in the first one.
    theta = torch.tensor([[[1 / scale, 0.0, shift[0]], [0.0, 1 / scale, shift[1]]]])
    grid = F.affine_grid(theta.expand(first.shape[0], -1, -1), list(first.shape), align_corners=False)
    warped = F.grid_sample(first, grid, align_corners=False)
    both = F.grid_sample(free[0], grid, align_corners=False) * free[1]
    error = (warped - later).square().mean(1, keepdim=True)
    return float((error * both).sum() / both.sum().clamp_min(1))
