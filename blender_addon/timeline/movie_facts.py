"""What is known of a movie from its head, and the bytes it is read from. Standard library only.

A head may be made by an enemy: no more than so many bytes are read of it in so many steps, whatever it says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

MOST_BYTES = 1 << 20
MOST_STEPS = 3000
MOST_PIXELS_A_SIDE = 1 << 16
DEEP = 16
"""Bits of samples that have more than eight; how many more makes no difference."""


class Odd(Exception):
    """The head is damaged, or says what isn't known to be read as Blender reads it."""


@dataclass(frozen=True)
class Depth:
    """How deep samples may be: 8 or DEEP bits. Those of brightness with colours beside it are all read alike."""

    alpha: int = 0
    """0 where nothing is transparent."""
    rgb: int = 8
    grey: int = 8

    def is_within(self, other: Depth) -> bool:
        """True where none of them is deeper than the other's."""
        return self.alpha <= other.alpha and self.rgb <= other.rgb and self.grey <= other.grey


@dataclass(frozen=True)
class Head:
    """The one picture track of a movie."""

    container: str
    codec: str
    """As the container calls it."""
    width: int
    """Of its pictures as they lie in the file."""
    height: int
    seconds: float
    """How long it is shown."""
    frames: int = 0
    """How many pictures there are; 0 where the head doesn't say."""
    turn: int | None = 0
    """Degrees clockwise by which the file wants its pictures turned: 0, 90, 180, 270; None where it wants them
    mirrored, slanted or turned by less."""
    depth: Depth = Depth()

    def has(self, frames: int, rate: float) -> bool:
        """True where there are so many pictures, at that many a second."""
        return frames <= (self.frames or self.seconds * rate + 0.5)


class Bytes:
    """A file of which little is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left, self._steps = MOST_BYTES, MOST_STEPS
        self.size = file.seek(0, os.SEEK_END)

    def at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on. Raises Odd where they aren't there, or too much was read."""
        self._left -= count
        self._steps -= 1
        if offset < 0 or count < 0 or offset + count > self.size or self._left < 0 or self._steps < 0:
            raise Odd
        self._file.seek(offset)
        found = self._file.read(count)
        if len(found) != count:
            raise Odd
        return found


Sample = Callable[[int], bytes]
"""So many of the first bytes of the first picture. Raises Odd."""


def checked_size(width: int, height: int) -> tuple[int, int]:
    """Width and height. Raises Odd where no picture is so large or small."""
    if not (0 < width <= MOST_PIXELS_A_SIDE and 0 < height <= MOST_PIXELS_A_SIDE):
        raise Odd
    return width, height
