"""Draws the demo film's media: a dawn in 48 frames, and a still of the night. Runs in the backend's environment.

Blender's own numpy is not used, because Debian's Blender comes without.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

WIDTH, HEIGHT = 960, 540
SHOT_FRAMES = 48


def landscape(time: float, night: bool) -> np.ndarray:
    """A drawn landscape (H, W, 3, uint8) at `time` from 0 to 1: a sun or moon over hills."""
    x, y = np.meshgrid(np.linspace(0, WIDTH / HEIGHT, WIDTH), np.linspace(0, 1, HEIGHT))
    top, low = ((14, 18, 52), (52, 60, 110)) if night else ((70, 110, 190), (250, 190, 120))
    blend = y[..., None]
    picture = np.array(top) * (1 - blend) + np.array(low) * blend
    middle = (0.4 + 0.9 * time, 0.55 - 0.3 * math.sin(math.pi * time))
    distance = np.hypot(x - middle[0], y - middle[1])
    light = np.clip((0.09 - distance) * 200, 0, 1)[..., None]
    picture = picture * (1 - light) + np.array((230, 235, 245) if night else (255, 240, 190)) * light
    for level, (base, colour) in enumerate(((0.62, 0.55), (0.74, 0.35), (0.86, 0.18))):
        line = base + 0.07 * np.sin(3.1 * x + 1.7 * level + time * (level + 1) * 0.3) + 0.02 * np.sin(11 * x + level)
        hill = np.clip((y - line) * 300, 0, 1)[..., None]
        picture = picture * (1 - hill) + np.array((60, 90, 70)) * colour * (0.6 if night else 1.6) * hill
    return np.clip(picture, 0, 255).astype(np.uint8)


def main(folder: Path) -> int:
    """Write the PNG files into `folder`; returns 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(SHOT_FRAMES):
        imageio.imwrite(folder / f"dawn_{index + 1:04d}.png", landscape(index / SHOT_FRAMES, night=False))
    imageio.imwrite(folder / "night.png", landscape(0.5, night=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
