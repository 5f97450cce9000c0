"""Decoded movie frames and pictures as RGB at the model's size, by the color tags of their file.

Planes are resampled to the model's size first and converted to RGB then: the result is equal, at a fraction of the
work. Without tags a file is read as Blender reads it: BT.601, limited range (full range for gray).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from .resampling import Axis, PlaneResampler

WEIGHTS = {
    1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593),
}  # fmt: skip
"""The weights of red and of blue in luma, by the number of the color matrix in ITU-T H.273."""
NAMES = {1: "bt709", 4: "fcc", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
BT601 = (0.299, 0.114)
FULL_RANGE = 2


class FrameReader:
    """Turns the frames of one source into the model's pictures; the resamplers are kept from frame to frame."""

    def __init__(self, across: Axis, down: Axis, turn: int = 0) -> None:
        """`turn`: degrees clockwise (0, 90, 180, 270) by which the frames are turned before they are resampled."""
        self._across, self._down, self._turn = across, down, turn
        self._full_size = 1, 1
        self._resamplers: dict[tuple[int, int, bool], PlaneResampler] = {}

    def picture(self, frame: Any) -> np.ndarray:
        """uint8 RGB of the model's size from an av.VideoFrame."""
        planes = _yuv_planes(frame)
        if planes is None:
            return self.from_rgb(self._turned(_rgb(frame)))
        planes = [self._turned(plane) for plane in planes]
        bits = frame.format.components[0].bits
        full = is_full_range(frame)
        black, white, gray = (0, (1 << bits) - 1, 1 << (bits - 1)) if full else _limited(bits)
        luma = self._resampled(planes[0], chroma=False, zero=black)
        spread = (1 << bits) - 1 if full else 224 << (bits - 8)
        if len(planes) == 1:
            return as_bytes(cv2.merge([luma * (255 / (white - black))] * 3))
        chroma = [self._resampled(plane, chroma=True, zero=gray) for plane in planes[1:3]]
        return as_bytes(cv2.transform(cv2.merge([luma, *chroma]), _matrix(frame.colorspace, white - black, spread)))

    def from_pixels(self, pixels: np.ndarray, order: Sequence[int], shrunk: int = 1) -> np.ndarray:
        """uint8 RGB of the model's size from a picture (H, W, channels; uint8 or uint16) of any size, band by band.

        `order` gives the channels of red, green, blue and, if there is one, alpha; `shrunk` of the file's pixels lie
        along each side of one of the picture's.
        """
        pixels = np.rot90(pixels, -self._turn // 90)
        height, width = pixels.shape[:2]
        self._full_size = width * shrunk, height * shrunk
        resampler = self._resampler(width, height, chroma=False)
        parts: list[list[np.ndarray]] = [[], [], []]
        for band in resampler.bands(pixels):
            floats = opaque(band[..., list(order)], in_light=pixels.dtype == np.uint16)
            for channel, plane in zip(parts, cv2.split(floats), strict=True):
                channel.append(resampler.first(plane))
        return as_bytes(cv2.merge([resampler.second(channel) for channel in parts]))

    def from_rgb(self, picture: np.ndarray) -> np.ndarray:
        """uint8 RGB of the model's size from a picture that `opaque` returns."""
        return as_bytes(cv2.merge([self._resampled(channel, chroma=False) for channel in cv2.split(picture)]))

    def _turned(self, plane: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(plane, -self._turn // 90)) if self._turn else plane

    def _resampled(self, plane: np.ndarray, chroma: bool, zero: float = 0.0) -> np.ndarray:
        height, width = plane.shape
        if not chroma:
            self._full_size = width, height
        return self._resampler(width, height, chroma)(plane, zero)

    def _resampler(self, width: int, height: int, chroma: bool) -> PlaneResampler:
        key = width, height, chroma
        if key not in self._resamplers:
            full_width, full_height = self._full_size
            across, down = self._across.scaled(width / full_width), self._down.scaled(height / full_height)
            self._resamplers[key] = PlaneResampler(across, down, width, height, smooth=chroma)
        return self._resamplers[key]


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """Levels of 0..255 in any number type as uint8, rounded and clipped."""
    return np.asarray(cv2.add(picture, np.zeros(4), dtype=cv2.CV_8U))


def opaque(picture: np.ndarray, in_light: bool = False) -> np.ndarray:
    """float32 RGB in 0..255 of a picture (H, W, 3 or 4, uint8 or uint16), composited over black by its alpha.

    With `in_light`, alpha multiplies the linear light and not the levels, as Blender does for 16-bit pictures.
    """
    floats = picture[..., :3].astype(np.float32)
    if picture.dtype == np.uint16:
        floats *= 1 / 257
    if picture.shape[2] == 4:
        alpha = picture[..., 3:].astype(np.float32) * np.float32(1 / np.iinfo(picture.dtype).max)
        floats = _levels(_light(floats) * alpha) if in_light else floats * alpha
    return floats


def _light(levels: np.ndarray) -> np.ndarray:
    """Linear light (0..1) of sRGB levels in 0..255."""
    share = levels / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _levels(light: np.ndarray) -> np.ndarray:
    """sRGB levels in 0..255 of linear light (0..1)."""
    share = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)
    return (share * 255).astype(np.float32)


def describe(frame: Any) -> str:
    """How a decoded frame is read, for the log: its size, its pixel format, the color matrix and range used."""
    matrix = NAMES.get(int(frame.colorspace), "bt601")
    levels = "full" if is_full_range(frame) else "limited"
    colors = "" if frame.format.is_rgb else f", {matrix}, {levels} range"
    return f"{frame.width} x {frame.height} {frame.format.name}{colors}"


def depths(frame: Any) -> tuple[int, int, int]:
    """The bits of a decoded frame's alpha, RGB and gray; 0 for those that it doesn't have."""
    form = frame.format
    bits = [part.bits for part in form.components if not part.is_alpha]
    alpha = 8 if form.has_palette else max((part.bits for part in form.components if part.is_alpha), default=0)
    return alpha, max(bits) if form.is_rgb else 0, bits[0] if len(bits) == 1 and not form.has_palette else 0


def is_full_range(frame: Any) -> bool:
    """True if black is 0 and white the highest level."""
    name = frame.format.name
    if name.startswith(("yuvj", "gray")):
        return True
    return int(frame.color_range) == FULL_RANGE


def _limited(bits: int) -> tuple[int, int, int]:
    return 16 << (bits - 8), 235 << (bits - 8), 1 << (bits - 1)


def _matrix(colorspace: int, luma_levels: float, chroma_levels: float) -> np.ndarray:
    """3 x 3: the matrix from luma and color differences to RGB in 0..255."""
    red, blue = WEIGHTS.get(int(colorspace), BT601)
    green = 1 - red - blue
    y, c = 255 / luma_levels, 255 / chroma_levels
    u, v = 2 * (1 - blue) * c, 2 * (1 - red) * c
    return np.array([[y, 0, v], [y, -u * blue / green, -v * red / green], [y, u, 0]], np.float32)


def _yuv_planes(frame: Any) -> list[np.ndarray] | None:
    """The planes of a frame that has luma and each chroma in a plane of its own, else None."""
    name, parts = frame.format.name, frame.format.components
    plain = name.startswith("yuv") or name.startswith("gray")
    if not plain or len({part.plane for part in parts}) < len(parts) or name.endswith(("be", "f32le", "f16le")):
        return None
    if any(part.is_alpha for part in parts) or parts[0].bits < 8:
        return None
    kind = np.uint8 if parts[0].bits == 8 else np.uint16
    planes = []
    for part in parts:
        plane = frame.planes[part.plane]
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
        planes.append(rows[: part.height, : part.width])
    return planes


def _rgb(frame: Any) -> np.ndarray:
    """RGB of any other frame by ffmpeg's own conversion, composited over black."""
    parts = frame.format.components
    alpha = frame.format.has_palette or any(part.is_alpha for part in parts)
    deep = max(part.bits for part in parts) > 8
    target = ("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24")
    if frame.format.is_rgb or frame.format.has_palette:
        converted = frame.reformat(format=target)
    else:
        known = int(frame.colorspace) in WEIGHTS
        converted = frame.reformat(
            format=target,
            src_colorspace=int(frame.colorspace) if known else Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if is_full_range(frame) else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
        )
    return opaque(converted.to_ndarray())
