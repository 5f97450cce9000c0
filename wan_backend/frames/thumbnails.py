"""`python -m wan_backend.frames.thumbnails`: small pictures of sources. May import opencv, protocol and its neighbours.

A process of its own, so that a file which ends its decoder ends nothing else. It reads ThumbnailsParams as JSON from
stdin, writes JPEG files into the folder that it is given, and ThumbnailsResult to stdout.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..protocol.conversion import from_json, to_json
from ..protocol.errors import Refusal
from ..protocol.messages import Guide, Role, Source, Thumbnail, ThumbnailsParams, ThumbnailsResult
from . import guides, source_frames

log = logging.getLogger(__name__)

LONGEST_SIDE = 192
JPEG_QUALITY = 85


def make(params: ThumbnailsParams, folder: Path) -> ThumbnailsResult:
    """The pictures of all sources that can be read, written into `folder`. Raises OSError."""
    size = small_size(params.width, params.height)
    made: list[Thumbnail] = []
    for source in params.sources:
        try:
            read = list(source_frames.read(source, shown(source), *size, (params.width, params.height)))
        except Refusal as refusal:
            log.info("no thumbnail: %s", refusal)
            continue
        for picture, control in pictures(source, read, params.guide):
            file = folder / f"{len(made)}.jpg"
            _write(file, picture)
            made.append(Thumbnail(source.role, str(file), control))
    return ThumbnailsResult(made)


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the thumbnails of a frame of that size."""
    scale = LONGEST_SIDE / max(width, height, 1)
    return max(1, round(width * scale)), max(1, round(height * scale))


def shown(source: Source) -> list[int]:
    """Which of a source's frames are shown: the one that touches the take, else the first and the last."""
    last = max(source.frames, 1) - 1
    if source.role is Role.BEFORE:
        return [last]
    return [0] if source.role is Role.AFTER else sorted({0, last})


def pictures(source: Source, read: list[np.ndarray], guide: Guide) -> Iterator[tuple[np.ndarray, bool]]:
    """Each picture, and whether it was made of another: the edges of the first frame, where they guide the take."""
    for picture in read:
        yield picture, False
    if source.role in (Role.FOOTAGE, Role.DEPTH) and guide is Guide.EDGES and read:
        yield guides.edges(read[0]), True


def _write(file: Path, picture: np.ndarray) -> None:
    done, content = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if done:
        file.write_bytes(content.tobytes())  # opencv can't write names beyond ASCII on Windows


def main() -> int:
    """Do as stdin says; the exit code."""
    params = from_json(ThumbnailsParams, json.load(sys.stdin), "params")
    result = make(params, Path(sys.argv[1]))
    sys.stdout.write(json.dumps(to_json(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
