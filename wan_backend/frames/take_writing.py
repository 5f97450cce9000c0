"""A take's media on the disk, numbered PNG files or a movie; storage.take_folder has the folder that they go into.

Errors of the disk are raised as OSError. FFV1 in Matroska keeps every bit; H.264 in MP4 is small, tagged and converted
as BT.709 with limited range.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from ..protocol.media import frame_file
from ..protocol.messages import MediaFormat
from ..storage import whole_file
from .marks import Marks, marked_png, mp4_box, png_chunk

COMPRESSION = 3
"""The level of zlib, 0 to 9: above it files hardly get smaller, but take much longer."""
MAX_THREADS = 8
"""A frame of 832x480 takes 20 ms and more to write, while a fast card makes one in 9."""


class PngSequence:
    """Writes a take's frames into `folder`; a file is there whole or not at all, and carries `marks`.

    `with PngSequence(folder) as sequence:` threads write the frames, and all are on the disk when the block is left.
    The error of one of them is raised by a later `write`, or at the end.
    """

    def __init__(self, folder: Path, marks: Marks | None = None) -> None:
        self._folder = folder
        self._chunk = b"" if marks is None else png_chunk(marks.xmp())
        self._pool: ThreadPoolExecutor | None = None
        self._threads = min(MAX_THREADS, max(1, (os.cpu_count() or 1) // 2))
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> PngSequence:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="png")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pool is not None
        pool, self._pool = self._pool, None
        try:
            while error is None and self._waiting:
                self._waiting.popleft().result()
        finally:
            self._waiting.clear()
            pool.shutdown(cancel_futures=True)

    def write(self, frame: np.ndarray, indices: list[int]) -> None:
        """Write `frame` (H, W, 3, uint8 RGB) as the take's frames `indices`; it's encoded only once.

        A thread may still read `frame` afterwards, so it must not be changed. Raises OSError.
        """
        if not indices:
            return
        if self._pool is None:
            self._write(frame, indices)
            return
        while len(self._waiting) >= 2 * self._threads:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, frame, list(indices)))

    def _write(self, frame: np.ndarray, indices: list[int]) -> None:
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        good, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, COMPRESSION])
        if not good:
            raise ValueError(f"OpenCV can't encode a frame of shape {frame.shape} as PNG")
        content = marked_png(png.data, self._chunk) if self._chunk else png.data
        for index in indices:
            whole_file.write(self._folder / frame_file(index), content, flushed=True)


XMP_ATTACHMENT = "take.xmp"
H264_QUALITY = "12"
"""The crf at which no difference to the frames can be seen."""


class Movie:
    """Writes a take's frames into one file, in order, as they come; the file carries `marks`."""

    def __init__(
        self,
        file: Path,
        media_format: MediaFormat,
        rate: Fraction,
        width: int,
        height: int,
        marks: Marks | None = None,
    ) -> None:
        self._file = file
        self._next = 0
        self._rate = rate
        self._lossless = media_format is MediaFormat.FFV1
        self._container = av.open(str(file), "w", format="matroska" if self._lossless else "mp4")
        self._stream: Any = self._add_stream(width, height)
        self._xmp = b"" if marks is None else marks.xmp()
        if marks is not None and self._lossless:
            self._container.metadata.update(marks.tags())
            self._container.add_attachment(XMP_ATTACHMENT, "application/rdf+xml", self._xmp)

    def __enter__(self) -> Movie:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()
        else:  # the error itself is to be raised, not that the file can't be closed because of it
            with suppress(av.FFmpegError, OSError, ValueError):
                self._container.close()

    def write(self, frame: np.ndarray, indices: list[int]) -> None:
        """Write `frame` (H, W, 3, uint8 RGB) as the take's frames `indices`, which follow those written before."""
        for index in indices:
            if index != self._next:
                raise ValueError(f"frame {index} of the movie came where {self._next} was due")
            self._next += 1
            self._mux(self._stream.encode(self._convert(frame, index)))

    def _finish(self) -> None:
        """Write what the encoder still holds, and wait until the file is on the disk."""
        try:
            self._mux(self._stream.encode(None))
        finally:
            self._container.close()
        with open(self._file, "rb+") as stream:
            if self._xmp and not self._lossless:
                stream.seek(0, os.SEEK_END)
                stream.write(mp4_box(self._xmp))
                stream.flush()
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
