"""What PNG and JPEG files say of themselves in their first bytes: size, transparency. Standard library only.

A strip remembers the size its first file had when it was added; the file may have been replaced since.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG's frame headers."""
_JPEG_PLAIN = (0xC0, 0xC1, 0xC2)
"""Those of the kinds that every program writes."""
_MOST_SEGMENTS = 1_000

_PNG_PLAIN = (0, 2, 3)
"""The kinds of PNG that have no channel for transparency: grey, colours, a palette."""
_PNG_GREY = 0
_MOST_CHUNKS = 64

_OTHERS = (
    b"BM", b"\x01\xda", b"8BPS", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
    b"v/1\x01", b"#?R", b"SDPX", b"XPDS", b"\x80\x2a\x5f\xd7", b"RIFF", b"DDS ",
)  # fmt: skip
"""How the other formats begin that a Blender reads, but for TGA, which has no such mark."""
_TGA_KINDS = (1, 2, 3, 9, 10, 11)

Size = tuple[int, int]


class Head(NamedTuple):
    """What a picture's first bytes say."""

    size: Size | None
    """Width and height; None where it is neither of the two or damaged, or of a kind that isn't surely read as Blender
    reads it: JPEG of four colours (print) or more than eight bits, a grey PNG of which one level is clear."""
    is_opaque: bool = False
    """True where it can't be transparent anywhere."""
    is_known: bool = True
    """False where it begins as no picture does that a Blender is known to read."""


_known: dict[str, tuple[tuple[int, int], Head]] = {}
_MOST_KNOWN = 20_000


def head_of(path: str, status: os.stat_result | None = None) -> Head:
    """What the picture's head says. Raises OSError where it can't be read.

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


def _read(file: BinaryIO) -> Head:
    start = file.read(26)
    try:
        if start.startswith(_PNG):
            width, height, _, kind = struct.unpack(">IIBB", start[16:26])
            is_opaque = kind in _PNG_PLAIN and not _names_a_clear_colour(file)
            if kind == _PNG_GREY and not is_opaque:
                return Head(None)
        elif start.startswith(b"\xff\xd8"):
            file.seek(2)
            (width, height), is_opaque = _jpeg(file), True
        else:
            return Head(None, is_known=start.startswith(_OTHERS) or _may_be_tga(start))
    except (struct.error, EOFError):
        return Head(None)
    return Head((width, height), is_opaque) if width and height else Head(None)


def _may_be_tga(start: bytes) -> bool:
    if len(start) < 18:
        return False
    width, height, depth = struct.unpack("<HHB", start[12:17])
    return start[1] <= 1 and start[2] in _TGA_KINDS and bool(width and height) and 0 < depth <= 32


def _names_a_clear_colour(file: BinaryIO) -> bool:
    """True where a chunk of the PNG says that a colour is transparent, or where that isn't known."""
    file.seek(len(_PNG))
    for _ in range(_MOST_CHUNKS):
        length, name = struct.unpack(">I4s", file.read(8))
        if name in (b"tRNS", b"IDAT"):
            return name == b"tRNS"
        file.seek(length + 4, os.SEEK_CUR)
    return True


def _jpeg(file: BinaryIO) -> Size:
    for _ in range(_MOST_SEGMENTS):
        marker = _byte(file)
        if marker != 0xFF:
            raise EOFError
        while marker == 0xFF:  # any number of them may stand before a marker
            marker = _byte(file)
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_SIZES:
            bits, height, width, colours = struct.unpack(">BHHB", file.read(6))
            if marker not in _JPEG_PLAIN or bits != 8 or colours not in (1, 3):
                raise EOFError
            return width, height
        if length < 2:
            raise EOFError
        file.seek(length - 2, os.SEEK_CUR)
    raise EOFError


def _byte(file: BinaryIO) -> int:
    byte = file.read(1)
    if not byte:
        raise EOFError
    return byte[0]
