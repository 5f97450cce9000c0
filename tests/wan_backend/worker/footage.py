"""Sources for tests: numbered pictures that move, and what each task would have of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from wan_backend.protocol.messages import Role, Source

WIDTH, HEIGHT = 64, 48


def picture(number: int) -> np.ndarray:
    """uint8 RGB; no two numbers below 64 look alike."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    wave = np.sin((x + 3 * number) / 6) * np.cos(y / 9)
    levels = np.stack([128 + 80 * wave, 128 + 2 * number + 0 * wave, 128 - 60 * wave], axis=-1)
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def source(folder: Path, role: Role, numbers: range) -> Source:
    """Pictures of those numbers, on the disk."""
    place = folder / role.value
    place.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(place / f"{number:04}.png"), picture(number)[:, :, ::-1])
    return Source(role, str(place), [f"{number:04}.png" for number in numbers], frames=len(numbers))
