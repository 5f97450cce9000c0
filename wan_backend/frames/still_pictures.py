"""Still pictures, decoded within a budget of memory.

A picture's header is read first: what would take more memory than the budget is refused, or decoded smaller if the
format allows it (JPEG). The levels stay as they are in the file; `color.FrameReader` turns them into the model's
picture, band by band.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import stat
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import imageio.v3 as imageio
import numpy as np
from PIL import Image

from ..protocol.sentences import Sentence
from .unreadable_source import EXPORT_AGAIN, UnreadableSource

BUDGET_BYTES = 1 << 30
"""For one picture while it's decoded: its file, its pixels, and what the decoder needs besides."""
MAX_BYTES_PER_PIXEL = 8
SHRUNK = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
"""A JPEG is decoded at half, a quarter or an eighth of its sides without ever being whole."""
BESIDE = {"JPEG2000": 16, "AVIF": 12, "WEBP": 4, "GIF": 4, "TIFF": 4}
"""Bytes for each pixel that a format's decoder takes besides the pixels that it returns."""
PROGRESSIVE = 6
"""Such bytes for a progressive JPEG: libjpeg keeps all coefficients of all pixels."""
JPEG_PIXELS_PER_BYTE, JPEG_PIXELS = 1024, 10_000_000
"""A block of 64 pixels takes at least a bit. A JPEG of more than JPEG_PIXELS with fewer bytes than that has little more
than its header, and would cost minutes."""
PILLOW_FORMATS = (
    "PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "TGA", "JPEG2000", "GIF", "PPM", "DDS", "PSD", "AVIF", "SGI",
    "SUN", "PCX",
)  # fmt: skip
"""Formats whose headers pillow reads; none of them runs a program, as its reader for EPS does."""

Image.MAX_IMAGE_PIXELS = None  # pillow only reads headers here; how large a picture may be is decided below


@dataclass(frozen=True)
class PictureHeader:
    """What is known of a file's picture before anything is decoded."""

    format: str
    width: int
    height: int
    bytes_per_pixel: int
    """Bytes of a decoded pixel."""
    beside: int = 0
    """Bytes that the decoder takes for each pixel meanwhile, however small it decodes."""
    can_shrink: bool = False


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: np.ndarray
    """uint8 or uint16 (H, W, 1 to 4), as the decoder returned them: what may be large is not copied."""
    order: tuple[int, ...]
    """Which of the channels are red, green, blue and, if there is one, alpha."""
    width: int
    """Width of the file's picture; `pixels` may have fewer columns."""
    height: int
    shrunk: int = 1
    """How many of the file's pixels lie along each side of one of `pixels`."""


def check_plain(file: Path) -> None:
    """Raise OSError if there is no file, UnreadableSource if reading it might never end (a pipe, a device)."""
    kind = os.stat(file).st_mode
    if stat.S_ISDIR(kind):
        raise UnreadableSource(Sentence("it is a folder"))
    if not stat.S_ISREG(kind):
        raise UnreadableSource(Sentence("it is not a plain file"))


def load(file: Path, wanted_side: int = 0, budget_bytes: int = BUDGET_BYTES) -> Picture:
    """Decode the picture in `file`. Raises OSError if it can't be opened, else UnreadableSource, whatever is wrong.

    `wanted_side` is the longer side of the picture that will be made of it: a JPEG that is too large for the budget is
    decoded smaller, as long as it stays larger than that.
    """
    check_plain(file)
    size_bytes = os.stat(file).st_size
    if not size_bytes:
        raise UnreadableSource(Sentence("it is empty"))
    if size_bytes > budget_bytes:
        why = Sentence("it has {size} GB, which is too much for a picture", size=f"{size_bytes / 1e9:,.1f}")
        raise UnreadableSource(why, is_lasting=size_bytes > BUDGET_BYTES)
    content = _content(file, size_bytes)
    try:
        with warnings.catch_warnings(action="ignore"):  # by decoders, about files that they read all the same
            head = read_header(content)
            if head.format == "PNG":
                _check_png(content.data)
            if head.can_shrink and head.width * head.height > max(JPEG_PIXELS_PER_BYTE * size_bytes, JPEG_PIXELS):
                raise UnreadableSource(Sentence("it is damaged or incomplete"), EXPORT_AGAIN)
            shrunk = _shrunk(head, wanted_side, size_bytes, budget_bytes)
            return _checked(*_decoded(file, content, shrunk), head, shrunk)
    except UnreadableSource:
        raise
    except Exception as error:  # decoders raise anything about a damaged file
        if _is_out_of_memory(error):
            raise UnreadableSource(Sentence("there is too little memory to decode it"), is_lasting=False) from None
        raise UnreadableSource(Sentence("its format is not known, or it is damaged")) from error


def _content(file: Path, size_bytes: int) -> np.ndarray:
    """The bytes of a file that nobody is writing. Raises OSError, UnreadableSource."""
    content = np.empty(size_bytes, np.uint8)
    with open(file, "rb", buffering=0) as stream:  # OpenCV can't open names beyond ASCII on Windows
        at = 0
        while at < size_bytes and (got := stream.readinto(content.data[at:])):
            at += got
        if at < size_bytes or stream.read(1):
            raise UnreadableSource(
                Sentence("it is being written right now; try again when it is complete"), is_lasting=False
            )
    return content


