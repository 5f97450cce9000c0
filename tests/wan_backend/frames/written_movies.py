"""Movies for tests: each frame says its own number, in black and white bars."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BARS = 10
SIZE = 160, 64


def numbered(number: int) -> np.ndarray:
    """A picture of the number's bits; uint8 RGB."""
    bits = [255 * (number >> k & 1) for k in range(BARS)]
    row = np.repeat(np.array(bits, np.uint8), SIZE[0] // BARS)
    return np.broadcast_to(row[None, :, None], (SIZE[1], SIZE[0], 3)).copy()


def number_in(picture: np.ndarray) -> int:
    """The number that a picture says, however soft it became."""
    bars = picture.reshape(picture.shape[0], BARS, -1).mean(axis=(0, 2)) > 127
    return sum(1 << k for k in range(BARS) if bars[k])


def write(
    file: Path, frames: int, codec: str = "libx264", pixels: str = "yuv420p", rate: Fraction = Fraction(24),
    options: dict[str, str] | None = None, times: list[int] | None = None,
) -> Path:  # fmt: skip
    """A movie of numbered frames; `times` are their time stamps in frames, one after another without it."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        stream.codec_context.time_base = 1 / rate
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = times[number] if times else number, 1 / rate
            for packet in stream.encode(frame.reformat(format=pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file


def write_planes(
    file: Path, planes: list[np.ndarray], pixels: str, colorspace: int | None = None, color_range: int | None = None
) -> Path:
    """A lossless movie of one frame with these very planes, tagged so or not at all."""
    frame = av.VideoFrame(planes[0].shape[1], planes[0].shape[0], pixels)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((values.shape[0], plane.line_size), np.uint8)
        raw = np.ascontiguousarray(values).view(np.uint8)
        rows[:, : raw.shape[1]] = raw
        plane.update(rows.tobytes())
    frame.pts = 0
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=24, options={"level": "3"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixels
        if colorspace is not None:
            stream.codec_context.colorspace = frame.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = frame.color_range = color_range
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return file
