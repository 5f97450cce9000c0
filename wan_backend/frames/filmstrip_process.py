"""`python -m wan_backend.frames.filmstrip_process`: takes in a few small pictures each, or some frames as they play.

A process of its own, with limits of memory and time, as the one for thumbnails. It reads FilmstripsParams as JSON from
stdin and writes one file for each film, whose paths are its arguments; a film that can't be read gets none.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import zlib
from pathlib import Path

import numpy as np

from ..protocol import process_setup
from ..protocol.conversion import from_json
from ..protocol.errors import Refusal
from ..protocol.media import FILMSTRIP_HEAD, FILMSTRIP_MARK, FILMSTRIP_PICTURES, FILMSTRIP_SIDE, REEL_FILLER, REEL_MARK
from ..protocol.messages import Film, FilmstripsParams
from ..storage import whole_file
from . import process_limits, source_frames
from .thumbnail_process import MEMORY_BYTES, PICTURE_BYTES, SOURCE_SECONDS

log = logging.getLogger(__name__)


def make(film: Film) -> bytes:
    """The content of a film's file. Raises Refusal or MemoryError if its files can't be read."""
    if film.side:
        return make_reel(film)
    width, height = small_size(film.width, film.height)
    chosen = chosen_frames(film.source.frames)
    read = source_frames.read(film.source, chosen, width, height, (film.width, film.height), PICTURE_BYTES)
    pictures = [np.dstack((picture, np.full((height, width), 255, np.uint8)))[::-1] for picture in read]
    head = FILMSTRIP_HEAD.pack(FILMSTRIP_MARK, width, height, len(pictures), 0)
    levels = np.concatenate(pictures).astype("<f4") / np.float32(255)
    return head + zlib.compress(levels.tobytes(), 1)


def make_reel(film: Film) -> bytes:
    """Every frame, no larger than it is. Raises as `make` does."""
    scene_size, frames = (film.width, film.height), range(film.source.frames)
    width, height = small_size(*scene_size, min(film.side, max(scene_size)))
    filler = np.full((height, width), REEL_FILLER, np.uint8)
    read = source_frames.read(film.source, frames, width, height, scene_size, PICTURE_BYTES)
    pictures = [np.dstack((picture, filler))[::-1].tobytes() for picture in read]
    return FILMSTRIP_HEAD.pack(REEL_MARK, width, height, len(pictures), 0) + b"".join(pictures)


def small_size(width: int, height: int, side: int = FILMSTRIP_SIDE) -> tuple[int, int]:
    """Width and height of the small pictures of a film of that size."""
    scale = side / max(width, height, 1)
    return max(1, round(width * scale)), max(1, round(height * scale))


def chosen_frames(frames: int) -> list[int]:
    """The frames that are shown: the first, the last, and as many between as there is room for."""
    count = min(frames, FILMSTRIP_PICTURES)
    return [round(index * (frames - 1) / (count - 1)) for index in range(count)] if count > 1 else [0]


def main() -> int:
    """Make the filmstrips that stdin asks for; returns the exit code."""
    process_setup.exit_after_parent()
    process_limits.limit_memory(MEMORY_BYTES)
    params = from_json(FilmstripsParams, json.load(sys.stdin), "params")
    for film, file in zip(params.films, sys.argv[1:], strict=True):
        faulthandler.dump_traceback_later(SOURCE_SECONDS, exit=True)  # for each anew
        try:
            whole_file.write(Path(file), make(film))
        except (Refusal, MemoryError, OSError) as refusal:
            log.info("no filmstrip: %s", refusal)
    sys.stdout.flush()
    os._exit(0)  # a decoder that can't be ended must not keep it


if __name__ == "__main__":
    sys.exit(main())
