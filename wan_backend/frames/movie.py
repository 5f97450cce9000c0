"""Frames as one movie file. May import numpy, av and protocol.

FFV1 in Matroska keeps every bit; H.264 in MP4 is small, tagged and converted as BT.709 with limited range.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from ..protocol.messages import MediaFormat

H264_QUALITY = "12"
"""crf: no difference is seen at it."""


class Movie:
    """Writes a take's frames into one file, in order, as they come."""

    def __init__(self, file: Path, media_format: MediaFormat, rate: Fraction, width: int, height: int) -> None:
        self._file = file
        self._next = 0
        self._rate = rate
        self._lossless = media_format is MediaFormat.FFV1
        self._container = av.open(str(file), "w", format="matroska" if self._lossless else "mp4")
        self._stream: Any = self._add_stream(width, height)

    def __enter__(self) -> Movie:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        else:  # what went wrong is to be heard of, not that the file can't be closed because of it
            with suppress(av.FFmpegError, OSError, ValueError):
                self._container.close()

    def write(self, frame: np.ndarray, indices: list[int]) -> None:
        """`frame` (H, W, 3, uint8 RGB) as the take's frames `indices`, which follow those written before."""
        for index in indices:
            if index != self._next:
                raise ValueError(f"frame {index} of the movie came where {self._next} was due")
            self._next += 1
            self._mux(self._stream.encode(self._convert(frame, index)))

    def _finish(self) -> None:
        """Write what the encoder still holds, and see the file onto the disk."""
        try:
            self._mux(self._stream.encode(None))
        finally:
            self._container.close()
        with open(self._file, "rb+") as stream:
            os.fsync(stream.fileno())

    def _add_stream(self, width: int, height: int) -> Any:
        if self._lossless:
            stream: Any = self._container.add_stream("ffv1", rate=self._rate)
            stream.pix_fmt = "bgr0"
            stream.options = {"level": "3", "slices": "4", "slicecrc": "1"}
        else:
            stream = self._container.add_stream("libx264", rate=self._rate)
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": H264_QUALITY, "preset": "medium"}
            context = stream.codec_context
            context.color_range = ColorRange.MPEG
            context.colorspace = Colorspace.ITU709
            context.color_primaries = ColorPrimaries.BT709
            context.color_trc = ColorTrc.BT709
        stream.width, stream.height = width, height
        stream.codec_context.time_base = 1 / self._rate
        return stream

    def _convert(self, frame: np.ndarray, index: int) -> av.VideoFrame:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._lossless:
            picture = picture.reformat(format="bgr0")
        else:
            picture = picture.reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
        picture.pts = index
        picture.time_base = 1 / self._rate
        return picture

    def _mux(self, packets: Iterator[Any] | list[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)
