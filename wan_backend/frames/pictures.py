"""Still pictures, decoded within a budget of memory. May import numpy, opencv, imageio, pillow, av and its neighbours.

A picture's head is read first: what would take more memory than there may be is refused, or where its format can be
decoded smaller (JPEG) decoded so. Its levels stay as they are in the file; FrameReader turns them into the model's
picture band by band.
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

from .movie_frames import Unreadable

BUDGET_BYTES = 1 << 30
"""For one picture while it's decoded: its file, its pixels, and what the decoder needs beside."""
MOST_BYTES_PER_PIXEL = 8
SHRUNK = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
"""A JPEG is decoded at half, a quarter or an eighth of its sides without ever being whole."""
BESIDE = {"JPEG2000": 16, "AVIF": 12, "WEBP": 4, "GIF": 4, "TIFF": 4}
"""Bytes for each pixel that a format's decoder takes beside the pixels that it gives."""
PROGRESSIVE = 6
"""The same for a progressive JPEG: libjpeg keeps all coefficients of all pixels."""
JPEG_PIXELS_PER_BYTE, JPEG_PIXELS = 1024, 10_000_000
"""A block of 64 pixels takes a bit at least. A larger JPEG of fewer bytes has but its head, and costs minutes."""
FORMATS = (
    "PNG", "JPEG", "TIFF", "BMP", "DIB", "WEBP", "TGA", "JPEG2000", "GIF", "PPM", "DDS", "PSD", "AVIF", "SGI",
    "SUN", "PCX",
)  # fmt: skip
"""Those whose heads are read with pillow; none of them runs a program, as its one for EPS does."""

Image.MAX_IMAGE_PIXELS = None  # it only opens files here; how large a picture may be is decided below


@dataclass(frozen=True)
class Head:
    """What a file says of its picture before anything is decoded."""

    format: str
    width: int
    height: int
    bytes_per_pixel: int
    """Of what is decoded."""
    beside: int = 0
    """And what the decoder takes for each pixel meanwhile, however small it decodes."""
    can_shrink: bool = False


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: np.ndarray
    """uint8 or uint16 (H, W, 1 to 4), as the decoder gave them: nothing is copied that may be large."""
    order: tuple[int, ...]
    """Which of its channels are red, green, blue and, where it has one, alpha."""
    width: int
    """Of the file's picture; the pixels may be fewer."""
    height: int
    shrunk: int = 1
    """So many of the file's pixels lie along each side of one of these."""


def check_plain(file: Path) -> None:
    """Raise OSError where the file isn't there, Unreadable where reading it might never end (a pipe, a device)."""
    kind = os.stat(file).st_mode
    if stat.S_ISDIR(kind):
        raise Unreadable("it is a folder")
    if not stat.S_ISREG(kind):
        raise Unreadable("it is not a plain file")


def load(file: Path, wanted_side: int = 0, budget_bytes: int = BUDGET_BYTES) -> Picture:
    """Decode the picture in `file`. Raises OSError where it can't be opened, else Unreadable, whatever is wrong.

    `wanted_side` is the longer side of the picture that will be made of it: a JPEG that is too large for the budget is
    decoded smaller, as long as it stays larger than that.
    """
    check_plain(file)
    size_bytes = os.stat(file).st_size
    if not size_bytes:
        raise Unreadable("it is empty")
    if size_bytes > budget_bytes:
        raise Unreadable(f"it has {size_bytes / 1e9:,.1f} GB, which is too much for a picture")
    content = _content(file, size_bytes)
    try:
        with warnings.catch_warnings(action="ignore"):  # of decoders, about files that they read all the same
            head = head_of(content)
            if head.format == "PNG":
                _check_png(content.data)
            if head.can_shrink and head.width * head.height > max(JPEG_PIXELS_PER_BYTE * size_bytes, JPEG_PIXELS):
                raise Unreadable("it is damaged, or not whole")
            shrunk = _shrunk(head, wanted_side, budget_bytes - size_bytes)
            return _checked(*_decoded(file, content, shrunk), head, shrunk)
    except Unreadable:
        raise
    except Exception as error:  # decoders raise whatever comes to their minds about a damaged file
        if _is_out_of_memory(error):
            raise Unreadable("there is too little memory to decode it") from None
        raise Unreadable("its format is not known, or it is damaged") from error


