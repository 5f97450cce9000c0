"""Resampling a source's picture to its place in the model's picture.

The model's picture is the scene's frame (the canvas), brought to the model's size so that a take shown over the whole
frame, centered and filling it, covers it exactly: canvas X - W/2 = s (x - w/2) with s = max(W/w, H/h), pixel
centers at + 0.5. If that reaches past the canvas, the canvas' edge pixels repeat. From the media's pixels to the
model's is one resampling: by area if it shrinks, by Lanczos if it grows, each axis by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..protocol.messages import Framing
from ..protocol.sentences import Sentence
from .unreadable_source import UnreadableSource

LOBES = 3
"""Lobes of the Lanczos kernel, on each side."""
NEAR = 1e-6
"""A difference of fewer pixels is none."""
BAND_PIXELS = 1 << 22
"""This many pixels of a large picture are converted to numbers of four bytes at a time."""


@dataclass(frozen=True)
class Axis:
    """One axis of the mapping from the model's picture to the canvas, and from there to the media."""

    size: int
    """Pixels of the model's picture."""
    canvas: int
    scale: float
    """Pixels of the canvas for one of the model's picture."""
    begin: float
    """Where the shown part of the media begins on the canvas; `length` is its extent there."""
    length: float
    low: float
    """Where the shown part begins in the media, in its pixels; it ends at `high`."""
    high: float
    mirrored: bool

    @property
    def ratio(self) -> float:
        """Pixels of the media for one of the model's picture; more than 1 if it shrinks."""
        return self.scale * (self.high - self.low) / self.length

    def in_media(self, canvas: float) -> float:
        """The position in the media for a position on the canvas."""
        share = (canvas - self.begin) / self.length
        return self.low + (1 - share if self.mirrored else share) * (self.high - self.low)

    def scaled(self, factor: float) -> Axis:
        """This axis for a plane of the media with `factor` times its pixels (chroma)."""
        return Axis(
            self.size, self.canvas, self.scale, self.begin, self.length,
            self.low * factor, self.high * factor, self.mirrored,
        )  # fmt: skip

    def pieces(self, pixel: int) -> Iterator[tuple[float, float, float]]:
        """The intervals on the canvas that make up one of the model's pixels: begin, end, share of the pixel."""
        begin = self.canvas / 2 + self.scale * (pixel - self.size / 2)
        end = begin + self.scale
        if begin < -NEAR:
            yield 0.0, 1.0, (min(end, 0.0) - begin) / self.scale
        if end > NEAR and begin < self.canvas - NEAR:
            inner = max(begin, 0.0), min(end, float(self.canvas))
            yield *inner, (inner[1] - inner[0]) / self.scale
        if end > self.canvas + NEAR:
            yield self.canvas - 1.0, float(self.canvas), (end - max(begin, self.canvas)) / self.scale


def axes(
    framing: Framing | None, picture: tuple[int, int], size: tuple[int, int], canvas: tuple[int, int]
) -> tuple[Axis, Axis]:
    """The horizontal and the vertical axis for a picture of that width and height, and the model's `size`.

    `canvas` is the scene's width and height, for a picture without a framing, which fills the whole frame.
    Raises UnreadableSource.
    """
    lies = framing or Framing(*canvas, 0.0, 0.0, *canvas)
    if min(lies.canvas_width, lies.canvas_height, lies.width, lies.height) <= 0:
        raise UnreadableSource(Sentence("the picture has no size in the frame"))
    scale = max(lies.canvas_width / size[0], lies.canvas_height / size[1])
    across = lies.crop_left, picture[0] - lies.crop_right
    down = lies.crop_top, picture[1] - lies.crop_bottom
    if across[1] - across[0] < NEAR or down[1] - down[0] < NEAR:
        raise UnreadableSource(Sentence("the crop leaves nothing of the picture"))
    return (
        Axis(size[0], lies.canvas_width, scale, lies.x, lies.width, *across, lies.mirror_x),
        Axis(size[1], lies.canvas_height, scale, lies.y, lies.height, *down, lies.mirror_y),
    )


class Resampler:
    """Resamples planes of `length` pixels along one axis to the model's size; made once for a source."""

    def __init__(self, axis: Axis, length: int, smooth: bool = False) -> None:
        """With `smooth` it enlarges linearly, as chroma is enlarged."""
        self.size = axis.size
        by_area = axis.ratio > 1 + NEAR
        rows = [_by_area(axis, j, length) if by_area else _by_kernel(axis, j, length, smooth) for j in range(axis.size)]
        self.coverage = np.array([sum(row.values()) for row in rows], np.float32)
        self._span = _even_span(axis, length) if by_area else None
        most = max(1, *(len(row) for row in rows))
        self._index = np.zeros((most, axis.size), np.intp)
        self._weight = np.zeros((most, axis.size, 1), np.float32)
        for j, row in enumerate(rows):
            for k, (index, weight) in enumerate(row.items()):
                self._index[k, j], self._weight[k, j, 0] = index, weight

    @property
    def even(self) -> bool:
        """True if whole pixels of the media are shrunk evenly, which OpenCV does faster by itself."""
        return self._span is not None

    def rows(self, plane: np.ndarray) -> np.ndarray:
        """The plane, float32 (rows, columns), with its rows resampled."""
        if self._span is not None:
            size = plane.shape[1], self.size
            return np.asarray(cv2.resize(plane[self._span[0] : self._span[1]], size, interpolation=cv2.INTER_AREA))
        out: np.ndarray = plane.take(self._index[0], axis=0)
        out *= self._weight[0]
        for index, weight in zip(self._index[1:], self._weight[1:], strict=True):
            more = plane.take(index, axis=0)
            more *= weight
            out += more
        return out

    def columns(self, plane: np.ndarray) -> np.ndarray:
        """The plane, float32 (rows, columns), with its columns resampled."""
        if self._span is not None:
            size = self.size, plane.shape[0]
            return np.asarray(cv2.resize(plane[:, self._span[0] : self._span[1]], size, interpolation=cv2.INTER_AREA))
        return np.asarray(cv2.transpose(self.rows(np.asarray(cv2.transpose(plane)))))


