"""Writes movies as phones, cameras and programs do. Run by test_movies.py in the backend's environment.

python write_movies.py FOLDER
"""

from __future__ import annotations

import itertools
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = 160, 96
FRAMES = 30
TURNS = {"90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0), "mirrored": (-1, 0, 0, 1)}
FAST = {"deadline": "realtime", "cpu-used": "8", "b": "4M"}


def drawn(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A corner says which way is up; five bars say the number."""
    width, height = size
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[: height // 4, : width // 4] = 200, 60, 60
    for bar in range(5):
        picture[height // 2 :, bar * width // 5 : (bar + 1) * width // 5] = 215 if number >> bar & 1 else 40
    return picture


def clear(number: int) -> np.ndarray:
    """The same, and it fades to the left."""
    alpha = np.linspace(0, 255, SIZE[0]).astype(np.uint8)
    return np.dstack([drawn(number), np.broadcast_to(alpha, SIZE[::-1])])


def write(
    file: Path, codec: str = "libx264", pixels: str = "yuv420p", options: dict[str, str] | None = None,
    make: Callable[[int], np.ndarray] = drawn, times: list[int] | None = None, mode: str = "",
    rate: Fraction = Fraction(25), frames: int = FRAMES, tick: Fraction | None = None,
) -> Path:  # fmt: skip
    """A movie of `frames` pictures. `mode` is WebM's alpha_mode; a tick of `times` is a frame if not said otherwise."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, pixels
        if tick:
            stream.codec_context.time_base = tick
        if mode:
            stream.metadata["alpha_mode"] = mode
        for number in range(frames):
            picture = make(number)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24" if picture.shape[2] == 3 else "rgba")
            frame.pts, frame.time_base = times[number] if times else number, tick or 1 / rate
            for packet in stream.encode(frame.reformat(format=pixels)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return file


def turned(file: Path, name: str) -> None:
    """The movie with another matrix in its track's head, as phones write it."""
    content = bytearray(file.read_bytes())
    a, b, c, d = (number << 16 for number in TURNS[name])
    struct.pack_into(">9i", content, content.find(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    file.with_name(f"{file.stem} turned {name}{file.suffix}").write_bytes(content)


def two_tracks(file: Path) -> None:
    with av.open(str(file), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(FRAMES):
            for index, stream in enumerate(streams):
                picture = 255 - drawn(number) if index else drawn(number)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())


def main() -> None:
    folder = Path(sys.argv[1])
    for name in TURNS:
        turned(write(folder / "phone.mp4"), name)
    turned(write(folder / "deep phone.mov", "libx265", "yuv420p10le", {"x265-params": "log-level=none:crf=8"}), "90")
    write(folder / "b-frames.mp4", options={"bf": "3", "crf": "8"})
    write(folder / "b-frames.avi", options={"bf": "3", "crf": "8"})
    write(folder / "film.mkv", rate=Fraction(24000, 1001), options={"crf": "8", "bf": "2"})
    write(folder / "prores.mov", "prores_ks", "yuv422p10le", {"profile": "3"})
    write(folder / "clear prores.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, clear)
    write(folder / "opaque prores 4444.mov", "prores_ks", "yuv444p10le", {"profile": "4444"})
    write(folder / "clear qtrle.mov", "qtrle", "argb", {}, clear)
    write(folder / "clear png.mov", "png", "rgba", {}, clear)
    write(folder / "clear ffv1.mkv", "ffv1", "bgra", {"level": "3"}, clear)
    write(folder / "deep clear ffv1.mkv", "ffv1", "yuva444p10le", {"level": "3"}, clear)
    write(folder / "vp9.webm", "libvpx-vp9", options=FAST)
    write(folder / "clear vp9.webm", "libvpx-vp9", "yuva420p", {**FAST, "auto-alt-ref": "0"}, clear, mode="1")
    write(folder / "clear vp8.webm", "libvpx", "yuva420p", {**FAST, "auto-alt-ref": "0"}, clear, mode="1")
    uneven = [number + number // 3 for number in range(FRAMES)]
    write(folder / "uneven.mp4", times=uneven)
    write(folder / "uneven.mkv", times=uneven)
    recorded = list(
        itertools.accumulate(itertools.islice(itertools.cycle((0, 34, 33, 50, 16, 101, 67, 34, 32)), FRAMES))
    )
    write(folder / "recorded.mkv", options={"crf": "8", "bf": "0"}, times=recorded, tick=Fraction(1, 1000))
    write(folder / "sport.mkv", rate=Fraction(60000, 1001))
    two_tracks(folder / "two.mkv")


if __name__ == "__main__":
    main()
