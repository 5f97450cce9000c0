"""The PNG files that the fake backend makes, and that tests make for themselves. Standard library only."""

from __future__ import annotations

import struct
import zlib

WIDTH, HEIGHT = 64, 36


def png(index: int) -> bytes:
    """Frame `index` (from 0): its number as brightness, a gradient beside it, so that frames tell themselves apart."""
    rows = []
    for y in range(HEIGHT):
        row = b"".join(bytes(((index * 7) % 256, (x * 4) % 256, (y * 7) % 256)) for x in range(WIDTH))
        rows.append(b"\0" + row)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
