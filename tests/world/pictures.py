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


def renamed(made: Make, name: str) -> Make:
    """The same file under another name."""
    return lambda folder: made(folder).rename(folder / name)


def page(name: str) -> Make:
    """A web page under a picture's name."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>")
        return folder / name

    return make


def begun(name: str, begins: bytes) -> Make:
    """A file that begins so, and of which no more is known."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(begins + bytes(2000))
        return folder / name

    return make


def plain_png(name: str, width: int, height: int) -> Make:
    """A gray PNG of any size that takes hardly any bytes."""

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


def turned(name: str, orientation: int) -> Make:
    """As phones write it: lying as the sensor lies, and a tag that says how it's to be turned."""

    def make(folder: Path) -> Path:
        from PIL import Image

        tags = Image.Exif()
        tags[0x0112] = orientation
        Image.fromarray(drawn()).save(folder / name, exif=tags, quality=95)
        return folder / name

    return make


def deep(name: str, channels: int = 3) -> Make:
    """A PNG of 16 bits, with 1 to 4 channels."""

    def make(folder: Path) -> Path:
        import cv2
        import numpy as np

        levels = drawn()[..., ::-1].astype(np.uint16) * 257
        alpha = np.full((*levels.shape[:2], 1), 65535, np.uint16)
        picture = {1: levels[..., 0], 3: levels, 4: np.concatenate([levels, alpha], axis=2)}[channels]
        (folder / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        return folder / name

    return make


def clear(name: str) -> Make:
    """A picture that is clear at its left side and goes over into one that isn't."""

    def make(folder: Path) -> Path:
        import numpy as np
        from PIL import Image

        alpha = np.tile(np.linspace(0, 255, SIZE[0]).astype(np.uint8), (SIZE[1], 1))[..., None]
        Image.fromarray(np.concatenate([drawn(), alpha], axis=2)).save(folder / name)
        return folder / name

    return make


def jpeg_head(name: str, width: int, height: int) -> Make:
    """A small JPEG that says a large size."""

    def make(folder: Path) -> Path:
        file = saved(name)(folder)
        whole = bytearray(file.read_bytes())
        struct.pack_into(">HH", whole, whole.index(b"\xff\xc0") + 5, height, width)
        file.write_bytes(whole)
        return file

    return make


def gif_of(name: str, screen: int, frame: int, count: int) -> Make:
    """A GIF of square pictures on a square screen, hardly anything in them."""

    def make(folder: Path) -> Path:
        head = b"GIF89a" + struct.pack("<HHBBB", screen, screen, 0x80, 0, 0) + bytes(6)
        each = b"\x2c" + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x02\x02\x44\x01\x00"
        (folder / name).write_bytes(head + each * count + b"\x3b")
        return folder / name

    return make


def animated(name: str) -> Make:
    """Several pictures in one file, by Pillow."""

    def make(folder: Path) -> Path:
        from PIL import Image

        first = Image.fromarray(drawn())
        first.save(folder / name, save_all=True, append_images=[first.rotate(9), first.rotate(20)], lossless=True)
        return folder / name

    return make


def written(name: str, content: bytes) -> Make:
    """Those bytes."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="90000" height="90000"><image href="file:///etc/hosts"/></svg>'
PLAYLIST = b"ffconcat version 1.0\nfile b.png\n"
HDR = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 100000\n" + bytes(1000)
PSD = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 30_000, 30_000, 8, 3) + bytes(12) + b"\x00\x01" + bytes(4000)
DPX = b"SDPX" + struct.pack(">I", 2048) + b"V1.0" + bytes(756) + struct.pack(">HHII", 0, 1, 16_000, 16_000)
DPX += bytes(20) + b"\x32\x00\x00\x0a" + struct.pack(">HHI", 1, 0, 2048) + bytes(4000)


ENTRIES = (
    Entry("PNG", "every program", saved("shot.png"), looks_like(drawn, 100), "straight", short=True),
    Entry("JPEG", "cameras, portals", saved("shot.jpg", quality=95), looks_like(drawn, 34), "straight"),
    Entry("progressive JPEG", "portals", saved("shot.jpg", quality=95, progressive=True), looks_like(drawn, 34)),
    Entry("TIFF", "scanners", saved("shot.tif"), looks_like(drawn, 100)),
    Entry("a JPEG that a phone turned", "phones", turned("shot.jpg", 6), looks_like(drawn, 34)),
    Entry("a gray JPEG", "scanners", saved("shot.jpg", "L", quality=95), read_or_refused()),
    Entry("a JPEG for print", "agencies (CMYK)", saved("shot.jpg", "CMYK", quality=95), read_or_refused()),
    Entry("a PNG of 256 colors", "portals", saved("shot.png", "P"), read_or_refused()),
    Entry("a gray PNG", "scanners", saved("shot.png", "L"), read_or_refused()),
    Entry("a PNG of two levels", "fax, masks", saved("shot.png", "1"), read_or_refused()),
    Entry("a PNG of 16 bits", "renderers", deep("shot.png"), looks_like(drawn, 45)),
    Entry("a gray PNG of 16 bits", "depth, heights", deep("shot.png", 1), read_or_refused()),
    Entry("a clear PNG of 16 bits", "renderers", deep("shot.png", 4), looks_like(drawn, 45)),
    Entry("a clear PNG", "titles, logos", clear("shot.png"), read_or_refused()),
    Entry("a WebP", "portals", saved("shot.webp", quality=95), looks_like(drawn, 30)),
    Entry("an animated WebP", "portals, stickers; Blender 5.0 and earlier show nothing", animated("shot.webp"),
          read_or_refused(), short=True),
    Entry("a TGA", "games", saved("shot.tga"), looks_like(drawn, 100)),
    Entry("a BMP", "Windows", saved("shot.bmp"), looks_like(drawn, 100)),
    Entry("a GIF", "portals", saved("shot.gif", "P"), read_or_refused()),
    Entry("a JPEG 2000", "archives, cinemas", saved("shot.jp2"), read_or_refused()),
    Entry("an AVIF", "phones, portals", saved("shot.avif", quality=95), read_or_refused()),
    Entry("a PNG named .jpg", "portals", renamed(saved("shot.png"), "shot.jpg"), looks_like(drawn, 100)),
    Entry("a JPEG named .png", "portals", renamed(saved("shot.jpg", quality=95), "shot.png"), looks_like(drawn, 34)),
    Entry("a name in Greek and Chinese", "people", saved("εικόνα 图片.png"), looks_like(drawn, 100)),
    Entry("10,000 x 10,000", "panoramas, scans", plain_png("shot.png", 10_000, 10_000), read_or_refused()),
    Entry("one pixel", "trackers", saved("shot.png", size=(1, 1)), read_or_refused()),
    Entry("a web page named .png", "a portal that wanted a login", page("shot.png"), refused(), "can't read"),
    Entry(
        "a phone's HEIC", "iPhones: no Blender reads it", begun("shot.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        refused(), "shot.heic, which Blender can't read", short=True,
    ),
    Entry("a JPEG XL", "darktable, archives", begun("shot.jxl", b"\xff\x0a\xf8\x1f\x01"), refused(), "can't read"),
    Entry("a PDF named .png", "scanners", begun("shot.png", b"%PDF-1.7\n"), refused(), "can't read"),
    Entry("a cut PNG", "a card that was pulled", damaged(saved("shot.png"), 0.5), refused("incomplete")),
    Entry("a PNG with a hole", "a card that fails", damaged(saved("shot.png"), zeros=(0.4, 0.6)), refused("damaged")),
    Entry("a cut JPEG", "a card that was pulled", damaged(saved("shot.jpg", quality=95), 0.5), read_or_refused()),
    Entry("a JPEG with a hole", "a card that fails", damaged(saved("shot.jpg"), zeros=(0.4, 0.6)), read_or_refused()),
    Entry(
        "a PNG of 60,000 x 60,000 by its head", "a bomb", png_head("shot.png", 60_000, 60_000),
        refused("60,000"), short=True,
    ),
    Entry("a JPEG of 65,500 x 65,500 by its head", "a bomb", jpeg_head("a.jpg", 65_500, 65_500), refused("incomplete")),
    Entry("a GIF that is larger than its screen", "a bomb", gif_of("shot.gif", 10, 65_535, 1), refused("too large")),
    Entry("a GIF of 20,000 pictures", "a bomb", gif_of("shot.gif", 5_000, 5_000, 20_000), read_or_refused()),
    Entry("an SVG", "logos", written("shot.svg", SVG), refused()),
    Entry("an SVG named .png", "logos", written("shot.png", SVG), refused()),
    Entry("an HDR of 100,000 x 100,000 by its head", "a bomb", written("shot.hdr", HDR), refused("no valid")),
    Entry("a PSD of 30,000 x 30,000 by its head", "a bomb", written("shot.psd", PSD), refused()),
    Entry("a DPX of 16,000 x 16,000 by its head", "a bomb", written("shot.dpx", DPX), refused("16,000")),
    Entry("a list of pictures named .png", "a program's", written("a.png", PLAYLIST), refused()),
)  # fmt: skip
