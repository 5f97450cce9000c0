"""A source's frames as the model's pictures, read from the files that the request names; and their edges as a guide."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..protocol.errors import Refusal
from ..protocol.messages import Pictures, Problem, ProblemKind, Source
from ..protocol.sentences import Sentence
from . import still_pictures
from .color import FrameReader, depths, describe
from .movie_frames import MovieFrames
from .resampling import axes
from .unreadable_source import UnreadableSource

log = logging.getLogger(__name__)

ANY_DEPTH = 64
"""Bits that no picture has more of."""
MAX_MOVIE_PIXELS = 100_000_000
"""For one frame; a decoder holds twenty of them at once. The largest cameras and VR films have 67 million pixels."""

CONVERT_ADVICE = Sentence(
    "convert it to MP4 with a program that makes all frames alike (such as HandBrake), and use that instead"
)
RENDER_ADVICE = Sentence("press Retry in Blender, which then renders the strip")
EDGE_GAIN, EDGE_FLOOR = 3.0, 0.15
"""How strong the edge at a step of brightness (0..1) is, and what is subtracted; the embedded model was trained so."""


def read(
    source: Source,
    frames: Sequence[int],
    width: int,
    height: int,
    scene_size: tuple[int, int],
    budget_bytes: int = still_pictures.BUDGET_BYTES,
) -> Iterator[np.ndarray]:
    """uint8 (height, width, 3) RGB for each of the source's frames asked for, in its place in the model's picture.

    `frames` counts from the source's first frame, is sorted, and may repeat one. `scene_size` is the scene's width
    and height, for sources without a framing. A still picture that takes more than `budget_bytes` is refused. Raises
    Refusal (bad_source, or render_first) if a file can't be read, whatever is wrong with it.
    """
    if not source.files:
        raise Refusal(
            Problem(ProblemKind.BAD_SOURCE, Sentence("A source of this take has no files; select its strip again."))
        )
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
        still_pictures.check_plain(file)
        with MovieFrames(file) as movie:
            _check_movie(*movie.size)
            for frame in movie.frames([source.first_frame + index for index in frames]):
                if reader is None or framed is None:
                    framed = framed or Pictures(frame.width, frame.height, 0, ANY_DEPTH, ANY_DEPTH, ANY_DEPTH)
                    reader = FrameReader(*axes(source.framing, framed.shown_size(), size, scene_size), framed.turn)
                    log.info("%s: %s, read as %d x %d", file.name, describe(frame), *size)
                if frame is not shown:
                    _check_header(source.pictures, movie.size)
                    _check_unchanged(movie, frame)
                    _check(framed, (frame.width, frame.height), depths(frame))
                    shown, picture = frame, reader.picture(frame)
                yield picture
    except Exception as error:  # nobody knows what a decoder raises about a damaged file
        raise _refusal(Sentence("movie"), file, error) from error


def _check_movie(width: int, height: int) -> None:
    if width * height > MAX_MOVIE_PIXELS:
        raise UnreadableSource(
            Sentence(
                "its pictures of {width} x {height} pixels are too large to decode",
                width=f"{width:,}",
                height=f"{height:,}",
            )
        )


def _check_header(framed: Pictures | None, size: tuple[int, int]) -> None:
    """Raise UnreadableSource if the movie isn't of the size that the source was framed for."""
    if framed is not None and all(size):
        _check(framed, size)


def _check_unchanged(movie: MovieFrames, frame: Any) -> None:
    """Raise UnreadableSource if the pictures change: no Blender (4.2 to 5.2) shows those after that, but noise."""
    if not movie.is_like_first(frame):
        why = Sentence(
            "its pictures change from {change}, and Blender shows noise from there on", change=movie.change(frame)
        )
        raise UnreadableSource(why, CONVERT_ADVICE)


