"""Draws scenes as clips: frames in any look, true depth, edges and the shape's mask.

Everything is a closed formula of pixel and time, in torch, so that a batch is drawn on whatever
device it is asked for. May import torch, numpy and `scenes`; nothing of the models.
The picture holds no frequency above about a sixth of the pixel rate: a small autoencoder can code
it, and motion of a third of a pixel can still be measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from . import looks
from .scenes import BACKGROUNDS, SHAPES, Scene

COLOUR_RGB = {
    "red": (0.86, 0.06, 0.14),
    "orange": (0.99, 0.47, 0.05),
    "yellow": (0.98, 0.93, 0.10),
    "green": (0.10, 0.78, 0.28),
    "blue": (0.08, 0.28, 0.92),
    "purple": (0.62, 0.12, 0.75),
    "white": (0.97, 0.97, 0.97),
}
_WAVES = 6


@dataclass(frozen=True)
class Drawing:
    """One drawn batch. `frames` NCTHW in 0..1, `depth` and `mask` N1THW in 0..1 (near is 1)."""

    frames: Tensor
    depth: Tensor
    mask: Tensor


def _column(values: Sequence[float], device: torch.device | str) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1, 1)


def _progress(frames: int, device: torch.device | str) -> Tensor:
    """Time from -0.5 to 0.5, shaped 1T11: paths are centred on the middle of the clip."""
    return (torch.linspace(0, 1, max(frames, 2), device=device)[:frames] - 0.5).view(1, -1, 1, 1)


def _camera(scenes: Sequence[Scene], time: Tensor, aspect: float) -> tuple[Tensor, Tensor, Tensor]:
    """Camera centre (in frame heights) and zoom at each time, each NT11."""
    device = time.device
    pan = {"pan left": -1, "pan right": 1}
    tilt = {"tilt up": -1, "tilt down": 1}
    x = _column([pan.get(s.camera, 0) * s.camera_travel * aspect for s in scenes], device) * time
    y = _column([tilt.get(s.camera, 0) * s.camera_travel for s in scenes], device) * time
    way = {"zoom in": 1, "zoom out": -1}
    log_zoom = _column([way.get(s.camera, 0) * math.log(s.zoom) for s in scenes], device) * time
    return x, y, log_zoom.exp()


def _path(scenes: Sequence[Scene], time: Tensor, aspect: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The shape's centre, radius (frame heights) and angle on the screen, each NT11."""
    device = time.device
    right = {"left": -1, "right": 1}
    down = {"up": -1, "down": 1}
    size = {"grow": 1, "shrink": -1}
    cam_x, cam_y, zoom = _camera(scenes, time, aspect)
    x0 = _column([s.x * aspect for s in scenes], device)
    y0 = _column([s.y for s in scenes], device)
    moves = _column([float(s.motion in right or s.motion in down) for s in scenes], device)
    x = x0 + _column([right.get(s.motion, 0) * s.travel * aspect for s in scenes], device) * time
    y = y0 + _column([down.get(s.motion, 0) * s.travel for s in scenes], device) * time
    # A shape that goes somewhere goes there on the screen; one that rests is fixed in the world.
    x = moves * x + (1 - moves) * (x0 - cam_x) * zoom
    y = moves * y + (1 - moves) * (y0 - cam_y) * zoom
    growth = _column([size.get(s.motion, 0) * math.log(s.growth) for s in scenes], device) * time
    radius = _column([s.radius for s in scenes], device) * growth.exp()
    radius = radius * (moves + (1 - moves) * zoom)
    turn = _column([s.spin if s.motion == "spin" else 0.0 for s in scenes], device)
    return x, y, radius, _column([s.angle for s in scenes], device) + turn * time


def _polygon_sdf(x: Tensor, y: Tensor, corners: int) -> Tensor:
    """Signed distance to a regular polygon whose corners lie on the unit circle, one on top."""
    step = 2 * math.pi / corners
    angle = torch.atan2(x, -y)
    angle = torch.remainder(angle, step) - step / 2
    length = torch.sqrt(x * x + y * y + 1e-8)
    return length * torch.cos(angle) - math.cos(step / 2)


def _star_sdf(x: Tensor, y: Tensor) -> Tensor:
    """Distance to the edge line of a five-pointed star (inner radius 0.48): exact near edges."""
    step = 2 * math.pi / 5
    angle = torch.atan2(x, -y)
    angle = (torch.remainder(angle + step / 2, step) - step / 2).abs()
    length = torch.sqrt(x * x + y * y + 1e-8)
    px, py = length * torch.cos(angle), length * torch.sin(angle)
    inner_x, inner_y = 0.48 * math.cos(step / 2), 0.48 * math.sin(step / 2)
    edge_x, edge_y = inner_x - 1, inner_y
    norm = math.hypot(edge_x, edge_y)
    return ((px - 1) * -edge_y + py * edge_x) / -norm


