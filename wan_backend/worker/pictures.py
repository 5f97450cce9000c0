"""From the model's pictures to the take's: colour at the seams, true kept frames. May import numpy, frames, protocol.

Pictures come in as they are decoded. Where the frames after the take are kept, what is made can only be corrected once
those are decoded, too; till then, it lies in a file, for a long film is more than memory should hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ..frames.colour_match import ColourMatch

SEAM_FRAMES = 4
"""So many kept frames next to a seam tell its colour: about a latent frame, the one made beside what follows."""

Pair = tuple[np.ndarray, np.ndarray]


def finished(
    made: Iterable[np.ndarray], frames: int, kept: Mapping[int, np.ndarray], spool_file: Path
) -> Iterator[np.ndarray]:
    """The model's `frames` pictures in order: kept ones as they truly are, made ones in their neighbours' colour.

    `made` gives every decoded picture in order, the kept ones as well. `spool_file` is there only meanwhile. Raises
    OSError where the disk is full.
    """
    before, after = leading(kept), trailing(kept, frames)
    if not kept:
        yield from made
    elif after:
        with Spool(spool_file) as spool:
            near = {*before[-SEAM_FRAMES:], *after[:SEAM_FRAMES]}
            pairs = {n: (picture, kept[n]) for n, picture in spool.filled(made) if n in near}
            match = _match(pairs, before, after, frames)
            yield from _corrected(spool.pictures(), kept, match)
    else:
        yield from _from_before(iter(made), before, frames, kept)


def runs(pictures: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Each picture with the frames of the take that show it, where they come one after another."""
    last: np.ndarray | None = None
    indices: list[int] = []
    for index, picture in pictures:
        if last is not None and picture is not last:
            yield last, indices
            indices = []
        last = picture
        indices.append(index)
    if last is not None:
        yield last, indices


def leading(kept: Mapping[int, np.ndarray]) -> range:
    """The kept frames at the beginning."""
    end = 0
    while end in kept:
        end += 1
    return range(end)


def trailing(kept: Mapping[int, np.ndarray], frames: int) -> range:
    """The kept frames at the end, which are not those at the beginning as well."""
    start = frames
    while start - 1 in kept and start > len(leading(kept)):
        start -= 1
    return range(start, frames)


class Spool:
    """Pictures of one size in a file, which is gone when it is left. Written, not mapped: a full disk is an OSError."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._shape: tuple[int, ...] = ()
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Spool:
        self._stream = open(self._file, "w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stream is not None
        with suppress(OSError):  # of a full disk, which has been heard of
            self._stream.close()
        self._file.unlink(missing_ok=True)

    def filled(self, pictures: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Write `pictures`, and hand each on with its number."""
        assert self._stream is not None
        for number, picture in enumerate(pictures):
            self._shape = picture.shape
            self._stream.write(np.ascontiguousarray(picture).data)
            yield number, picture

    def pictures(self) -> Iterator[np.ndarray]:
        """What was written, in order."""
        assert self._stream is not None
        self._stream.seek(0)
        size = int(np.prod(self._shape))
        while len(content := self._stream.read(size)) == size and size:
            yield np.frombuffer(content, np.uint8).reshape(self._shape)


def _from_before(
    made: Iterator[np.ndarray], before: range, frames: int, kept: Mapping[int, np.ndarray]
) -> Iterator[np.ndarray]:
    """With kept frames at the beginning alone, each picture can go on as it comes."""
    pairs: dict[int, Pair] = {}
    for number in before:
        pairs[number] = (next(made), kept[number])
        pairs.pop(number - SEAM_FRAMES, None)
        yield kept[number]
    yield from _corrected(made, kept, _match(pairs, before, range(frames, frames), frames), len(before))


def _corrected(
    made: Iterable[np.ndarray], kept: Mapping[int, np.ndarray], match: ColourMatch, start: int = 0
) -> Iterator[np.ndarray]:
    for number, picture in enumerate(made, start):
        true = kept.get(number)
        yield match.apply(number, picture) if true is None else true


def _match(pairs: Mapping[int, Pair], before: range, after: range, frames: int) -> ColourMatch:
    first = before[-1] if before else 0
    last = after[0] if after else frames - 1
    near_before, near_after = before[-SEAM_FRAMES:], after[:SEAM_FRAMES]
    return ColourMatch.measured([pairs[n] for n in near_before], [pairs[n] for n in near_after], first, last)
