"""Writes takes as workers leave them: `write_takes.py FOLDER COUNT`. In the backend's Python.

COUNT small takes, whose pictures are one file under many names, and two of 832x480 with pictures of their own, like
footage in how long they take to decode. Says nothing; the two large ones are the newest. Whose take a folder holds is
told by its take.json alone, since its name can be read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from wan_backend.protocol import take_names
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.media import SETTINGS_FILE, frame_file
from wan_backend.protocol.messages import FrameRate, MediaFormat, Take, TakeRequest

WORDS = ("a red fox", "an orange circle", "fog over pines", "a ball rolls", "rain on glass", "the harbor at dawn")
SMALL, LARGE = (256, 144, 4), (832, 480, 48)
"""Width, height and frames."""


def main() -> None:
    """Write them."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    one = folder / "one.png"
    cv2.imwrite(str(one), picture(SMALL[0], SMALL[1], 0))
    for number in range(count):
        names = take(folder, f"{number + 1:032x}", number, f"{WORDS[number % len(WORDS)]}, number {number}", SMALL)
        for name in names:
            os.link(one, name)
        seal(names[0].parent, number)
    one.unlink()
    for number in range(count, count + 2):
        names = take(folder, f"{number + 1:032x}", number, f"large {number - count}", LARGE)
        for index, name in enumerate(names):
            cv2.imwrite(str(name), picture(LARGE[0], LARGE[1], index * 3 + 90 * (number - count)))
        seal(names[0].parent, number)


def take(folder: Path, job_id: str, number: int, prompt: str, form: tuple[int, int, int]) -> list[Path]:
    """The take's folder with its settings; gives the paths of its pictures."""
    width, height, frames = form
    request = TakeRequest(prompt, "embedded", width, height, frames, FrameRate(24), number, str(folder))
    title = take_names.title(request)
    here = folder / take_names.numbered(number + 1, title)
    here.mkdir()
    made = Take(str(here), frame_file(0), MediaFormat.PNG, frames, width, height, FrameRate(24))
    content = {"format": 1, "job_id": job_id, "request": to_json(request), "take": to_json(made)}
    content[take_names.TITLE_KEY] = title
    (here / SETTINGS_FILE).write_text(json.dumps(content))
    return [here / frame_file(index) for index in range(frames)]


def seal(here: Path, number: int) -> None:
    """Give the take the date that its number says."""
    second = 1_700_000_000 + number
    os.utime(here / SETTINGS_FILE, (second, second))


def picture(width: int, height: int, shift: int) -> np.ndarray:
    """Soft shapes with grain, uint8 BGR (height, width, 3): PNG packs it about as well as footage."""
    rows, columns = np.mgrid[0:height, 0:width]
    wave = np.stack([np.sin((columns + shift * k) / (19 * k) + rows / (23 + k)) for k in (1, 2, 3)], axis=-1)
    grain = np.random.default_rng(shift).normal(0, 2.5, (height, width, 1))
    return np.clip(128 + 90 * wave + grain, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
