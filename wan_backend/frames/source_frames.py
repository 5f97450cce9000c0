"""A source's frames as the model sees them. May import numpy, opencv, imageio, protocol and its neighbours.

The files lie on the disk where the request says; nothing is kept of them but the frames that are asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import imageio.v3 as imageio
import numpy as np

from ..protocol.errors import Refusal
from ..protocol.messages import Pictures, Problem, ProblemKind, Source
from .colour import FrameReader, alpha_bits, opaque, words
from .framing import NothingShown, axes
from .movie_frames import MovieFrames, Unreadable

log = logging.getLogger(__name__)

ANY_ALPHA = 64


class OtherPictures(Unreadable):
    """What is found isn't what the source was framed for; the message says how, as half a sentence."""


def read(
    source: Source, frames: Sequence[int], width: int, height: int, scene_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) RGB for each of the source's frames asked for, as it lies in the model's picture.

    `frames` counts from the source's first frame, is sorted, and may repeat one. `scene_size` is the scene's width
    and height, for sources that say nothing of their framing. Raises Refusal (bad_source) where a file can't be read.
    """
    if not source.files:
        raise Refusal(Problem(ProblemKind.BAD_SOURCE, "A source of this take has no files; choose its strip again."))
    if source.is_movie:
        yield from _from_movie(source, frames, (width, height), scene_size)
    else:
        yield from _from_pictures(source, frames, (width, height), scene_size)


def _from_movie(
    source: Source, frames: Sequence[int], size: tuple[int, int], scene_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    file = Path(source.folder) / source.files[0]
    reader: FrameReader | None = None
    framed = source.pictures
    shown, picture = None, np.empty(0)
    try:
        with MovieFrames(file) as movie:
            for frame in movie.frames([source.first_frame + index for index in frames]):
                if reader is None or framed is None:
                    framed = framed or Pictures(frame.width, frame.height, alpha_bits=ANY_ALPHA)
                    reader = FrameReader(*axes(source.framing, framed.shown_size(), size, scene_size), framed.turn)
                    log.info("%s: %s, read as %d x %d", file.name, words(frame), *size)
                if frame is not shown:
                    _check(framed, (frame.width, frame.height), alpha_bits(frame))
                    shown, picture = frame, reader.picture(frame)
                yield picture
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _refused("movie", file, error) from error


def _from_pictures(
    source: Source, frames: Sequence[int], size: tuple[int, int], scene_size: tuple[int, int]
) -> Iterator[np.ndarray]:
    readers: dict[tuple[int, int], FrameReader] = {}
    shown, picture = "", np.empty(0)
    for index in frames:
        name = source.files[min(index, len(source.files) - 1)]
        if name != shown:
            file = Path(source.folder) / name
            try:
                pixels = load_picture(file)
                full = pixels.shape[1], pixels.shape[0]
                if source.pictures is not None:
                    _check(source.pictures, full)
                if full not in readers:
                    readers[full] = FrameReader(*axes(source.framing, full, size, scene_size))
                    log.info("%s: %d x %d, read as %d x %d", name, *full, *size)
                shown, picture = name, readers[full].from_rgb(pixels)
            except (OSError, ValueError, cv2.error) as error:
                raise _refused("picture", file, error) from error
        yield picture


def _check(framed: Pictures, found: tuple[int, int], alpha: int = 0) -> None:
    """Raise OtherPictures where a picture isn't what the source was framed for."""
    if found != (framed.width, framed.height):
        sizes = f"{found[0]} x {found[1]} and not {framed.width} x {framed.height}"
        raise OtherPictures(f"one of its pictures is {sizes} pixels")
    if alpha > framed.alpha_bits:
        raise OtherPictures(f"it has transparency of {alpha} bits, which Blender may show otherwise")


def load_picture(file: Path) -> np.ndarray:
    """float32 RGB (H, W, 3) in 0..255, laid over black by its alpha. Raises OSError or ValueError."""
    content = np.fromfile(file, np.uint8)  # opencv can't open names beyond ASCII on Windows
    if not content.size:
        raise Unreadable("it is empty")
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        found = np.asarray(imageio.imread(file, index=0))
    elif pixels.ndim == 3:
        found = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA))
    else:
        found = pixels
    if found.ndim == 2:
        found = np.repeat(found[..., None], 3, axis=2)
    elif found.shape[2] == 2:
        found = found[..., [0, 0, 0, 1]]
    if found.dtype not in (np.uint8, np.uint16):
        raise Unreadable("its levels are not of 8 or 16 bit")
    return opaque(found, in_light=found.dtype == np.uint16)


def _refused(kind: str, file: Path, error: Exception) -> Refusal:
    if isinstance(error, FileNotFoundError):
        sentence = f"The {kind} {file} is not there any more; put it back, or choose another strip."
        return Refusal(Problem(ProblemKind.BAD_SOURCE, sentence))
    why = "its format is not known, or it is damaged"
    if isinstance(error, Unreadable | NothingShown):
        why = str(error)
    elif isinstance(error, PermissionError | IsADirectoryError):
        why = str(error.strerror).lower()
    advice = "convert it to MP4 or PNG, or choose another strip"
    if isinstance(error, OtherPictures):
        advice = "make a meta strip of its strip (Ctrl G) and choose that, and Blender renders what it shows"
    return Refusal(Problem(ProblemKind.BAD_SOURCE, f"The {kind} {file} can't be used: {why}; {advice}."))