def _content(file: Path, size_bytes: int) -> np.ndarray:
    """The file's bytes, all of one moment. Raises OSError, Unreadable."""
    content = np.empty(size_bytes, np.uint8)
    with open(file, "rb", buffering=0) as stream:  # opencv can't open names beyond ASCII on Windows
        at = 0
        while at < size_bytes and (got := stream.readinto(content.data[at:])):
            at += got
        if at < size_bytes or stream.read(1):
            raise Unreadable("it is being written at this moment; try again once it is whole")
    return content


def _is_out_of_memory(error: Exception) -> bool:
    spent = isinstance(error, cv2.error) and getattr(error, "code", None) == cv2.Error.StsNoMem
    return spent or isinstance(error, MemoryError)


def head_of(content: np.ndarray) -> Head:
    """What the file of that content says of its picture. Raises Unreadable, or what a decoder raises."""
    with (
        contextlib.suppress(Exception),  # pillow doesn't know it, or fails on what opencv or ffmpeg may still read
        Image.open(io.BytesIO(content.data), formats=_formats()) as image,
    ):
        progressive = PROGRESSIVE if image.info.get("progressive") or image.info.get("progression") else 0
        beside = progressive + BESIDE.get(image.format or "", 0)
        per_pixel = _channels(image) * _bytes_per_level(image)
        return Head(image.format or "", *image.size, per_pixel, beside, image.format in ("JPEG", "MPO"))
    with av.open(io.BytesIO(content.data)) as container:
        if not container.streams.video:
            raise Unreadable("its format is not known, or it is damaged")
        codec: Any = container.streams.video[0].codec_context
        return Head(container.format.name, codec.width, codec.height, MOST_BYTES_PER_PIXEL, MOST_BYTES_PER_PIXEL)


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this pillow was built with; it stumbles over the others."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_png(content: memoryview) -> None:
    """Raise Unreadable where it's cut off or damaged: opencv would give what it has of it, and black below."""
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
    raise Unreadable("it is damaged, or not whole")


def _shrunk(head: Head, wanted_side: int, budget_bytes: int) -> int:
    """1, or how much smaller it has to be decoded to fit. Raises Unreadable where it can't be."""
    if min(head.width, head.height) < 1:
        raise Unreadable("it says no size of its picture, or one that nothing can decode")
    pixels, longer = head.width * head.height, max(head.width, head.height)
    for shrunk in (1, *SHRUNK):
        fits = pixels * (head.bytes_per_pixel / shrunk**2 + head.beside) <= budget_bytes
        if fits and (shrunk == 1 or (head.can_shrink and longer >= shrunk * wanted_side)):
            return shrunk
    most = math.isqrt(max(budget_bytes, 0) // (head.bytes_per_pixel + head.beside)) // 100 * 100
    raise Unreadable(
        f"its picture of {head.width:,} x {head.height:,} pixels is too large to decode; "
        f"about {most:,} x {most:,} can be read"
    )


def _decoded(file: Path, content: np.ndarray, shrunk: int) -> tuple[np.ndarray, bool]:
    """The pixels, and whether blue comes first in them."""
    flags = cv2.IMREAD_UNCHANGED if shrunk == 1 else SHRUNK[shrunk] | cv2.IMREAD_IGNORE_ORIENTATION
    found = cv2.imdecode(content, flags)
    if found is not None:
        return np.asarray(found), True
    if shrunk > 1:
        raise Unreadable("it is damaged")
    return np.asarray(imageio.imread(file, index=0)), False


def _checked(found: np.ndarray, blue_first: bool, head: Head, shrunk: int) -> Picture:
    if found.ndim == 2:
        found = found[..., None]
    if found.ndim != 3 or not 1 <= found.shape[2] <= 4 or not found.size:
        raise Unreadable("it is no picture of one to four channels")
    if found.dtype not in (np.uint8, np.uint16):
        raise Unreadable("its levels are not of 8 or 16 bit")
    channels = found.shape[2]
    colors: tuple[int, ...] = (0, 0, 0) if channels < 3 else (2, 1, 0) if blue_first else (0, 1, 2)
    order = colors if channels % 2 else (*colors, channels - 1)
    if shrunk == 1:
        return Picture(found, order, found.shape[1], found.shape[0])
    return Picture(found, order, head.width, head.height, shrunk)


def _channels(image: Image.Image) -> int:
    """How many the decoded picture will have, once it's in color."""
    if image.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        return 4
    return 4 if image.mode == "CMYK" else 3


def _bytes_per_level(image: Image.Image) -> int:
    if image.mode in ("I", "F"):
        return 4
    tiles: Any = getattr(image, "tile", None)  # of an opened file; its last part names the depth in the file
    return 2 if (tiles and "16" in str(tiles[0][3])) or "16" in image.mode else 1
