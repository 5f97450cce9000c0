"""What a take looks like so far, as a small JPEG in the job's folder. May import opencv, pipelines and protocol."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import cv2
import numpy as np

from ..pipelines.denoise import DenoisingStep
from ..pipelines.preview import LatentColors
from ..protocol.media import PREVIEW_FILE, PREVIEW_PIXELS_FILE
from ..storage import whole_file

log = logging.getLogger(__name__)

MOST_BYTES = 40_000
QUALITIES = (88, 75, 60, 40, 20)


class LivePreview:
    """Shows the middle of the take after each step; where it can't, it says nothing."""

    def __init__(self, folder: Path | None, colors: LatentColors | None) -> None:
        self._file = folder / PREVIEW_FILE if folder is not None and colors is not None else None
        self._colors = colors
        self.path = ""
        """Of the newest picture; empty while there is none."""

    def go_on(self) -> None:
        """Show what an earlier try at the same take has left."""
        if self._file is not None and self._file.is_file():
            self.path = str(self._file)

    def show(self, step: DenoisingStep) -> None:
        """Put the clean estimate after `step` in place of the picture before."""
        if self._file is None or self._colors is None:
            return
        frames = step.latents.shape[2] - step.references
        picture = self._colors.picture(step.clean(frames // 2))
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(self._file.with_name(PREVIEW_PIXELS_FILE), pixels(picture))
            whole_file.write(self._file, encoded(picture))
        except OSError as error:
            log.warning("no preview can be written to %s: %s", self._file, error)
            self._file, self.path = None, ""
        else:
            self.path = str(self._file)


def pixels(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as PREVIEW_PIXELS_FILE has it."""
    height, width = picture.shape[:2]
    opaque = np.full((height, width, 4), 255, np.uint8)
    opaque[:, :, :3] = picture[::-1]
    return struct.pack("<II", width, height) + opaque.tobytes()


def encoded(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG of at most MOST_BYTES."""
    bgr = np.ascontiguousarray(picture[:, :, ::-1])
    content = b""
    for quality in QUALITIES:
        content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(content) <= MOST_BYTES:
            break
    return content
