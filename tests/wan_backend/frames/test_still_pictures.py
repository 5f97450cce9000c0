"""Large pictures come within a budget of memory and are the same; damaged ones, and what is no file, are a sentence."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.world.pictures import drawn, plain_png, png_head
from wan_backend.frames import resampling, source_frames, still_pictures
from wan_backend.frames.color import FrameReader, opaque
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Framing, Role, Source

ROOT = Path(__file__).resolve().parents[3]


def read(file: Path, budget_bytes: int = still_pictures.BUDGET_BYTES, size=(96, 48), movie: bool = False) -> np.ndarray:
    source = Source(Role.FIRST, str(file.parent), [file.name], is_movie=movie)
    return next(iter(source_frames.read(source, [0], *size, size, budget_bytes)))


def refusal(file: Path, **how) -> str:
    with pytest.raises(Refusal) as caught:
        read(file, **how)
    assert caught.value.problem.kind == "bad_source" and file.name in str(caught.value)
    return caught.value.problem.sentence


LYING = {
    "whole": None,
    "cropped and mirrored": Framing(640, 360, 40.5, -30.0, 500.0, 400.0, 3.0, 7.5, 2.0, 0.0, True, False),
    "larger than it is": Framing(640, 360, -4000.0, -4000.0, 9000.0, 9000.0),
    "wide": Framing(640, 360, 0.0, 100.0, 640.0, 30.0),
    "narrow": Framing(640, 360, 100.0, 0.0, 20.0, 360.0),
}


@pytest.mark.parametrize("lies", LYING)
@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (3, 8), (4, 8), (3, 16), (4, 16)])
def test_band_by_band_is_the_same_to_the_bit(monkeypatch, lies, channels, depth):
    chance = np.random.default_rng(3)
    for width, height in ((320, 180), (301, 77), (90, 200)):
        pixels = chance.integers(0, 1 << depth, (height, width, channels), np.uint16 if depth == 16 else np.uint8)
        axes = resampling.axes(LYING[lies], (width, height), (128, 80), (640, 360))
        order = {1: [0, 0, 0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
        whole = FrameReader(*axes).from_rgb(opaque(pixels[..., order], in_light=depth == 16))
        monkeypatch.setattr(resampling, "BAND_PIXELS", 1000)
        assert np.array_equal(FrameReader(*axes).from_pixels(pixels, order), whole)
        monkeypatch.undo()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.bmp", "a.jp2", "a.tga"])
def test_what_is_too_large_is_refused_by_its_head(tmp_path, monkeypatch, name):
    file = tmp_path / name
    Image.fromarray(drawn((640, 400))).save(file)

    def decode(*_):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)
    monkeypatch.setattr(still_pictures.imageio, "imread", decode)
    budget = file.stat().st_size + 1000
    sentence = refusal(file, budget_bytes=budget, size=(640, 400))
    assert "640 x 400 pixels is too large to decode" in sentence and sentence.endswith(".")


def test_a_bomb_is_refused_with_what_can_be_read(tmp_path):
    sentence = refusal(png_head("bomb.png", 60_000, 60_000)(tmp_path))
    assert "60,000 x 60,000" in sentence and "about 18,900 x 18,900 can be read" in sentence


def test_a_jpeg_that_is_too_large_is_decoded_smaller(tmp_path):
    file = tmp_path / "a.jpg"
    Image.fromarray(drawn((1603, 801))).save(file, quality=95)
    whole = read(file).astype(int)
    for shrunk in (2, 4, 8):
        budget = file.stat().st_size + 1603 * 801 * 3 // shrunk**2 + 100
        found = still_pictures.load(file, 96, budget)
        assert (found.shrunk, found.width, found.height) == (shrunk, 1603, 801)
        assert np.abs(read(file, budget) - whole).max() <= 4
    assert "too large" in refusal(file, budget_bytes=budget, size=(1603, 801)), "never smaller than what is made of it"


def test_a_progressive_jpeg_keeps_all_its_pixels_in_memory_however_small_it_is_decoded(tmp_path):
    file = tmp_path / "a.jpg"
    Image.fromarray(drawn((1600, 800))).save(file, progressive=True)
    assert "too large" in refusal(file, budget_bytes=file.stat().st_size + 1600 * 800 * 5)


@pytest.mark.ci
@pytest.mark.skipif(sys.platform == "win32", reason="asks for the most memory that a process had")
def test_a_hundred_million_pixels_take_little_memory(tmp_path):
    """34 to 80 bytes a pixel it was."""
    file = plain_png("large.png", 10_000, 10_000)(tmp_path)
    code = (
        "import json, resource, sys; from pathlib import Path;"
        "from tests.wan_backend.frames.test_still_pictures import read;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; read(Path(sys.argv[1]), size=(832, 480));"
        "print(json.dumps([before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], cwd=ROOT, capture_output=True, check=True, text=True)
    unit = 1 if sys.platform == "darwin" else 1024
    before, most = (value * unit for value in json.loads(done.stdout))
    assert (most - before) / 100e6 < 8


def mutated(whole: bytes, chance: random.Random) -> bytes:
    changed = bytearray(whole)
    for _ in range(chance.choice([1, 3, 10])):
        place, long = chance.randrange(len(changed)), chance.choice([1, 4, 64])
        kind = chance.random()
        if kind < 0.5:
            changed[place : place + long] = bytes(chance.randrange(256) for _ in range(long))
        elif kind < 0.7:
            changed[place : place + long] = chance.choice([b"\xff", b"\0"]) * long
        elif kind < 0.9:
            del changed[place : place + long]
        else:
            del changed[place:]
        if not changed:
            return b"x"
    return bytes(changed)


@pytest.mark.parametrize("count", [6, pytest.param(120, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "TGA", "GIF", "JPEG2000", "PPM", "DDS"])
def test_damaged_pictures_are_read_or_refused_by_name(tmp_path, kind, count):
    written = io.BytesIO()
    Image.fromarray(drawn()).save(written, kind)
    chance = random.Random(kind)
    file = tmp_path / f"damaged.{kind.lower()}"
    for _ in range(count):
        file.write_bytes(mutated(written.getvalue(), chance))
        try:
            read(file)
        except Refusal as refused:
            assert refused.problem.kind == "bad_source" and file.name in refused.problem.sentence


@pytest.mark.parametrize("error", [SyntaxError("broken PNG file"), IndexError(), RecursionError(), MemoryError()])
@pytest.mark.parametrize("movie", [False, True])
def test_whatever_a_decoder_raises_is_a_sentence(tmp_path, monkeypatch, error, movie):
    file = tmp_path / ("a.mp4" if movie else "a.png")
    Image.fromarray(drawn()).save(file, "PNG")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(still_pictures.cv2, "imdecode", fail)
    monkeypatch.setattr(source_frames, "MovieFrames", fail)
    sentence = refusal(file, movie=movie)
    assert ("too little memory" in sentence) is isinstance(error, MemoryError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a named pipe")
@pytest.mark.parametrize("movie", [False, True])
def test_a_pipe_is_not_waited_for(tmp_path, movie):
    os.mkfifo(tmp_path / "a.png")
    assert "not a plain file" in refusal(tmp_path / "a.png", movie=movie)
    if os.path.exists("/dev/zero"):
        (tmp_path / "zero.png").symlink_to("/dev/zero")
        assert "not a plain file" in refusal(tmp_path / "zero.png", movie=movie)


def test_a_file_of_many_gigabytes_is_no_picture(tmp_path):
    with open(tmp_path / "a.png", "wb") as stream:
        stream.truncate(5_000_000_000)
    assert "5.0 GB" in refusal(tmp_path / "a.png")


def test_a_movie_of_enormous_pictures_is_refused_by_its_head(tmp_path, monkeypatch):
    from tests.wan_backend.frames import written_movies

    file = written_movies.write(tmp_path / "a.mp4", 2)
    monkeypatch.setattr(source_frames, "MAX_MOVIE_PIXELS", 160 * 64 - 1)
    assert "160 x 64 pixels are too large to decode" in refusal(file, movie=True)


@pytest.mark.parametrize("other", ["other.mkv", "none.mkv"])
def test_a_list_of_movies_under_a_movies_name_is_none(tmp_path, other):
    from tests.wan_backend.frames import written_movies

    written_movies.write(tmp_path / "other.mkv", 3, "mjpeg", "yuvj420p")
    (tmp_path / "a.mp4").write_text(f"ffconcat version 1.0\nfile {other}\n")
    assert "a list of other files" in refusal(tmp_path / "a.mp4", movie=True)


def test_a_packet_that_its_decoder_will_not_have_ends_no_movie(tmp_path, monkeypatch):
    """The rest of the film stood still: Theora's packets of no bytes are no invalid data, but an invalid argument."""
    import av

    from tests.wan_backend.frames import written_movies
    from wan_backend.frames.movie_frames import MovieFrames

    file = written_movies.write(tmp_path / "a.mkv", 12, "mjpeg", "yuvj420p")

    class Packet:
        def __init__(self, packet, bad):
            self._packet, self._bad = packet, bad

        def decode(self):
            if self._bad:
                raise av.ArgumentError(22, "Invalid argument")
            return self._packet.decode()

    with MovieFrames(file) as movie:
        container = movie._container
        movie._container = type("Container", (), {"demux": lambda self, stream: (
            Packet(packet, number == 3) for number, packet in enumerate(container.demux(stream))
        ), "close": container.close})()  # fmt: skip
        movie._begin()
        monkeypatch.setattr(movie, "_seek", lambda number: None)
        found = [written_movies.number_in(frame.to_ndarray(format="rgb24")) for frame in movie.frames(range(12))]
    assert found == [0, 1, 2, 2, 4, 5, 6, 7, 8, 9, 10, 11]


