"""Single frames of a movie, found exactly.

A movie's frame n is the one that is shown at n / rate seconds from its start, as Blender counts them. What a file says
about its keyframes is not trusted: a seek that lands past the frame goes back further, and in the end to the start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from ..protocol.sentences import Sentence
from .unreadable_source import UnreadableSource

STEPS_BACK_SECONDS = (0.0, 1.0, 5.0, 25.0)
"""How far before a frame to seek: each in turn, until decoding begins before the frame."""
NEVER_SEEK = {"mpeg", "mpegvideo", "h264", "hevc", "m4v"}
"""Formats (ffmpeg's names) whose time stamps are wrong or missing after a seek; they are read from their start."""
DECODED_ON_FRAMES = 48
"""Up to this many frames ahead are decoded one by one; a frame further on is found by a seek."""
PIECE_BYTES = 1 << 20
LISTS = {"concat", "hls", "dash", "imf", "sdp", "image2"}
"""Formats (ffmpeg's names) that are no movies, but lists of other files."""
LISTED = Sentence("it is a list of other files, not a movie")


def _plain(pixels: str) -> str:
    """The pixel format without the range, which its older names (yuvj...) include."""
    return pixels.replace("yuvj", "yuv")


class MovieFrames:
    """The decoded frames of one file; used as `with MovieFrames(path) as movie`."""

    def __init__(self, path: Path) -> None:
        self._container = opened(path)
        videos = self._container.streams.video
        if not videos:
            self._container.close()
            raise UnreadableSource(Sentence("it has no picture track"))
        self._stream: Any = videos[0]
        self._stream.thread_type = "AUTO"
        self._base: Fraction = self._stream.time_base or Fraction(1, 90_000)
        self._rate = Fraction(self._stream.guessed_rate or self._stream.average_rate or 25)
        self._start: int | None = self._stream.start_time
        codec = self._stream.codec_context
        self._header = (0, 0, "") if codec is None else (codec.width, codec.height, _plain(codec.pix_fmt or ""))
        self._coming: Iterator[Any] = iter(())
        self._shown: Any = None
        self._next: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height by the file's header; 0 if it has none, or the codec isn't known."""
        return self._header[:2]

    @property
    def rate(self) -> Fraction:
        """Frames a second, by which they are counted."""
        return self._rate

    def count(self) -> int:
        """How many frames its pictures last, by their time stamps: nothing is decoded. Raises what ffmpeg raises."""
        counted, first, last = 0, None, 0
        with opened(Path(self._container.name)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    counted += 1
                if packet.size and packet.pts is not None:
                    first, last = min(packet.pts, first if first is not None else packet.pts), max(packet.pts, last)
        return max(1, counted if first is None else round((last - first) * self._base * self._rate) + 1)

    def is_like_first(self, frame: Any) -> bool:
        """True if the frame has the size and the pixel format of the file's header, as far as that is known."""
        width, height, pixels = self._header
        same_size = (frame.width, frame.height) == (width, height) or not (width and height)
        return same_size and pixels in ("", _plain(frame.format.name))

    def change(self, frame: Any) -> Sentence:
        """The change from the file's header to the frame, in words."""
        width, height, pixels = self._header
        return Sentence(
            "{first} to {second}{when}",
            first=f"{width} x {height} ({pixels})",
            second=f"{frame.width} x {frame.height} ({_plain(frame.format.name)})",
            when="" if frame.time is None else Sentence(", {time} seconds in", time=f"{frame.time:.1f}"),
        )

    def __enter__(self) -> MovieFrames:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._coming = iter(())
        self._container.close()

    def frames(self, wanted: Sequence[int]) -> Iterator[Any]:
        """An av.VideoFrame for each of the sorted numbers; past the end, the last one.

        Raises UnreadableSource, OSError.
        """
        at: int | None = None
        read_through = False
        for number in wanted:
            if at is None or number - at > DECODED_ON_FRAMES:
                self._seek(number)
            at = number
            due = self._due(number)
            while self._next is not None and (self._shown is None or self._next.pts <= due):
                self._shown, self._next = self._next, next(self._coming, None)
            if self._shown is None:
                raise UnreadableSource(Sentence("none of its pictures can be decoded"))
            if self._next is None and not read_through and due - self._shown.pts > 1.5 / (self._rate * self._base):
                _read_through(Path(self._container.name))
                read_through = True
            yield self._shown

    def _due(self, number: int) -> int:
        """The time stamp at which Blender shows the frame of that number; Blender computes it in floats, and rounds."""
        return (self._start or 0) + math.floor(number * float(1 / (self._rate * self._base)) + 0.5)

    def _seek(self, number: int) -> None:
        """Go to a place at or before the frame; decoding continues from there."""
        due = self._due(number)
        trusted = not NEVER_SEEK & set(self._container.format.name.split(","))
        if trusted and self._start is not None and number > 0:
            for back in STEPS_BACK_SECONDS:
                target = due - int(back / self._base)
                if target <= self._start:
                    break
                if self._seek_to(target) and self._next.pts <= due:
                    return
        self._rewind()

    def _seek_to(self, target: int) -> bool:
        """Seek to a time stamp; True if decoding then begins with a whole picture."""
        try:
            self._container.seek(target, stream=self._stream)
        except MemoryError:
            raise
        except (av.FFmpegError, OSError):
            return False
        self._begin()
        return self._next is not None and self._next.key_frame and not self._next.is_corrupt

    def _rewind(self) -> None:
        """Start from the file's first frame, in a new container: that works for every format."""
        name = self._container.name
        self._container.close()
        self._container = av.open(name, "r")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._begin()
        if self._start is None and self._next is not None:
            self._start = self._next.pts

    def _begin(self) -> None:
        self._coming = self._stamped(self._decoded())
        self._shown, self._next = None, next(self._coming, None)

    def _decoded(self) -> Iterator[Any]:
        """The frames from here on; a packet that can't be decoded is skipped, as players do."""
        try:
            for packet in self._container.demux(self._stream):
                try:
                    yield from packet.decode()
                except MemoryError:
                    raise
                except av.FFmpegError:  # also a packet of no bytes, by which Theora says that a frame stays
                    continue
        except MemoryError:
            raise  # that isn't the file's fault
        except (av.FFmpegError, OSError):
            return  # a file that breaks off shows what it has

    def _stamped(self, frames: Iterator[Any]) -> Iterator[Any]:
        """The frames, with a count if they have no time stamp, which is right if decoding began at the start."""
        for count, frame in enumerate(frames):
            if frame.pts is None:
                frame.pts = self._due(count)
            yield frame


def opened(path: Path) -> Any:
    """The file's container. Raises OSError, UnreadableSource, what ffmpeg raises."""
    try:
        container = av.open(str(path), "r")
    except FileNotFoundError:
        if path.exists():
            raise UnreadableSource(LISTED) from None
        raise
    if LISTS & set(container.format.name.split(",")):
        container.close()
        raise UnreadableSource(LISTED)
    return container


def _read_through(file: Path) -> None:
    """Raise OSError if the file can't be read to its end; a demuxer would silently take that for its end."""
    with open(file, "rb", buffering=0) as stream:
        while stream.read(PIECE_BYTES):
            pass