def _shape_sdf(scenes: Sequence[Scene], x: Tensor, y: Tensor) -> Tensor:
    """Signed distance in radii (negative inside), one formula per shape, chosen by scene."""
    out = torch.empty_like(x)
    for shape in SHAPES:
        rows = [i for i, s in enumerate(scenes) if s.shape == shape]
        if not rows:
            continue
        u, v = x[rows], y[rows]
        length = torch.sqrt(u * u + v * v + 1e-8)
        if shape == "circle":
            distance = length - 0.92
        elif shape == "ring":
            distance = (length - 0.74).abs() - 0.26
        elif shape == "square":
            distance = torch.maximum(u.abs(), v.abs()) - 0.8
        elif shape == "triangle":
            distance = _polygon_sdf(u, v, 3)
        else:
            distance = _star_sdf(u, v)
        out[rows] = distance
    return out


def _noise(scenes: Sequence[Scene], u: Tensor, v: Tensor, salt: int, waves: tuple[float, float]) -> Tensor:
    """Smooth noise in 0..1 of world position: six sines, wavelengths in frame heights."""
    total = torch.zeros_like(u)
    numbers = np.stack([np.random.default_rng((s.texture_seed, salt)).random((_WAVES, 3)) for s in scenes])
    random = torch.from_numpy(numbers).to(u)
    for i in range(_WAVES):
        length, turn, phase = (random[:, i, j].view(-1, 1, 1, 1) for j in range(3))
        wave = 2 * math.pi / (waves[0] + (waves[1] - waves[0]) * length)
        turn = (turn + i) * math.pi / _WAVES * 2
        total += torch.sin(wave * (u * torch.cos(turn) + v * torch.sin(turn)) + phase * 6.2832)
    return 0.5 + total / (2 * math.sqrt(_WAVES) * 1.1)


def _stars(scenes: Sequence[Scene], u: Tensor, v: Tensor) -> Tensor:
    """Soft dots on a jittered lattice, none of them crossing its cell."""
    cell = 0.19
    offset = _column([(s.texture_seed % 997) * 1.7 for s in scenes], u.device)
    cx, cy = torch.floor(u / cell), torch.floor(v / cell)
    code = torch.sin(cx * 12.9898 + cy * 78.233 + offset) * 437.585
    a, b, c = (torch.remainder(code * k, 1.0) for k in (1.0, 7.31, 13.77))
    dx = u / cell - cx - (0.34 + 0.32 * a)
    dy = v / cell - cy - (0.34 + 0.32 * b)
    return torch.exp(-(dx * dx + dy * dy) / (2 * 0.115**2)) * (c > 0.35) * (0.4 + 0.35 * a)


def _mix(low: tuple[float, ...], high: tuple[float, ...], amount: Tensor) -> Tensor:
    a = torch.tensor(low, device=amount.device).view(1, 3, 1, 1, 1)
    b = torch.tensor(high, device=amount.device).view(1, 3, 1, 1, 1)
    return a + (b - a) * amount.unsqueeze(1)


def _background(name: str, u: Tensor, v: Tensor, broad: Tensor, fine: Tensor, dots: Tensor) -> Tensor:
    """Colour N3THW of one kind of ground at world position u, v."""
    if name == "sky":
        cloud = torch.sigmoid((broad + 0.35 * fine - 0.75) * 9)
        base = _mix((0.30, 0.55, 0.92), (0.60, 0.80, 0.98), torch.sigmoid(v * 2.5))
        return base + (0.97 - base) * 0.85 * cloud.unsqueeze(1)
    if name == "sand":
        ripple = torch.sin(2 * math.pi * (v * 3.8 + 0.16 * torch.sin(u * 5) + 0.8 * broad))
        return _mix((0.72, 0.58, 0.38), (0.93, 0.82, 0.60), 0.5 + 0.3 * ripple + 0.5 * (fine - 0.5))
    if name == "night":
        return _mix((0.03, 0.04, 0.13), (0.16, 0.12, 0.32), broad) + dots.unsqueeze(1)
    blades = torch.sin(2 * math.pi * (u * 3.8 + 0.2 * torch.sin(v * 6) + 0.7 * broad))
    return _mix((0.13, 0.27, 0.08), (0.42, 0.55, 0.18), 0.45 + 0.22 * blades + 0.55 * (fine - 0.5))


def _ground(scenes: Sequence[Scene], u: Tensor, v: Tensor, broad: Tensor, fine: Tensor) -> Tensor:
    out = torch.empty(u.shape[0], 3, *u.shape[1:], device=u.device)
    for name in BACKGROUNDS:
        rows = [i for i, s in enumerate(scenes) if s.background == name]
        if rows:
            chosen = [scenes[i] for i in rows]
            dots = _stars(chosen, u[rows], v[rows]) if name == "night" else u[rows]
            out[rows] = _background(name, u[rows], v[rows], broad[rows], fine[rows], dots)
    return out