def test_a_decoder_without_memory_is_not_told_as_a_damaged_file(tmp_path, monkeypatch):
    """opencv and ffmpeg have errors of their own for it; a packet that needs more than there is isn't passed over."""
    import av

    from tests.wan_backend.frames import written_movies

    Image.fromarray(drawn()).save(tmp_path / "a.png")
    spent = cv2.error("OutOfMemoryError")
    spent.code = cv2.Error.StsNoMem

    def fail(*_, **__):
        raise spent

    monkeypatch.setattr(still_pictures.cv2, "imdecode", fail)
    assert "too little memory" in refusal(tmp_path / "a.png")

    class Container:
        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def demux(self, stream):
            for number, packet in enumerate(self._container.demux(stream)):
                if number == 6:
                    raise av.error.MemoryError(12, "Cannot allocate memory")
                yield packet

    file = written_movies.write(tmp_path / "a.mkv", 12, "mjpeg", "yuvj420p")
    opened = av.open
    monkeypatch.setattr(av, "open", lambda *given: Container(opened(*given)))
    source = Source(Role.FOOTAGE, str(tmp_path), [file.name], is_movie=True, frames=12)
    with pytest.raises(Refusal, match="too little memory"):
        list(source_frames.read(source, range(12), 160, 64, (160, 64)))


