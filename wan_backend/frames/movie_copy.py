"""Pictures in files as one movie, for programs that read no sequences of pictures; the pictures stay."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..protocol.choices import MediaFormat
from ..protocol.sentences import Sentence
from . import still_pictures
from .marks import Marks
from .take_writing import Movie
from .unreadable_source import UnreadableSource


def write(pictures: Sequence[Path], file: Path, rate: Fraction, marks: Marks | None = None) -> None:
    """Write an H.264 movie of the pictures, one a frame. Raises OSError, UnreadableSource."""
    first = _rgb(pictures[0])
    height, width = first.shape[:2]
    if width % 2 or height % 2:
        raise UnreadableSource(Sentence("H.264 needs an even width and height"))
    try:
        _encode(pictures, first, file, rate, marks)
    except av.FFmpegError as error:
        raise UnreadableSource(Sentence("ffmpeg can't make a movie of it ({error})", error=error)) from error


def _encode(pictures: Sequence[Path], first: np.ndarray, file: Path, rate: Fraction, marks: Marks | None) -> None:
    height, width = first.shape[:2]
    with Movie(file, MediaFormat.H264, rate, width, height, marks) as movie:
        for index, picture in enumerate(pictures):
            frame = _rgb(picture) if index else first
            if frame.shape != first.shape:
                raise UnreadableSource(Sentence("its pictures have several sizes"))
            movie.write(frame, [index])


def _rgb(file: Path) -> np.ndarray:
    """A picture in 8 bits, RGB, without its transparency."""
    found = still_pictures.load(file)
    pixels = found.pixels if found.pixels.dtype == np.uint8 else (found.pixels / 257.0).round().astype(np.uint8)
    return np.ascontiguousarray(pixels[..., list(found.order[:3])])
