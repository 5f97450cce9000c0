"""`python -m wan_backend.frames.thumbnail_process`: small pictures of sources.

A process of its own, with limits of memory and time, so that a file which crashes its decoder ends nothing else. It
reads ThumbnailsParams as JSON from stdin and writes JPEG files into the folder of its first argument. The result for
each source is appended to THUMBNAIL_LINES_FILE at once: when the process dies, its lines say at which source. If no
take can be made from a file either, its line says why.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..protocol import process_setup
from ..protocol.conversion import from_json, to_json
from ..protocol.errors import Refusal
from ..protocol.media import THUMBNAIL_LINES_FILE
from ..protocol.messages import (
    Guide,
    Role,
    Source,
    SourceProblem,
    Thumbnail,
    ThumbnailsParams,
    ThumbnailsResult,
)
from . import process_limits, source_frames

log = logging.getLogger(__name__)

LONGEST_SIDE = 192
JPEG_QUALITY = 85
PICTURE_BYTES = 512 << 20
"""For one still picture while it's decoded: half of what a take may use, because a strip is merely selected."""
MEMORY_BYTES = 4 << 30
"""Address space beyond what the process has when it starts; an 8K movie on many threads takes half of it."""
SOURCE_SECONDS = 15.0


def make(params: ThumbnailsParams, folder: Path) -> ThumbnailsResult:
    """The thumbnails of all sources that can be read, written into `folder`. Raises OSError."""
    each = list(make_each(params, folder))
    pictures = [picture for made in each for picture in made.pictures]
    return ThumbnailsResult(pictures, [problem for made in each for problem in made.problems])


def make_each(params: ThumbnailsParams, folder: Path, prefix: str = "") -> Iterator[ThumbnailsResult]:
    """The thumbnails of each source, or what is wrong with it, if that lasts. Raises OSError."""
    size = small_size(params.width, params.height)
    count = 0
    for source in params.sources:
        made: list[Thumbnail] = []
        problems: list[SourceProblem] = []
        scene_size = params.width, params.height
        read: list[np.ndarray] = []
        try:
            for picture in source_frames.read(source, shown(source), *size, scene_size, PICTURE_BYTES):
                read.append(picture)
        except (Refusal, MemoryError) as refusal:
            log.info("no thumbnail: %s", refusal)
            if isinstance(refusal, Refusal) and source_frames.is_lasting(refusal):
                failed = shown(source)[len(read)]
                file = source.files[0 if source.is_movie else min(failed, len(source.files) - 1)]
                problems.append(SourceProblem(source.role, file, refusal.problem, source.at_frame))
            read = []
        for picture, control in pictures(source, read, params.guide):
            written = folder / f"{prefix}{count}.jpg"
            _write(written, picture)
            made.append(Thumbnail(source.role, str(written), control))
            count += 1
        yield ThumbnailsResult(made, problems)


def small_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the thumbnails for a frame of that size."""
    scale = LONGEST_SIDE / max(width, height, 1)
    return max(1, round(width * scale)), max(1, round(height * scale))


def shown(source: Source) -> list[int]:
    """Which of a source's frames are shown: the one beside the take, else the first and the last."""
    last = max(source.frames, 1) - 1
    if source.role is Role.BEFORE:
        return [last]
    return [0] if source.role is Role.AFTER else sorted({0, last})


def pictures(source: Source, read: list[np.ndarray], guide: Guide) -> Iterator[tuple[np.ndarray, bool]]:
    """Each picture, and whether it's a control: the edges of the first frame, if they guide the take."""
    for picture in read:
        yield picture, False
    if source.role in (Role.FOOTAGE, Role.DEPTH) and guide is Guide.EDGES and read:
        yield source_frames.edges(read[0]), True


def _write(file: Path, picture: np.ndarray) -> None:
    done, content = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if done:
        file.write_bytes(content.tobytes())  # opencv can't write names beyond ASCII on Windows


def main() -> int:
    """Make the thumbnails that stdin asks for; returns the exit code."""
    process_setup.exit_after_parent()
    process_limits.limit_memory(MEMORY_BYTES)
    params = from_json(ThumbnailsParams, json.load(sys.stdin), "params")
    folder, prefix = Path(sys.argv[1]), sys.argv[2]
    with open(folder / THUMBNAIL_LINES_FILE, "ab", buffering=0) as results:
        faulthandler.dump_traceback_later(SOURCE_SECONDS, exit=True)
        for made in make_each(params, folder, prefix):
            results.write(json.dumps(to_json(made)).encode() + b"\n")
            faulthandler.dump_traceback_later(SOURCE_SECONDS, exit=True)  # for the next one, anew
    sys.stdout.flush()
    os._exit(0)  # a decoder that can't be ended must not keep it


if __name__ == "__main__":
    sys.exit(main())
