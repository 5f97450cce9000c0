"""`python -m wan_backend.frames.upload_process FOLDER`: what a person sent to the page in a browser, looked at once.

A process of its own, with limits of memory and time, because nobody knows what the file is. It is recognized by its
content alone and read as sources are (`source_frames`). A picture is turned as its camera says and kept as a PNG of
ours; a movie stays as it came. UPLOAD_LINE_FILE, written last, says what it is, or why it can't be used.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..protocol import process_setup
from ..protocol.conversion import to_json
from ..protocol.errors import Refusal
from ..protocol.media import UPLOAD_FILE, UPLOAD_LINE_FILE, UPLOAD_PICTURE_FILE, UPLOAD_THUMBNAIL_FILE
from ..protocol.messages import Framing, Pictures, Role, Source
from ..protocol.sentences import NO_SENTENCE, Sentence, as_sentence
from ..protocol.uploads import Upload
from ..storage import whole_file
from . import process_limits, source_frames, still_pictures
from .movie_frames import MovieFrames
from .take_writing import COMPRESSION
from .thumbnail_process import JPEG_QUALITY, MEMORY_BYTES, PICTURE_BYTES, small_size
from .unreadable_source import UnreadableSource

FILE_SECONDS = 40.0
LONGEST_SIDE = 4096
"""A larger picture is kept at so many pixels: no model makes as many."""
SLOWEST, FASTEST = 1, 240
"""Frames a second of a movie that takes can be made from."""
ORIENTATION = 0x0112
"""The tag in which a camera says how it was held."""
TURNS = {2: (0, True), 3: (180, False), 4: (180, True), 5: (90, True), 6: (90, False), 7: (270, True), 8: (270, False)}
"""By the tag's value: degrees clockwise by which the picture is turned, and whether it's mirrored then."""


@dataclass(frozen=True)
class _Movie:
    width: int
    height: int
    turn: int
    rate: Fraction
    frames: int


def look(folder: Path) -> Upload:
    """What UPLOAD_FILE in `folder` is, with a small picture of it there; or, in a sentence, why it can't be used."""
    file = folder / UPLOAD_FILE
    try:
        still_pictures.check_plain(file)
        if not file.stat().st_size:
            return Upload(problem=Sentence("it is empty"))
        held = _held(file)
        return _movie(folder) if held is None else _picture(folder, held)
    except UnreadableSource as unreadable:
        return Upload(problem=as_sentence(unreadable.args[0]))
    except Refusal as refusal:  # its sentence tells of a strip; the reason in it holds here as well
        return Upload(problem=as_sentence(refusal.problem.sentence.values.get("reason", refusal.problem.sentence)))
    except MemoryError:
        return Upload(problem=Sentence("there is too little memory to decode it"))
    except Exception:  # noqa: BLE001  # the edge: a decoder raises anything about a stranger's file
        return Upload(problem=Sentence("its format is not known, or it is damaged"))


def _held(file: Path) -> int | None:
    """How the camera was held, as its tag says (1: upright), if the file is a still picture."""
    with contextlib.suppress(Exception), Image.open(file, formats=still_pictures.known_formats()) as image:
        held = 1
        if image.format == "TIFF":
            return held  # whoever decodes it turns it as it says
        # Of a PNG, its tags are known once all of it was decoded, and one that is too large isn't to be.
        if 3 * image.width * image.height <= PICTURE_BYTES:
            with contextlib.suppress(Exception):
                held = int(image.getexif().get(ORIENTATION, 1))
        return held
    return None


def _picture(folder: Path, held: int) -> Upload:
    head = still_pictures.load(folder / UPLOAD_FILE, LONGEST_SIDE, PICTURE_BYTES)
    scale = min(1.0, LONGEST_SIDE / max(head.width, head.height))
    size = max(1, round(head.width * scale)), max(1, round(head.height * scale))
    turn, mirrored = TURNS.get(held, (0, False))
    as_it_came = Pictures(head.width, head.height, turn)
    del head
    source = Source(Role.FIRST, str(folder), [UPLOAD_FILE])
    (read,) = source_frames.read(source, [0], *size, size, PICTURE_BYTES)
    upright = np.rot90(read, -turn // 90)
    upright = np.ascontiguousarray(upright[:, ::-1] if mirrored else upright)
    _write(folder / UPLOAD_PICTURE_FILE, upright, ".png", [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
    _thumbnail(folder, upright)
    height, width = upright.shape[:2]
    return Upload(width, height, pictures=as_it_came, mirrored=mirrored, file=UPLOAD_PICTURE_FILE)


def _movie(folder: Path) -> Upload:
    found = _head(folder / UPLOAD_FILE)
    if not SLOWEST <= found.rate <= FASTEST:
        return Upload(
            problem=Sentence("it plays at {rate} frames a second, which is no movie's", rate=f"{float(found.rate):g}")
        )
    made = Upload(
        *((found.height, found.width) if found.turn in (90, 270) else (found.width, found.height)),
        is_movie=True,
        frames=found.frames,
        rate_numerator=found.rate.numerator,
        rate_denominator=found.rate.denominator,
        pictures=Pictures(found.width, found.height, found.turn, *[source_frames.ANY_DEPTH] * 3),
        file=UPLOAD_FILE,
    )
    frame = Framing(made.width, made.height, 0.0, 0.0, float(made.width), float(made.height))
    source = Source(Role.FOOTAGE, str(folder), [UPLOAD_FILE], True, 0, 1, frame, pictures=made.pictures)
    size = small_size(made.width, made.height)
    (read,) = source_frames.read(source, [0], *size, (made.width, made.height))
    _thumbnail(folder, read)
    return made


def _head(file: Path) -> _Movie:
    """Size, rate and length; the length is that of its pictures, which a header may misstate. Raises anything."""
    with MovieFrames(file) as movie:
        first = next(movie.frames([0]))
        width, height, turn = first.width, first.height, -int(getattr(first, "rotation", 0) or 0) % 360
        if width * height > source_frames.MAX_MOVIE_PIXELS:
            raise UnreadableSource(Sentence("its pictures are too large to decode"))
        rate, frames = movie.rate, movie.count()
    return _Movie(width, height, turn if turn in (90, 180, 270) else 0, rate, frames)


def _thumbnail(folder: Path, picture: np.ndarray) -> None:
    size = small_size(picture.shape[1], picture.shape[0])
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    _write(folder / UPLOAD_THUMBNAIL_FILE, small, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _write(file: Path, picture: np.ndarray, kind: str, settings: list[int]) -> None:
    done, content = cv2.imencode(kind, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)
    if not done:
        raise UnreadableSource(Sentence("it is not a picture of one to four channels"))
    whole_file.write(file, content.data)


def main() -> int:
    """Look at what is in the folder; returns the exit code."""
    process_setup.exit_after_parent()
    process_limits.limit_memory(MEMORY_BYTES)
    faulthandler.dump_traceback_later(FILE_SECONDS, exit=True)
    folder = Path(sys.argv[1])
    found = look(folder)
    whole_file.write_json(folder / UPLOAD_LINE_FILE, to_json(found), flushed=False)
    os._exit(0 if found.problem == NO_SENTENCE else 1)  # a decoder that can't be ended must not keep it


if __name__ == "__main__":
    sys.exit(main())
