"""Draws the demo film's media from the world that the embedded model knows. Runs in the backend's environment.

A movie that is cut in two (with a hole between the shots), a still, and a shot in pictures that is restyled.
Blender's own numpy is not used, because Debian's Blender comes without.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from PIL import Image

from tools.embedded_model import world
from tools.embedded_model.scenes import Scene
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.messages import MediaFormat

WIDTH, HEIGHT, RATE = 768, 432, 24
"""Three times the size that the model works at: what is read of it has to be scaled, as footage has."""
MOVIE_FRAMES, SHOT_FRAMES = 72, 36
STILL = "still.png"


def scene(color: str, shape: str, background: str, motion: str, camera: str = "static", **numbers: float) -> Scene:
    """A scene of the world with middling numbers, but for those that are given."""
    middling = {
        "x": 0.0,
        "y": 0.0,
        "travel": 0.45,
        "radius": 0.19,
        "growth": 1.6,
        "angle": 0.1,
        "spin": 3.0,
        "camera_travel": 0.3,
        "zoom": 1.5,
        "nearness": 0.9,
        "texture_seed": 5,
    }
    return Scene(color, shape, background, "flat", motion, camera, **middling | numbers)


MOVIE = scene("yellow", "circle", "night", "right", y=0.05, travel=0.55, texture_seed=21)
PICTURE = scene("red", "circle", "sand", "still", x=-0.1, radius=0.2)
SHOT = scene("blue", "square", "grass", "still", "pan right", texture_seed=11)


def draw(drawn: Scene, frames: int) -> list[np.ndarray]:
    """The scene's frames (H, W, 3, uint8), as large as the media."""
    clip = world.draw([drawn], frames=frames).frames[0].permute(1, 2, 3, 0)
    pictures = (clip * 255).round().byte().numpy()
    size = (WIDTH, HEIGHT)
    return [np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)) for picture in pictures]


def write_movie(path: Path, pictures: list[np.ndarray]) -> None:
    """H.264, as a camera or an editor gives it."""
    with Movie(path, MediaFormat.H264, Fraction(RATE), WIDTH, HEIGHT) as movie:
        for index, picture in enumerate(pictures):
            movie.write(picture, [index])


def main(folder: Path) -> int:
    """Write the files into `folder`; returns 0."""
    folder.mkdir(parents=True, exist_ok=True)
    write_movie(folder / "moon.mp4", draw(MOVIE, MOVIE_FRAMES))
    imageio.imwrite(folder / STILL, draw(PICTURE, 1)[0])
    for index, picture in enumerate(draw(SHOT, SHOT_FRAMES), start=1):
        imageio.imwrite(folder / f"shot_{index:04d}.png", picture)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
