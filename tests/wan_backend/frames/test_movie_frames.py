"""Every frame of a movie is found exactly, however its file is made."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from tests.wan_backend.frames.written_movies import SIZE, number_in, write
from wan_backend.frames.movie_frames import MovieFrames
from wan_backend.frames.source_frames import read
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Role, Source

FILES = {
    "h264, one keyframe": ("a.mp4", "libx264", "yuv420p", {"g": "1000", "bf": "3", "sc_threshold": "0"}),
    "h264, open groups": ("a.mkv", "libx264", "yuv420p", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "h264, transport stream": ("a.ts", "libx264", "yuv420p", {"g": "25", "bf": "2"}),
    "h264, keyframes only": ("a.mov", "libx264", "yuv444p", {"g": "1"}),
    "h265": ("a.mp4", "libx265", "yuv420p10le", {"x265-params": "keyint=40:log-level=none"}),
    "vp9": ("a.webm", "libvpx-vp9", "yuv420p", {"g": "60", "cpu-used": "8", "deadline": "realtime"}),
    "mpeg2, open groups": ("a.mpg", "mpeg2video", "yuv420p", {"g": "15", "bf": "2"}),
    "mpeg4 in avi": ("a.avi", "mpeg4", "yuv420p", {"g": "100"}),
    "prores": ("a.mov", "prores_ks", "yuv422p10le", {}),
    "raw h264": ("a.h264", "libx264", "yuv420p", {"g": "30"}),
}


def numbers(file, wanted, first=0):
    source = Source(Role.FOOTAGE, str(file.parent), [file.name], True, first, 1000)
    return [number_in(picture) for picture in read(source, wanted, *SIZE, SIZE)]


@pytest.fixture(scope="module", params=FILES)
def movie(request, tmp_path_factory):
    name, codec, pixels, options = FILES[request.param]
    rate = Fraction(25) if name.endswith(("mpg", "h264")) else Fraction(24000, 1001)
    return write(tmp_path_factory.mktemp("movie") / name, 180, codec, pixels, rate, options)


def test_all_frames_in_a_row(movie):
    assert numbers(movie, range(180)) == list(range(180))


def test_any_frame_by_itself(movie):
    for number in (0, 1, 13, 97, 178, 179):
        assert numbers(movie, [0], first=number) == [number]


def test_any_rising_row_of_frames(movie):
    random_numbers = random.Random(3)
    for _ in range(3):
        wanted = sorted(random_numbers.choices(range(170), k=8))
        assert numbers(movie, wanted, first=7) == [7 + number for number in wanted]


def test_past_the_end_the_last_is_held(movie):
    assert numbers(movie, [178, 179, 180, 500]) == [178, 179, 179, 179]
    assert numbers(movie, [0], first=900) == [179]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_matroska_rounds_times_to_milliseconds_and_no_frame_is_missed(tmp_path, rate):
    movie = write(tmp_path / "a.mkv", 400, "libx264", "yuv420p", rate, {"g": "100", "preset": "ultrafast"})
    assert numbers(movie, range(400)) == list(range(400))


def test_a_rate_that_varies_is_read_by_time(tmp_path):
    """As a player shows it: the frame whose time came last. Frames stand at 0, 1, 2, then every third."""
    times = [0, 1, 2, 3, 4, 5, 8, 11, 14, 15, 16, 17, 18, 19, 20]
    movie = write(tmp_path / "a.mkv", len(times), "ffv1", "bgr0", Fraction(25), times=times)
    with MovieFrames(movie) as found:
        rate = found._rate
    shown = numbers(movie, range(int(20 * rate / 25) + 1))
    expected = [max(n for n, time in enumerate(times) if time / 25 <= i / rate + 1e-6) for i in range(len(shown))]
    assert shown == expected


def test_a_file_that_breaks_off_shows_what_it_has(tmp_path):
    movie = write(tmp_path / "a.ts", 100, "libx264", "yuv420p", Fraction(25), {"g": "10", "bf": "0"})
    content = movie.read_bytes()
    movie.write_bytes(content[: len(content) // 2])
    shown = numbers(movie, range(100))
    assert shown[:40] == list(range(40)) and shown[-1] < 60


def test_a_codec_that_nobody_knows_is_a_sentence(tmp_path):
    movie = write(tmp_path / "a.mov", 3, "prores_ks", "yuv422p10le")
    content = movie.read_bytes()
    assert b"apcn" in content or b"apch" in content
    movie.write_bytes(content.replace(b"apcn", b"QQQQ").replace(b"apch", b"QQQQ"))
    with pytest.raises(Refusal, match=r"a\.mov can't be used: none of its pictures can be decoded; convert it"):
        numbers(movie, [0])


def test_a_movie_without_keyframes_near_is_read_from_its_start(tmp_path, monkeypatch):
    """Seeks that land nowhere useful cost time, never a wrong frame."""
    movie = write(tmp_path / "a.mp4", 120, "libx264", "yuv420p", Fraction(24), {"g": "1000"})
    monkeypatch.setattr(MovieFrames, "_seek_to", lambda self, target: False)
    assert numbers(movie, [0, 60, 119]) == [0, 60, 119]
