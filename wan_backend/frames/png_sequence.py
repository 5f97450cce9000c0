"""Frames as numbered PNG files. May import numpy, opencv, whole_file and protocol."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..protocol.media import frame_file
from ..storage import whole_file

COMPRESSION = 3
"""Of zlib, 0 to 9: above it the files hardly get smaller, but take much longer."""


class PngSequence:
    """Writes a take's frames into `folder`; a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, frame: np.ndarray, indices: list[int]) -> None:
        """`frame` (H, W, 3, uint8 RGB) as the take's frames `indices`; encoded once, however many they are."""
        if not indices:
            return
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        good, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
        if not good:
            raise ValueError(f"opencv can't encode a frame of shape {frame.shape} as PNG")
        for index in indices:
            whole_file.write(self._folder / frame_file(index), png.data, flushed=True)
