"""Movies as cameras, phones, programs and portals write them.

Each frame of a recipe shows its own number (`numbered`), so that a frame too early or too late is seen as one.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from .entry import Entry, Make
from .what_holds import all_of, frames_show, read_or_refused, refused


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


def turned(made: Make, corner: tuple[int, int, int, int]) -> Make:
    """The same MP4 with another matrix in its track's head, as phones write it."""

    def make(folder: Path) -> Path:
        file = made(folder)
        content = bytearray(file.read_bytes())
        a, b, c, d = (number << 16 for number in corner)
        struct.pack_into(">9i", content, content.find(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
        file.write_bytes(content)
        return file

    return make


def growing(name: str, codec: str, pixels: str = "yuv420p", by: int = 1, options: dict[str, str] | None = None) -> Make:
    """Twelve frames of 160 x 64 in 4:2:0, then twelve of twice that (or not, `by` 0) in those pixels, in one track."""

    def make(folder: Path) -> Path:
        import av

        from tests.wan_backend.frames.written_movies import numbered

        with av.open(str(folder / name), "w") as container:
            stream: Any = container.add_stream(codec, rate=Fraction(24))
            stream.width, stream.height, stream.pix_fmt = 160, 64, "yuv420p"
            for part in range(2):
                coder: Any = av.CodecContext.create(codec, "w")
                kind, more = (pixels, by) if part else ("yuv420p", 0)
                coder.width, coder.height, coder.pix_fmt, coder.options = 160 << more, 64 << more, kind, options or {}
                coder.time_base, coder.framerate = Fraction(1, 24), 24
                packets = []
                for number in range(12 * part, 12 * part + 12):
                    picture = numbered(number).repeat(1 + more, axis=0).repeat(1 + more, axis=1)
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=kind)
                    frame.pts, frame.time_base = number, Fraction(1, 24)
                    packets += coder.encode(frame)
                for packet in [*packets, *coder.encode(None)]:
                    packet.stream = stream
                    container.mux(packet)
        return folder / name

    return make


REAL_TIME = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "auto-alt-ref": "0"}
UNEVEN = [number + number // 3 for number in range(24)]

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
    Entry(
        "a phone's movie, held upright", "phones: the display matrix", turned(movie("clip.mp4"), (0, 1, -1, 0)),
        None, "straight", short=True,
    ),
    Entry("a phone's movie, upside down", "phones", turned(movie("clip.mp4"), (-1, 0, 0, -1)), None, "straight"),
    Entry("H.265 of ten bits", "phones, cameras", movie("clip.mov", "libx265", "yuv420p10le"), frames_show(range(24)),
          "straight", needs=("encoder:libx265",)),
    Entry(
        "H.264 without key frames but the first", "live encoders (intra refresh); Blender is right when it plays",
        movie("clip.mkv", frames=48, options={"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
        all_of(frames_show(range(24)), frames_show(range(40, 48), first=40)), "straight",
    ),
    Entry("H.264 in AVI", "dash cameras, CCTV", movie("clip.avi", options={"bf": "2"}), None, "rendered"),
    Entry("H.264 in ASF", "capture programs", movie("clip.asf", options={"bf": "2"}), None, "rendered"),
    Entry("AVCHD", "camcorders", movie("clip.mts"), frames_show(range(24)), "rendered"),
    Entry("a DVD's MPEG-2", "DVDs", movie("clip.vob", "mpeg2video", rate=Fraction(25)), None, "rendered"),
    Entry("MPEG-2 in MXF", "XDCAM, XAVC", movie("clip.mxf", "mpeg2video", rate=Fraction(25)), None, "rendered"),
    Entry("H.264 in FLV", "streams", movie("clip.flv"), None, "rendered"),
    Entry("an animated GIF", "portals", movie("clip.gif", "gif", "rgb8", rate=Fraction(25)), None, "rendered"),
    Entry("Animation of 256 grays", "old titles; every Blender shows it black",
          movie("clip.mov", "qtrle", "gray"), None, "clip.mov, which Blender can't read", short=True),
    Entry("ProRes 4444 with transparency", "titles, effects", movie("clip.mov", "prores_ks", "yuva444p10le")),
    Entry("gray of ten bits", "scanners", movie("clip.mkv", "ffv1", "gray10le", options={"level": "3"})),
    Entry("RGB of sixteen bits", "film scanners", movie("clip.mkv", "ffv1", "gbrp16le", options={"level": "3"})),
    Entry("a phone's uneven frames", "phones", movie("clip.mp4", times=UNEVEN), None, "rendered"),
    Entry("a screen recording's uneven frames", "OBS", movie("clip.mkv", times=UNEVEN), None,
          "straight"),
    Entry("a call in VP8 that grows", "browsers", growing("clip.webm", "libvpx"), None,
          "rendered", needs=("encoder:libvpx",)),
    *(
        Entry(
            name, "calls, browsers, clips joined without decoding; no Blender shows them",
            growing(file, codec, pixels, by, options),
            all_of(frames_show(range(12)), refused("160 x 64", "change from", is_movie=True, frame=14)),
            "straight", needs=(f"encoder:{codec}",), short=codec == "libvpx-vp9",
        )
        for name, file, codec, pixels, by, options in (
            ("VP9 that grows", "clip.webm", "libvpx-vp9", "yuv420p", 1, REAL_TIME),
            ("H.264 that grows, in MKV", "clip.mkv", "libx264", "yuv420p", 1, {"bf": "0"}),
            ("H.264 that grows, in MP4", "clip.mp4", "libx264", "yuv420p", 1, {"bf": "0"}),
            ("AV1 that grows", "clip.mkv", "libsvtav1", "yuv420p", 1, {"preset": "10"}),
            ("H.264 whose colors become finer", "clip.mkv", "libx264", "yuv444p", 0, {"bf": "0"}),
        )
    ),
)  # fmt: skip
