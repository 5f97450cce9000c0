"""Still pictures as cameras, scanners, programs and portals write them; large ones, damaged ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from .entry import Entry, Make
from .what_holds import looks_like, read_or_refused, refused

SIZE = 160, 64


def drawn(size: tuple[int, int] = SIZE) -> Any:
    """A smooth picture without symmetry (H, W, 3, uint8)."""
    import numpy as np

    y, x = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    x, y = x * SIZE[0] / size[0], y * SIZE[1] / size[1]
    red, green = 120 + 100 * np.sin(x / 37) * np.cos(y / 21), 130 + 80 * np.sin((x + 2 * y) / 43)
    return np.stack([red, green, 60 + 120 * y / SIZE[1]], -1).clip(0, 255).astype(np.uint8)


def saved(name: str, mode: str = "RGB", size: tuple[int, int] = SIZE, **how: Any) -> Make:
    """The drawn picture by Pillow: its format by its name, `how` are what Pillow's writer takes."""

    def make(folder: Path) -> Path:
        from PIL import Image

        Image.fromarray(drawn(size)).convert(mode).save(folder / name, **how)
        return folder / name

    return make


def damaged(made: Make, keep: float = 1.0, zeros: tuple[float, float] = (0.0, 0.0)) -> Make:
    """The same file, cut after a share of its bytes, and zeros from one share to another."""

    def make(folder: Path) -> Path:
        file = made(folder)
        whole = bytearray(file.read_bytes())
        begin, end = (int(share * len(whole)) for share in zeros)
        whole[begin:end] = bytes(end - begin)
        file.write_bytes(whole[: int(len(whole) * keep)])
        return file

    return make


def plain_png(name: str, width: int, height: int) -> Make:
    """A grey PNG of any size that takes hardly any bytes."""

    def make(folder: Path) -> Path:
        row, packer = b"\0" + b"\x80" * width, zlib.compressobj(9)
        rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
        file = folder / name
        file.write_bytes(png_of(struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), rows))
        return file

    return make


def png_head(name: str, width: int, height: int) -> Make:
    """A PNG that says a size, and has nothing of it."""

    def make(folder: Path) -> Path:
        file = folder / name
        file.write_bytes(png_of(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), zlib.compress(b"\0" * 100)))
        return file

    return make


def png_of(head: bytes, rows: bytes) -> bytes:
    """The file of an IHDR and of packed rows."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


ENTRIES = (
    Entry("PNG", "every program", saved("shot.png"), looks_like(drawn, 100), "straight", short=True),
    Entry("JPEG", "cameras, portals", saved("shot.jpg", quality=95), looks_like(drawn, 34), "straight"),
    Entry("progressive JPEG", "portals", saved("shot.jpg", quality=95, progressive=True), looks_like(drawn, 34)),
    Entry("TIFF", "scanners", saved("shot.tif"), looks_like(drawn, 100)),
    Entry("a cut PNG", "a card that was pulled", damaged(saved("shot.png"), 0.5), refused("not whole")),
    Entry("a PNG with a hole", "a card that fails", damaged(saved("shot.png"), zeros=(0.4, 0.6)), refused("damaged")),
    Entry("a cut JPEG", "a card that was pulled", damaged(saved("shot.jpg", quality=95), 0.5), read_or_refused()),
    Entry("a JPEG with a hole", "a card that fails", damaged(saved("shot.jpg"), zeros=(0.4, 0.6)), read_or_refused()),
    Entry(
        "a PNG of 60,000 x 60,000 by its head", "a bomb", png_head("shot.png", 60_000, 60_000),
        refused("60,000"), short=True,
    ),
)  # fmt: skip