class PlaneResampler:
    """Resamples planes of the media along both axes."""

    def __init__(self, across: Axis, down: Axis, width: int, height: int, smooth: bool = False) -> None:
        """`width` and `height` are those of the planes."""
        self._across, self._down = Resampler(across, width, smooth), Resampler(down, height, smooth)
        self._columns_first = self._across.even or (not self._down.even and across.ratio > down.ratio)
        self.coverage: np.ndarray | None = self._down.coverage[:, None] * self._across.coverage
        if np.allclose(self.coverage, 1, atol=1e-4):
            self.coverage = None

    def __call__(self, plane: np.ndarray, zero: float = 0.0) -> np.ndarray:
        """The plane (any number type) as float32 of the model's size, minus `zero`; 0 if nothing covers it."""
        out = self.second([self.first(plane if plane.dtype == np.float32 else plane.astype(np.float32))])
        if zero:
            out -= zero if self.coverage is None else zero * self.coverage
        return out

    def bands(self, picture: np.ndarray) -> Iterator[np.ndarray]:
        """Bands of a picture (H, W, ...), each of which `first` can take by itself."""
        height, width = picture.shape[:2]
        count = max(1, height * width // BAND_PIXELS)
        edges = np.linspace(0, height if self._columns_first else width, count + 1).astype(int)
        for begin, end in itertools.pairwise(edges):
            yield picture[begin:end] if self._columns_first else picture[:, begin:end]

    def first(self, band: np.ndarray) -> np.ndarray:
        """A band of the plane (float32), resampled along the first axis."""
        return self._across.columns(band) if self._columns_first else self._down.rows(band)

    def second(self, bands: list[np.ndarray]) -> np.ndarray:
        """All bands together, resampled along the other axis."""
        whole = bands[0] if len(bands) == 1 else np.concatenate(bands, axis=0 if self._columns_first else 1)
        return self._down.rows(whole) if self._columns_first else self._across.columns(whole)


def _by_area(axis: Axis, pixel: int, length: int) -> dict[int, float]:
    """The weights of the media's pixels in one of the model's, if the media shrinks: by area."""
    weights: dict[int, float] = {}
    for begin, end, share in axis.pieces(pixel):
        low, high = sorted((axis.in_media(begin), axis.in_media(end)))
        whole = max(high - low, NEAR)
        low, high = max(low, axis.low), min(high, axis.high)
        for index in range(int(np.floor(low + NEAR)), int(np.ceil(high - NEAR))):
            part = min(high, index + 1) - max(low, index)
            place = min(max(index, 0), length - 1)
            weights[place] = weights.get(place, 0.0) + share * part / whole
    return weights


def _by_kernel(axis: Axis, pixel: int, length: int, smooth: bool) -> dict[int, float]:
    """The weights of the media's pixels in one of the model's, if the media grows: by Lanczos, or linear."""
    center = axis.canvas / 2 + axis.scale * (pixel + 0.5 - axis.size / 2)
    place = axis.in_media(min(max(center, 0.5), axis.canvas - 0.5)) - 0.5
    covered = 0.0
    for begin, end, share in axis.pieces(pixel):
        shown = min(end, axis.begin + axis.length) - max(begin, axis.begin)
        covered += share * max(shown, 0.0) / max(end - begin, NEAR)
    if covered < NEAR:
        return {}
    lobes = 1 if smooth else LOBES
    first, last = int(np.floor(axis.low + NEAR)), int(np.ceil(axis.high - NEAR)) - 1
    nearest = np.arange(int(np.floor(place)) - lobes + 1, int(np.floor(place)) + lobes + 1)
    away = nearest - place
    values = 1 - np.abs(away) if smooth else np.sinc(away) * np.sinc(away / LOBES)
    values = values * (covered / values.sum())
    weights: dict[int, float] = {}
    for index, value in zip(nearest.clip(max(first, 0), min(last, length - 1)), values, strict=True):
        if abs(value) > 1e-7:
            weights[int(index)] = weights.get(int(index), 0.0) + float(value)
    return weights


def _even_span(axis: Axis, length: int) -> tuple[int, int] | None:
    """The span of whole pixels of the media that the model's pixels divide evenly, or None."""
    first = axis.canvas / 2 - axis.scale * axis.size / 2
    low, high = axis.in_media(first), axis.in_media(axis.canvas - first)
    inside = first > -NEAR and low > axis.low - NEAR and high < axis.high + NEAR
    whole = abs(low - round(low)) < 1e-3 and abs(high - round(high)) < 1e-3
    if axis.mirrored or not inside or not whole or round(high) > length or round(low) < 0:
        return None
    return round(low), round(high)
