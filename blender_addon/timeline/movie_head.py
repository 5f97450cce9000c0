"""What a movie's file says of its pictures, as far as it is surely read as Blender reads it. Standard library only.

MP4, QuickTime, Matroska and WebM are understood. Of any other file, of one that is damaged and of one that says
something unusual nothing is known: then Blender renders the strip.
"""

from __future__ import annotations

import os
import stat
import struct

from . import movie_matroska, movie_mp4
from .movie_facts import Bytes, Head, Odd

_EBML = b"\x1a\x45\xdf\xa3"

_known: dict[str, tuple[tuple[int, int], Head | None]] = {}
_MOST_KNOWN = 2_000


def head_of(path: str) -> Head | None:
    """The Head of a file; None where it isn't known. Read again once the file has changed."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        known = _known.get(path)
        if known is None or known[0] != stamp:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            known = _known[path] = (stamp, _read(path))
        return known[1]
    except (OSError, ValueError):
        return None


def _read(path: str) -> Head | None:
    try:
        with open(path, "rb") as stream:
            file = Bytes(stream)
            return movie_matroska.read(file) if file.at(0, 4) == _EBML else movie_mp4.read(file)
    except (Odd, struct.error, ValueError, ArithmeticError, LookupError, StopIteration):
        return None
