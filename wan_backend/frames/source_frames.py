"""A source's frames as the model sees them. May import numpy, protocol and its neighbours.

The files lie on the disk where the request says; nothing is kept of them but the frames that are asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..protocol.errors import Refusal
from ..protocol.messages import Pictures, Problem, ProblemKind, Source
from . import pictures
from .color import FrameReader, depths, words
from .framing import NothingShown, axes
from .movie_frames import MovieFrames, Unreadable

log = logging.getLogger(__name__)

ANY_DEPTH = 64
MOST_MOVIE_PIXELS = 100_000_000
"""Of one frame; a decoder holds a score of them at once. The largest cameras and VR films have 67 million."""


class Changing(Unreadable):
    """The pictures change within the movie, and no Blender (4.2 to 5.2) shows those after that: it shows noise."""


class OtherPictures(Unreadable):
    """What is found isn't what the source was framed for; the message says how, as half a sentence."""


def read(
    source: Source,
    frames: Sequence[int],
    width: int,
    height: int,
    scene_size: tuple[int, int],
    budget_bytes: int = pictures.BUDGET_BYTES,
) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) RGB for each of the source's frames asked for, as it lies in the model's picture.

    `frames` counts from the source's first frame, is sorted, and may repeat one. `scene_size` is the scene's width
    and height, for sources that say nothing of their framing. A still picture that takes more than `budget_bytes` is
    refused. Raises Refusal (bad_source) where a file can't be read, whatever is wrong with it.
    """
    if not source.files:
        raise Refusal(Problem(ProblemKind.BAD_SOURCE, "A source of this take has no files; choose its strip again."))
    if source.is_movie:
        yield from _from_movie(source, frames, (width, height), scene_size)
    else:
        yield from _from_pictures(source, frames, (width, height), scene_size, budget_bytes)


def _from_movie(
    source: Source, frames: Sequence[int], size: tuple[int, int], scene_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    file = Path(source.folder) / source.files[0]
    reader: FrameReader | None = None
    framed = source.pictures
    shown, picture = None, np.empty(0)
    try:
        pictures.check_plain(file)
        with MovieFrames(file) as movie:
            _check_movie(*movie.size)
            for frame in movie.frames([source.first_frame + index for index in frames]):
                if reader is None or framed is None:
                    framed = framed or Pictures(frame.width, frame.height, 0, ANY_DEPTH, ANY_DEPTH, ANY_DEPTH)
                    reader = FrameReader(*axes(source.framing, framed.shown_size(), size, scene_size), framed.turn)
                    log.info("%s: %s, read as %d x %d", file.name, words(frame), *size)
                if frame is not shown:
                    _check_head(source.pictures, movie.size)
                    _check_even(movie, frame)
                    _check(framed, (frame.width, frame.height), depths(frame))
                    shown, picture = frame, reader.picture(frame)
                yield picture
    except Exception as error:  # nobody knows what a decoder raises about a damaged file
        raise _refused("movie", file, error) from error


def _check_movie(width: int, height: int) -> None:
    if width * height > MOST_MOVIE_PIXELS:
        raise Unreadable(f"its pictures of {width:,} x {height:,} pixels are too large to decode")


def _check_head(framed: Pictures | None, said: tuple[int, int]) -> None:
    """Raise OtherPictures where the movie isn't of the size that the source was framed for."""
    if framed is not None and all(said):
        _check(framed, said)


def _check_even(movie: MovieFrames, frame: Any) -> None:
    if not movie.is_as_said(frame):
        raise Changing(f"its pictures change from {movie.change(frame)}, and Blender shows noise from there on")


def _from_pictures(
    source: Source, frames: Sequence[int], size: tuple[int, int], scene_size: tuple[int, int], budget_bytes: int
) -> Iterator[np.ndarray]:
    readers: dict[tuple[int, int], FrameReader] = {}
    shown, picture = "", np.empty(0)
    for index in frames:
        name = source.files[min(index, len(source.files) - 1)]
        if name != shown:
            file = Path(source.folder) / name
            try:
                found = pictures.load(file, max(size), budget_bytes)
                full = found.width, found.height
                if source.pictures is not None:
                    _check(source.pictures, full)
                if full not in readers:
                    readers[full] = FrameReader(*axes(source.framing, full, size, scene_size))
                    log.info("%s: %d x %d, read as %d x %d", name, *full, *size)
                shown, picture = name, readers[full].from_pixels(found.pixels, found.order, found.shrunk)
            except Exception as error:  # nobody knows what a decoder raises about a damaged file
                raise _refused("picture", file, error) from error
        yield picture


def _check(framed: Pictures, found: tuple[int, int], depths: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Raise OtherPictures where a picture isn't what the source was framed for."""
    if found != (framed.width, framed.height):
        sizes = f"{found[0]} x {found[1]} and not {framed.width} x {framed.height}"
        raise OtherPictures(f"one of its pictures is {sizes} pixels")
    allowed = framed.alpha_bits, framed.rgb_bits, framed.grey_bits
    for what, bits, most in zip(("transparency", "RGB", "gray"), depths, allowed, strict=True):
        if bits > most:
            raise OtherPictures(f"it has {what} of {bits} bits, which Blender may show otherwise")


def _refused(kind: str, file: Path, error: Exception) -> Refusal:
    if isinstance(error, FileNotFoundError):
        sentence = f"The {kind} {file} is not there any more; put it back, or choose another strip."
        return Refusal(Problem(ProblemKind.BAD_SOURCE, sentence))
    why = "its format is not known, or it is damaged"
    if isinstance(error, Unreadable | NothingShown):
        why = str(error)
    elif isinstance(error, MemoryError):
        why = "there is too little memory to decode it"
    elif isinstance(error, PermissionError | IsADirectoryError):
        why = str(error.strerror).lower()
    elif isinstance(error, OSError) and error.strerror:
        why = f"it can't be read to its end ({error.strerror}), so its disk or share fails"
    problem, advice = ProblemKind.BAD_SOURCE, "convert it to MP4 or PNG, or choose another strip"
    if isinstance(error, OSError) and error.strerror:
        advice = "see to it, or choose another strip"
    if isinstance(error, Changing):
        advice = "convert it to MP4 with a program that makes all of it alike (as HandBrake does), and use that instead"
    if isinstance(error, OtherPictures):
        problem, advice = ProblemKind.RENDER_FIRST, "press Retry in Blender, which then renders what its strip shows"
    return Refusal(Problem(problem, f"The {kind} {file} can't be used: {why}; {advice}."))