@pytest.mark.parametrize("bytes_more", [-10, 10])
def test_a_picture_that_is_written_while_it_is_read_is_not_taken_for_whole(tmp_path, monkeypatch, bytes_more):
    Image.fromarray(drawn()).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    real = os.stat

    def before(place, **how):
        found = list(real(place, **how))
        found[6] = len(content) + bytes_more if str(place).endswith("a.jpg") else found[6]
        return os.stat_result(found)

    monkeypatch.setattr(still_pictures.os, "stat", before)
    assert "being written right now" in refusal(tmp_path / "a.jpg")


def test_a_movie_on_a_disk_that_fails_is_not_taken_for_a_shorter_one(tmp_path, monkeypatch):
    """A demuxer tells what can't be read as the end of the file."""
    from tests.wan_backend.frames import written_movies
    from wan_backend.frames import movie_frames

    file = written_movies.write(tmp_path / "a.mkv", 12, "mjpeg", "yuvj420p")
    source = Source(Role.FOOTAGE, str(tmp_path), [file.name], is_movie=True, frames=20)

    def frames(*wanted: int) -> list[int]:
        read = source_frames.read(source, list(wanted), 160, 64, (160, 64))
        return [written_movies.number_in(picture) for picture in read]

    looked: list[Path] = []
    look = movie_frames._read_through
    monkeypatch.setattr(movie_frames, "_read_through", lambda place: (looked.append(place), look(place)))
    assert frames(*range(12)) == list(range(12)) and not looked
    assert frames(10, 14, 19) == [10, 11, 11] and looked == [file]

    def fail(_place):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(movie_frames, "_read_through", fail)
    with pytest.raises(Refusal, match=r"a\.mkv can't be used: it can't be read to its end \(Input/output error\)"):
        frames(10, 14)
