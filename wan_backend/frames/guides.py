"""What a restyled take keeps of its footage: edges, depth. May import numpy, opencv and protocol."""

from __future__ import annotations

import numpy as np

GAIN, FLOOR = 3.0, 0.15
"""Of a brightness step, in 0..1: as the embedded model was trained (embedded/world.py)."""


def edges(picture: np.ndarray) -> np.ndarray:
    """Soft white lines on black, uint8 (H, W, 3), where the brightness of uint8 RGB (H, W, 3) steps."""
    gray = np.pad(picture.astype(np.float32).mean(axis=2) / 255, 1, mode="edge")
    across = gray[1:-1, 2:] - gray[1:-1, :-2]
    down = gray[2:, 1:-1] - gray[:-2, 1:-1]
    strength = np.clip(np.sqrt(across**2 + down**2 + 1e-8) * GAIN - FLOOR, 0, 1)
    levels = np.rint(strength * 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)
