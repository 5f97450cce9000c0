"""What a take looks like so far, in the job's folder: a small JPEG, and its pixels as Blender takes them."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import cv2
import numpy as np
import torch

from ..pipelines.preview import LatentColors
from ..protocol.media import PREVIEW_FILE, PREVIEW_PIXELS_FILE
from ..storage import whole_file

log = logging.getLogger(__name__)

MAX_BYTES = 40_000
QUALITIES = (88, 75, 60, 40, 20)


class PreviewFile:
    """Shows the middle of the take after each step; if it can't be written, there is no preview."""

    def __init__(self, folder: Path | None, colors: LatentColors | None) -> None:
        self._file = folder / PREVIEW_FILE if folder is not None and colors is not None else None
        self._colors = colors
        self.path = ""
        """The path of the newest picture; "" while there is none."""

    def go_on(self) -> None:
        """Show what an earlier try at the same take has left."""
        if self._file is not None and self._file.is_file():
            self.path = str(self._file)

    def show(self, clean: torch.Tensor) -> None:
        """Replace the picture with the clean estimate (C, h, w) after a step."""
        if self._file is None or self._colors is None:
            return
        picture = self._colors.picture(clean)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(self._file.with_name(PREVIEW_PIXELS_FILE), pack_pixels(picture))
            whole_file.write(self._file, encode_jpeg(picture))
        except OSError as error:
            log.warning("no preview can be written to %s: %s", self._file, error)
            self._file, self.path = None, ""
        else:
            self.path = str(self._file)


def pack_pixels(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as PREVIEW_PIXELS_FILE has it: width, height, and RGBA from the bottom row up."""
    height, width = picture.shape[:2]
    opaque = np.full((height, width, 4), 255, np.uint8)
    opaque[:, :, :3] = picture[::-1]
    return struct.pack("<II", width, height) + opaque.tobytes()


def encode_jpeg(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG of at most MAX_BYTES."""
    bgr = np.ascontiguousarray(picture[:, :, ::-1])
    content = b""
    for quality in QUALITIES:
        content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(content) <= MAX_BYTES:
            break
    return content