def _depth(scenes: Sequence[Scene], v: Tensor, mask: Tensor) -> Tensor:
    """Nearness in 0..1: grounds come nearer towards the bottom, skies stay far."""
    floor = torch.tensor([s.background in ("sand", "grass") for s in scenes], device=v.device).float()
    floor = floor.view(-1, 1, 1, 1)
    ground = (0.06 + 0.05 * torch.sigmoid(v * 3)) * (1 - floor)
    ground = ground + (0.12 + 0.4 * torch.sigmoid(v * 3.5)) * floor
    near = _column([s.nearness for s in scenes], v.device)
    return (ground + (near - ground) * mask).unsqueeze(1)


def draw(
    scenes: Sequence[Scene],
    *,
    frames: int = 33,
    height: int = 144,
    width: int = 256,
    look: str | None = None,
    device: torch.device | str = "cpu",
) -> Drawing:
    """Draw a batch of scenes; `look` draws all of them in that look instead of their own."""
    if look is not None:
        scenes = [replace(scene, look=look) for scene in scenes]
    paint = _paint(scenes, frames, height, width, device)
    mask = torch.sigmoid(-paint.distance / looks.SOFTNESS)
    pictures = looks.render([s.look for s in scenes], [s.background for s in scenes], paint)
    return Drawing(pictures.clamp(0, 1), _depth(scenes, paint.world[1], mask), mask.unsqueeze(1))


def _paint(scenes: Sequence[Scene], frames: int, height: int, width: int, device: torch.device | str) -> looks.Paint:
    """Ground, shape and fields of a batch, before the look."""
    aspect = width / height
    time = _progress(frames, device)
    ys = ((torch.arange(height, device=device) + 0.5) / height - 0.5).view(1, 1, -1, 1)
    xs = (((torch.arange(width, device=device) + 0.5) / width - 0.5) * aspect).view(1, 1, 1, -1)
    cam_x, cam_y, zoom = _camera(scenes, time, aspect)
    u = (xs / zoom + cam_x).expand(-1, -1, height, -1).contiguous()
    v = (ys / zoom + cam_y).expand(-1, -1, -1, width).contiguous()
    x, y, radius, angle = _path(scenes, time, aspect)
    dx, dy = (xs - x) / radius, (ys - y) / radius
    cos, sin = torch.cos(angle), torch.sin(angle)
    local_x, local_y = dx * cos + dy * sin, dy * cos - dx * sin
    broad = _noise(scenes, u, v, 1, (0.35, 0.9))
    fine = _noise(scenes, u, v, 2, (0.16, 0.34))
    return looks.Paint(
        ground=_ground(scenes, u, v, broad, fine),
        broad=broad,
        fine=fine,
        distance=_shape_sdf(scenes, local_x, local_y) * radius * height,
        local=(local_x, local_y),
        world=(u, v),
        colour=torch.tensor([COLOUR_RGB[s.colour] for s in scenes], device=device),
    )


def track(scene: Scene, *, frames: int = 33, height: int = 144, width: int = 256) -> Tensor:
    """Where the shape truly is: T rows of centre x, centre y and radius, in pixels."""
    x, y, radius, _ = _path([scene], _progress(frames, "cpu"), width / height)
    rows = torch.stack([width / 2 + x * height, height / 2 + y * height, radius * height], dim=-1)
    return rows.view(frames, 3)


def outline(scene: Scene, *, height: int = 144, width: int = 256) -> Tensor:
    """The shape's mask HW in 0..1 in a scene's only frame, without painting anything."""
    aspect = width / height
    x, y, radius, angle = _path([scene], _progress(1, "cpu") + 0.5, aspect)
    ys = ((torch.arange(height) + 0.5) / height - 0.5).view(1, 1, -1, 1)
    xs = (((torch.arange(width) + 0.5) / width - 0.5) * aspect).view(1, 1, 1, -1)
    dx, dy = (xs - x) / radius, (ys - y) / radius
    cos, sin = torch.cos(angle), torch.sin(angle)
    distance = _shape_sdf([scene], dx * cos + dy * sin, dy * cos - dx * sin) * radius * height
    return torch.sigmoid(-distance / looks.SOFTNESS)[0, 0]


def edges(frames: Tensor) -> Tensor:
    """White lines on black, N3THW in 0..1, from the brightness steps of NCTHW frames."""
    grey = frames.mean(1, keepdim=True)
    n, _, t, h, w = grey.shape
    flat = torch.nn.functional.pad(grey.reshape(n * t, 1, h, w), (1, 1, 1, 1), mode="replicate")
    across = flat[:, :, 1:-1, 2:] - flat[:, :, 1:-1, :-2]
    down = flat[:, :, 2:, 1:-1] - flat[:, :, :-2, 1:-1]
    strength = (torch.sqrt(across**2 + down**2 + 1e-8) * 3 - 0.15).clamp(0, 1)
    return strength.reshape(n, 1, t, h, w).expand(-1, 3, -1, -1, -1)


def depth_frames(depth: Tensor) -> Tensor:
    """Depth N1THW as grey frames N3THW."""
    return depth.expand(-1, 3, -1, -1, -1)