def _from_pictures(
    source: Source, frames: Sequence[int], size: tuple[int, int], scene_size: tuple[int, int], budget_bytes: int
) -> Iterator[np.ndarray]:
    readers: dict[tuple[int, int], FrameReader] = {}
    turn = 0 if source.pictures is None else source.pictures.turn
    shown, picture = "", np.empty(0)
    for index in frames:
        name = source.files[min(index, len(source.files) - 1)]
        if name != shown:
            file = Path(source.folder) / name
            try:
                found = still_pictures.load(file, max(size), budget_bytes)
                full = found.width, found.height
                if source.pictures is not None:
                    _check(source.pictures, full)
                if full not in readers:
                    seen = full if turn in (0, 180) else (full[1], full[0])
                    readers[full] = FrameReader(*axes(source.framing, seen, size, scene_size), turn)
                    log.info("%s: %d x %d, read as %d x %d", name, *full, *size)
                shown, picture = name, readers[full].from_pixels(found.pixels, found.order, found.shrunk)
            except Exception as error:  # nobody knows what a decoder raises about a damaged file
                raise _refusal(Sentence("picture"), file, error) from error
        yield picture


def _check(framed: Pictures, found: tuple[int, int], depths: tuple[int, int, int] = (0, 0, 0)) -> None:
    """Raise UnreadableSource if a picture isn't what the source was framed for."""
    if found != (framed.width, framed.height):
        why = Sentence(
            "one of its pictures is {found} and not {wanted} pixels",
            found=f"{found[0]} x {found[1]}",
            wanted=f"{framed.width} x {framed.height}",
        )
        raise UnreadableSource(why, RENDER_ADVICE, ProblemKind.RENDER_FIRST)
    allowed = framed.alpha_bits, framed.rgb_bits, framed.grey_bits
    for what, bits, most in zip((Sentence("transparency"), "RGB", Sentence("gray")), depths, allowed, strict=True):
        if bits > most:
            why = Sentence("it has {what} of {bits} bits, which Blender may show otherwise", what=what, bits=bits)
            raise UnreadableSource(why, RENDER_ADVICE, ProblemKind.RENDER_FIRST)


def _refusal(kind: Sentence, file: Path, error: Exception) -> Refusal:
    if isinstance(error, FileNotFoundError):
        sentence = Sentence("The {kind} {file} is missing; put it back, or choose another strip.", kind=kind, file=file)
        return Refusal(Problem(ProblemKind.BAD_SOURCE, sentence))
    found = _unreadable(error)
    return Refusal(
        Problem(
            found.kind,
            Sentence(
                "The {kind} {file} can't be used: {reason}; {advice}.",
                kind=kind,
                file=file,
                reason=found,
                advice=found.advice,
            ),
        )
    )


def is_lasting(refusal: Refusal) -> bool:
    """Whether a refusal of `read` is the file's own fault, so that nobody can use it while it stays as it is."""
    error = refusal.__cause__
    found = _unreadable(error) if isinstance(error, Exception) else None
    return found is not None and found.is_lasting and found.kind is ProblemKind.BAD_SOURCE


def _unreadable(error: Exception) -> UnreadableSource:
    """What a decoder or the system raises, as the reason that makes a source unreadable."""
    if isinstance(error, UnreadableSource):
        return error
    if isinstance(error, MemoryError):
        return UnreadableSource(Sentence("there is too little memory to decode it"), is_lasting=False)
    if isinstance(error, OSError) and error.strerror:
        permission = isinstance(error, PermissionError | IsADirectoryError)
        why = Sentence("it can't be read to its end ({reason}), so its disk or share is failing", reason=error.strerror)
        why = Sentence(str(error.strerror).lower()) if permission else why
        return UnreadableSource(why, Sentence("check that, or choose another strip"), is_lasting=False)
    return UnreadableSource(Sentence("its format is not known, or it is damaged"))


def edges(picture: np.ndarray) -> np.ndarray:
    """A guide of soft white lines on black, uint8 (H, W, 3), where the brightness of uint8 RGB (H, W, 3) changes."""
    gray = np.pad(picture.astype(np.float32).mean(axis=2) / 255, 1, mode="edge")
    across = gray[1:-1, 2:] - gray[1:-1, :-2]
    down = gray[2:, 1:-1] - gray[:-2, 1:-1]
    strength = np.clip(np.sqrt(across**2 + down**2 + 1e-8) * EDGE_GAIN - EDGE_FLOOR, 0, 1)
    levels = np.rint(strength * 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)
