"""Movies: FFV1 keeps every bit, H.264 is tagged and converted as BT.709; both run at the true rate."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from wan_backend.frames.movie import Movie
from wan_backend.protocol.messages import MediaFormat

NTSC = Fraction(24000, 1001)


def pictures(count: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        cv2.resize(random.integers(0, 256, (6, 8, 3), dtype=np.uint8), (128, 96), interpolation=cv2.INTER_CUBIC)
        for _ in range(count)
    ]


def write(file, media_format, frames, rate=NTSC, each=1):
    height, width = frames[0].shape[:2]
    with Movie(file, media_format, rate, width, height) as movie:
        for number, frame in enumerate(frames):
            movie.write(frame, list(range(number * each, (number + 1) * each)))


def test_ffv1_keeps_every_bit(tmp_path):
    frames = pictures()
    write(tmp_path / "take.mkv", MediaFormat.FFV1, frames)
    with av.open(str(tmp_path / "take.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(read) == len(frames)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(frames, read, strict=True))


@pytest.mark.parametrize(("media_format", "name"), [(MediaFormat.FFV1, "take.mkv"), (MediaFormat.H264, "take.mp4")])
@pytest.mark.parametrize("rate", [NTSC, Fraction(25), Fraction(30000, 1001), Fraction(60)])
def test_the_rate_is_exact_and_frames_repeat(tmp_path, media_format, name, rate):
    write(tmp_path / name, media_format, pictures(3), rate, each=2)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].average_rate == rate
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([float(i / rate) for i in range(6)], abs=0.001)


def test_h264_is_bt709_with_limited_range(tmp_path):
    red, green, blue = 200, 60, 40
    flat = np.full((96, 128, 3), (red, green, blue), np.uint8)
    write(tmp_path / "take.mp4", MediaFormat.H264, [flat] * 3)
    with av.open(str(tmp_path / "take.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.color_range, context.colorspace, context.color_primaries, context.color_trc)
        planes = next(container.decode(video=0)).to_ndarray(format="yuv420p")
    assert tags == (1, 1, 1, 1)  # limited; BT.709 thrice
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert planes[0, 0] == pytest.approx(16 + 219 * light / 255, abs=1)
    assert planes[-1, 0] == pytest.approx(128 + 224 * (red - light) / 1.5748 / 255, abs=1)


def test_frames_out_of_order_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="where 0 was due"):
        write_second_first(tmp_path / "take.mkv")


def write_second_first(file):
    with Movie(file, MediaFormat.FFV1, NTSC, 128, 96) as movie:
        movie.write(pictures(1)[0], [1])


@pytest.mark.parametrize("written", [0, 1])
@pytest.mark.parametrize("media_format", [MediaFormat.FFV1, MediaFormat.H264])
def test_the_error_that_stopped_a_movie_is_the_one_that_is_heard(tmp_path, media_format, written):
    """Closing the unfinished file used to raise its own error in its place."""
    with pytest.raises(ZeroDivisionError), Movie(tmp_path / "take", media_format, NTSC, 128, 96) as movie:
        for number, frame in enumerate(pictures(written)):
            movie.write(frame, [number])
        raise ZeroDivisionError
