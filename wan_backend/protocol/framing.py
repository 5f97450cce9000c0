"""Splits a stream of bytes into lines, and encodes messages as lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_LINE_BYTES = 1 << 20
"""No line may be longer, so that a hostile or broken peer can't fill the memory."""


HEAD_BYTES = 512
"""The beginning of a skipped line that is kept: it holds the id of the call that the line belongs to."""


@dataclass(frozen=True)
class OverlongLine:
    """Stands in the stream of lines where a line of more than the limit was skipped."""

    head: bytes = b""
    """The beginning of the line."""


def encode_line(message: Any) -> bytes:
    """One message as a line: compact JSON in ASCII (any Unicode escaped) and a newline.

    ASCII keeps lone surrogates, which Blender can hand over in file names, from breaking the stream.
    """
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


class LineSplitter:
    """Cuts a stream of byte chunks into lines, in memory bounded by `max_line_bytes`.

    A longer line is dropped as it comes in and reported once, as an OverlongLine, where it ends.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._tail = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | OverlongLine]:
        """Yield every line that `chunk` completes, without its newline; blank lines are passed over."""
        pieces = chunk.split(b"\n")
        for piece in pieces[:-1]:
            self._take(piece)
            line, skipped = bytes(self._tail), self._skipping
            self._tail.clear()
            self._skipping = False
            if skipped:
                yield OverlongLine(line)
            elif line.strip():
                yield line
        self._take(pieces[-1])

    def _take(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._tail) + len(piece) > self._max_line_bytes:
            self._tail = (self._tail + piece[:HEAD_BYTES])[:HEAD_BYTES]
            self._skipping = True
        else:
            self._tail += piece
