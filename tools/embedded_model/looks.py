"""The looks of the embedded model's world: how one scene is painted flat, sketched, in neon...

May import torch only. Lengths are pixels; every line is at least two pixels soft, so that the
autoencoder can code it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SOFTNESS = 0.9
"""Of a shape's edge, in pixels."""
_GLOW = {
    "sky": (0.10, 0.75, 0.95),
    "sand": (0.95, 0.45, 0.15),
    "night": (0.35, 0.25, 0.95),
    "grass": (0.25, 0.90, 0.25),
}


@dataclass(frozen=True)
class Paint:
    """A drawn batch before its look. `ground` N3THW; fields NTHW; `colour` N3.

    `distance` is to the shape's edge in pixels, negative inside; `local` the place in the shape
    (in radii), `world` the place on the ground (in frame heights).
    """

    ground: Tensor
    broad: Tensor
    fine: Tensor
    distance: Tensor
    local: tuple[Tensor, Tensor]
    world: tuple[Tensor, Tensor]
    colour: Tensor

    def rows(self, index: list[int]) -> Paint:
        """The same for some of the batch."""
        return Paint(
            self.ground[index],
            self.broad[index],
            self.fine[index],
            self.distance[index],
            (self.local[0][index], self.local[1][index]),
            (self.world[0][index], self.world[1][index]),
            self.colour[index],
        )


def _rgb(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(1, 3, 1, 1, 1)


def _inside(paint: Paint, softness: float = SOFTNESS) -> Tensor:
    return torch.sigmoid(-paint.distance / softness).unsqueeze(1)


def _line(paint: Paint, width: float, offset: float = 0.0) -> Tensor:
    return torch.exp(-(((paint.distance - offset) / width) ** 2)).unsqueeze(1)


def _luminance(picture: Tensor) -> Tensor:
    weights = torch.tensor((0.3, 0.59, 0.11), device=picture.device).view(1, 3, 1, 1, 1)
    return (picture * weights).sum(1, keepdim=True)


def _fill(paint: Paint) -> Tensor:
    return paint.colour.view(-1, 3, 1, 1, 1)


def _flat(paint: Paint, backgrounds: Sequence[str]) -> Tensor:
    fill = _fill(paint) * (1 - 0.3 * _line(paint, 2.6, -1.0))
    return paint.ground + (fill - paint.ground) * _inside(paint)


def _sketch(paint: Paint, backgrounds: Sequence[str]) -> Tensor:
    paper = _rgb((0.95, 0.93, 0.87), paint.ground)
    tone = 0.55 + 0.45 * _luminance(paint.ground)
    ground = paper * tone * 0.72 + 0.28 * (0.35 + 0.65 * paint.ground)
    hatch = torch.sin((paint.local[0] + paint.local[1]) * 9.0).unsqueeze(1)
    fill = paper * 0.25 + _fill(paint) * 0.75 + 0.035 * hatch
    picture = ground + (fill - ground) * _inside(paint)
    return picture * (1 - 0.8 * _line(paint, 2.6))


def _neon(paint: Paint, backgrounds: Sequence[str]) -> Tensor:
    glow = torch.tensor([_GLOW[b] for b in backgrounds], device=paint.ground.device)
    contour = torch.exp(-(((paint.broad - 0.5) / 0.1) ** 2)).unsqueeze(1)
    ground = 0.14 * paint.ground + 0.34 * glow.view(-1, 3, 1, 1, 1) * contour
    inside = _inside(paint)
    picture = ground * (1 - 0.9 * inside) + 0.55 * _fill(paint) * inside
    halo = torch.exp(-paint.distance.abs() / 7.0).unsqueeze(1)
    tube = _line(paint, 2.6, -1.0)
    picture = picture + _fill(paint) * (0.85 * tube + 0.3 * halo) + 0.06 * tube
    return 1 - torch.exp(-1.4 * picture)


def _watercolour(paint: Paint, backgrounds: Sequence[str]) -> Tensor:
    pigment = 1 + 0.3 * (paint.fine.unsqueeze(1) - 0.5)
    ground = 1 - (1 - (0.48 + 0.52 * paint.ground)) * pigment
    wash = 1 - (1 - (0.22 + 0.78 * _fill(paint))) * pigment
    wash = wash * (1 - 0.25 * _line(paint, 3.0, -3.0))
    bled = torch.sigmoid(-(paint.distance + 2.4 * (paint.fine - 0.5)) / 1.4).unsqueeze(1)
    return ground + (wash - ground) * bled * 0.92


def _blueprint(paint: Paint, backgrounds: Sequence[str]) -> Tensor:
    ground = _rgb((0.06, 0.18, 0.46), paint.ground) * (0.75 + 0.5 * _luminance(paint.ground))
    grid = torch.zeros_like(paint.distance)
    for axis in paint.world:
        grid = grid + torch.exp(8 * (torch.cos(2 * math.pi * axis / 0.25) - 1))
    picture = ground + 0.13 * grid.unsqueeze(1)
    picture = picture + 0.16 * _inside(paint) * (1 - 0.3 * paint.fine.unsqueeze(1))
    return picture + (0.95 - picture) * 0.9 * _line(paint, 2.6)


def _cyclorama(paint: Paint, backgrounds: Sequence[str]) -> Tensor:
    """The shape before a studio's white wall, with a gray outline, which a white one needs: of the ground, a tenth of
    its light is left. A darker outline has the autoencoder take a purple ring for a blue one."""
    wall = 0.9 + 0.1 * _luminance(paint.ground).expand_as(paint.ground)
    picture = wall + (_fill(paint) - wall) * _inside(paint)
    return picture * (1 - 0.4 * _line(paint, 2.6, 1.0))


_LOOKS: dict[str, Callable[[Paint, Sequence[str]], Tensor]] = {
    "flat": _flat,
    "sketch": _sketch,
    "neon": _neon,
    "watercolour": _watercolour,
    "blueprint": _blueprint,
    "cyclorama": _cyclorama,
}


def render(names: Sequence[str], backgrounds: Sequence[str], paint: Paint) -> Tensor:
    """Each clip of the batch in its look: N3THW, about 0..1 (the caller clamps)."""
    out = torch.empty_like(paint.ground)
    for name in sorted(set(names)):
        index = [i for i, given in enumerate(names) if given == name]
        out[index] = _LOOKS[name](paint.rows(index), [backgrounds[i] for i in index])
    return out
