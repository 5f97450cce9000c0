"""Draws a shot past which the camera pans, for the pictures alone: a motion that the embedded model knows well.

Runs in the backend's environment, as the demo's media does, and writes FOLDER/pan.mp4.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))

import draw_media

PAN = draw_media.scene("blue", "circle", "sand", "still", "pan right", y=0.05, travel=0.55, texture_seed=21)


def main(folder: Path) -> int:
    """Write the movie into `folder`; returns 0."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_media.write_movie(folder / "pan.mp4", draw_media.draw(PAN, draw_media.MOVIE_FRAMES))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
