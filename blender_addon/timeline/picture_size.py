"""The size of PNG and JPEG files, read from their first bytes. Standard library only.

A strip remembers the size its first file had when it was added; the file may have been replaced since.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG's frame headers."""

Size = tuple[int, int]

_known: dict[str, tuple[tuple[int, int], Size | None]] = {}
_MOST_KNOWN = 20_000


def size_of(path: str, status: os.stat_result | None = None) -> Size | None:
    """Width and height; None where it is neither of the two or damaged. Raises OSError where it can't be read.

    `status` is what the file system says of it, where that was asked for a moment ago.
    """
    status = status or os.stat(path)
    stamp = (status.st_mtime_ns, status.st_size)
    known = _known.get(path)
    if known is None or known[0] != stamp:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        with open(path, "rb") as file:
            known = _known[path] = (stamp, _read(file))
    return known[1]


def _read(file: BinaryIO) -> Size | None:
    start = file.read(24)
    try:
        if start.startswith(_PNG):
            width, height = struct.unpack(">II", start[16:24])
        elif start.startswith(b"\xff\xd8"):
            file.seek(2)
            width, height = _jpeg(file)
        else:
            return None
    except (struct.error, EOFError):
        return None
    return (width, height) if width and height else None


def _jpeg(file: BinaryIO) -> Size:
    while True:
        marker = _byte(file)
        if marker != 0xFF:
            raise EOFError
        while marker == 0xFF:  # any number of them may stand before a marker
            marker = _byte(file)
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_SIZES:
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height
        file.seek(length - 2, os.SEEK_CUR)


def _byte(file: BinaryIO) -> int:
    byte = file.read(1)
    if not byte:
        raise EOFError
    return byte[0]