def _is_out_of_memory(error: Exception) -> bool:
    spent = isinstance(error, cv2.error) and getattr(error, "code", None) == cv2.Error.StsNoMem
    return spent or isinstance(error, MemoryError)


def read_header(content: np.ndarray) -> PictureHeader:
    """The header of a file with that content. Raises UnreadableSource, or what a decoder raises."""
    with (
        contextlib.suppress(Exception),  # pillow doesn't know it, or fails on what opencv or ffmpeg may still read
        Image.open(io.BytesIO(content.data), formats=known_formats()) as image,
    ):
        progressive = PROGRESSIVE if image.info.get("progressive") or image.info.get("progression") else 0
        beside = progressive + BESIDE.get(image.format or "", 0)
        per_pixel = _channels(image) * _bytes_per_level(image)
        return PictureHeader(image.format or "", *image.size, per_pixel, beside, image.format in ("JPEG", "MPO"))
    with av.open(io.BytesIO(content.data)) as container:
        if not container.streams.video:
            raise UnreadableSource(Sentence("its format is not known, or it is damaged"))
        codec: Any = container.streams.video[0].codec_context
        return PictureHeader(container.format.name, codec.width, codec.height, MAX_BYTES_PER_PIXEL, MAX_BYTES_PER_PIXEL)


@functools.cache
def known_formats() -> tuple[str, ...]:
    """Those of PILLOW_FORMATS that this pillow was built with; it raises on the others."""
    Image.init()
    return tuple(name for name in PILLOW_FORMATS if name in Image.OPEN)


def _check_png(content: memoryview) -> None:
    """Raise UnreadableSource if a PNG is cut off or damaged: OpenCV would decode the top, the rest black."""
    place = 8
    while place + 12 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), bytes(content[place + 4 : place + 8])
        end = place + 8 + length
        needed = kind[:1].isupper()
        if needed and zlib.crc32(content[place + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            break
        if kind == b"IEND":
            return
        place = end + 4
    raise UnreadableSource(Sentence("it is damaged or incomplete"), EXPORT_AGAIN)


def _shrunk(head: PictureHeader, wanted_side: int, size_bytes: int, budget_bytes: int) -> int:
    """The divisor of the sides by which the picture must be decoded to fit. Raises UnreadableSource if none does."""
    if min(head.width, head.height) < 1:
        raise UnreadableSource(Sentence("it has no valid picture size"))
    pixels, longer = head.width * head.height, max(head.width, head.height)
    for shrunk in (1, *SHRUNK):
        fits = pixels * (head.bytes_per_pixel / shrunk**2 + head.beside) <= budget_bytes - size_bytes
        if fits and (shrunk == 1 or (head.can_shrink and longer >= shrunk * wanted_side)):
            return shrunk
    if budget_bytes < BUDGET_BYTES:  # a take may use more; what is too large for that, too, is refused in its words
        _shrunk(head, wanted_side, size_bytes, BUDGET_BYTES)
    most = math.isqrt(max(budget_bytes - size_bytes, 0) // (head.bytes_per_pixel + head.beside)) // 100 * 100
    raise UnreadableSource(
        Sentence(
            "its picture of {width} x {height} pixels is too large to decode; about {most} x {most} can be read",
            width=f"{head.width:,}",
            height=f"{head.height:,}",
            most=f"{most:,}",
        ),
        is_lasting=budget_bytes >= BUDGET_BYTES,
    )


def _decoded(file: Path, content: np.ndarray, shrunk: int) -> tuple[np.ndarray, bool]:
    """The pixels, and whether blue comes first in them."""
    flags = cv2.IMREAD_UNCHANGED if shrunk == 1 else SHRUNK[shrunk] | cv2.IMREAD_IGNORE_ORIENTATION
    found = cv2.imdecode(content, flags)
    if found is not None:
        return np.asarray(found), True
    if shrunk > 1:
        raise UnreadableSource(Sentence("it is damaged"))
    return np.asarray(imageio.imread(file, index=0)), False


def _checked(found: np.ndarray, blue_first: bool, head: PictureHeader, shrunk: int) -> Picture:
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3 or not 1 <= found.shape[2] <= 4 or not found.size:
        raise UnreadableSource(Sentence("it is not a picture of one to four channels"))
    if found.dtype not in (np.uint8, np.uint16):
        raise UnreadableSource(Sentence("it does not have 8 or 16 bits per channel"))
    channels = found.shape[2]
    colors: tuple[int, ...] = (0, 0, 0) if channels < 3 else (2, 1, 0) if blue_first else (0, 1, 2)
    order = colors if channels % 2 else (*colors, channels - 1)
    if shrunk == 1:
        return Picture(found, order, found.shape[1], found.shape[0])
    return Picture(found, order, head.width, head.height, shrunk)


def _channels(image: Image.Image) -> int:
    """How many channels the decoded picture will have, once it's in color."""
    if image.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return 4
    return 4 if image.mode == "CMYK" else 3


def _bytes_per_level(image: Image.Image) -> int:
    if image.mode in ("I", "F"):
        return 4
    tiles: Any = getattr(image, "tile", None)  # of an opened file; its last part names the depth in the file
    return 2 if (tiles and "16" in str(tiles[0][3])) or "16" in image.mode else 1
