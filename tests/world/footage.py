"""Movies as cameras, phones, programs and portals write them.

Each frame of a recipe shows its own number (`numbered`), so that a frame too early or too late is seen as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from .entry import Entry, Make
from .what_holds import frames_show, read_or_refused, refused


def movie(
    name: str,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: Fraction = Fraction(24),
    frames: int = 24,
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
) -> Make:
    """A movie of numbered frames of 160 x 64, by PyAV; `times` are their time stamps in frames."""

    def make(folder: Path) -> Path:
        from tests.wan_backend.frames import written_movies

        return written_movies.write(
            folder / name, frames, codec, pixels, rate, options, None if times is None else list(times)
        )

    return make


def cut(made: Make, share: float) -> Make:
    """The same file, of which only so much of its bytes came."""

    def make(folder: Path) -> Path:
        file = made(folder)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])
        return file

    return make


def remuxed(made: Make, name: str, change: Any = None) -> Make:
    """The same packets in a container of that name; `change` is given each packet, and may change its stamps."""

    def make(folder: Path) -> Path:
        import av

        file = folder / name
        with av.open(str(made(folder))) as source, av.open(str(file), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(source.streams.video[0]):
                if packet.dts is None:
                    continue
                if change is not None:
                    change(packet)
                packet.stream = stream
                target.mux(packet)
        return file

    return make


def content(name: str, content: bytes) -> Make:
    """Any bytes under a movie's name."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


ENTRIES = (
    Entry(
        "H.264 in MP4 with B-frames", "most cameras, phones and programs",
        movie("clip.mp4", options={"bf": "2", "g": "12"}), frames_show(range(24)), "straight", short=True,
    ),
    Entry("MJPEG in MOV", "older cameras", movie("clip.mov", "mjpeg", "yuvj420p"), frames_show(range(24)), "straight"),
    Entry("FFV1 in MKV", "archives, Blender", movie("clip.mkv", "ffv1", "yuv444p"), frames_show(range(24)), "straight"),
    Entry("ProRes in MOV", "cameras, Resolve", movie("clip.mov", "prores_ks", "yuv422p10le"), frames_show(range(24))),
    Entry("MPEG-4 in AVI", "old programs", movie("clip.avi", "mpeg4"), frames_show(range(24))),
    Entry(
        "VP9 in WebM", "portals", movie("clip.webm", "libvpx-vp9"), frames_show(range(24)),
        needs=("encoder:libvpx-vp9",),
    ),
    Entry("29.97 frames a second", "NTSC", movie("clip.mp4", rate=Fraction(30000, 1001)), frames_show(range(24))),
    Entry("a cut MP4, its table lost", "a broken download", cut(movie("clip.mp4"), 0.6), refused(is_movie=True)),
    Entry("a cut MKV", "a broken download", cut(movie("clip.mkv"), 0.6), read_or_refused(is_movie=True)),
    Entry(
        "a web page named .mp4", "a portal that wanted a login", content("clip.mp4", b"<!DOCTYPE html><html>"),
        refused(is_movie=True),
    ),
)  # fmt: skip
