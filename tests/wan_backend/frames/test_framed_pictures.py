"""A source says for which pictures it was framed: they are turned so, and others are refused."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.wan_backend.frames.written_movies import write, write_planes
from wan_backend.frames.source_frames import read
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import Framing, Pictures, Role, Source

WIDTH, HEIGHT = 96, 48


def drawn(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], -1).astype(np.uint8)


def film(file: Path, sizes: list[tuple[int, int]], codec: str = "ffv1", *pixels: str) -> Path:
    """A movie of drawn pictures of these sizes, in one track; the same again in each other kind of pixels."""
    pixels = pixels or ("bgr0",)
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = *sizes[0], pixels[0]
        at = 0
        for size, kind in itertools.product(dict.fromkeys(sizes), pixels):
            coder: Any = av.CodecContext.create(codec, "w")
            coder.width, coder.height, coder.pix_fmt, coder.time_base = *size, kind, Fraction(1, 25)
            coder.framerate = 25
            packets = []
            for _ in range(sizes.count(size)):
                frame = av.VideoFrame.from_ndarray(drawn(*size), format="rgb24").reformat(format=kind)
                frame.pts, frame.time_base = at, Fraction(1, 25)
                packets += coder.encode(frame)
                at += 1
            for packet in [*packets, *coder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    return file


def shown(file: Path, pictures: Pictures | None, size: tuple[int, int], frame: int = 0, **more) -> np.ndarray:
    source = Source(
        Role.FOOTAGE, str(file.parent), [file.name], file.suffix != ".png", frame, 1, pictures=pictures, **more
    )
    return next(iter(read(source, [0], *size, size)))


def refusal(*given, **more) -> str:
    """Of what Blender is to render instead."""
    with pytest.raises(Refusal) as caught:
        shown(*given, **more)
    assert caught.value.problem.kind == "render_first"
    return caught.value.problem.sentence


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("pixels", "least"), [("bgr0", 99.0), ("yuv444p", 38.0), ("yuv422p", 30.0), ("yuv420p10le", 28.0)]
)
def test_a_movie_is_turned_as_it_is_said(tmp_path, turn, pixels, least):
    file = film(tmp_path / "a.mkv", [(WIDTH, HEIGHT)], "ffv1", pixels)
    framed = Pictures(WIDTH, HEIGHT, turn)
    found = shown(file, framed, framed.shown_size())
    expected = np.rot90(drawn(), -turn // 90)
    assert found.shape == expected.shape
    error = np.square(found.astype(float) - expected).mean()
    assert error == 0 or 10 * np.log10(255**2 / error) >= least


def test_a_turned_movie_is_framed_as_it_is_shown(tmp_path):
    """The crop is of the turned picture."""
    file = film(tmp_path / "a.mkv", [(WIDTH, HEIGHT)])
    lies = Framing(HEIGHT, WIDTH, 0, 0, HEIGHT, WIDTH - 20, crop_bottom=20)
    found = shown(file, Pictures(WIDTH, HEIGHT, 90), (HEIGHT, WIDTH), framing=lies)
    assert np.array_equal(found[:-20], np.rot90(drawn(), -1)[:-20]) and not found[-20:].any()


def test_another_size_than_was_framed_is_a_sentence(tmp_path):
    movie = film(tmp_path / "a.mkv", [(WIDTH, HEIGHT)])
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), drawn())
    for file in (movie, picture):
        shown(file, Pictures(WIDTH, HEIGHT), (WIDTH, HEIGHT))
        sentence = refusal(file, Pictures(HEIGHT, WIDTH), (WIDTH, HEIGHT))
        assert str(file) in sentence and "96 x 48 and not 48 x 96" in sentence and "press Retry" in sentence


@pytest.mark.parametrize("pictures", [None, Pictures(WIDTH, HEIGHT)])
def test_pictures_that_grow_within_the_movie_are_a_sentence(tmp_path, pictures):
    """As browsers and calls record them."""
    file = film(tmp_path / "a.webm", [(WIDTH, HEIGHT)] * 3 + [(2 * WIDTH, 2 * HEIGHT)] * 3, "libvpx", "yuv420p")
    source = Source(Role.FOOTAGE, str(tmp_path), [file.name], True, 0, 6, pictures=pictures)
    found = read(source, range(6), WIDTH, HEIGHT, (WIDTH, HEIGHT))
    for _ in range(3):
        next(found)
    with pytest.raises(
        Refusal, match=r"change from 96 x 48 \(yuv420p\) to 192 x 96 \(yuv420p\), 0.1 seconds in"
    ) as why:
        next(found)
    assert why.value.problem.kind == "bad_source", "Blender shows noise there, so it isn't asked to render it"


@pytest.mark.parametrize("pictures", [None, Pictures(WIDTH, HEIGHT, alpha_bits=8)])
@pytest.mark.parametrize("first", [0, 4])
def test_so_are_those_that_change_their_pixels(tmp_path, pictures, first):
    """Also where what is wanted begins after the change."""
    file = film(tmp_path / "a.mkv", [(WIDTH, HEIGHT)] * 3, "libx264", "yuv420p", "yuv444p")
    source = Source(Role.FOOTAGE, str(tmp_path), [file.name], True, first, 6 - first, pictures=pictures)
    with pytest.raises(Refusal, match=r"\(yuv420p\) to 96 x 48 \(yuv444p\)"):
        list(read(source, range(6 - first), WIDTH, HEIGHT, (WIDTH, HEIGHT)))


@pytest.mark.parametrize(("pixels", "bits"), [("yuva444p", 8), ("yuva444p10le", 10), ("bgra", 8)])
def test_deeper_transparency_than_was_framed_is_a_sentence(tmp_path, pixels, bits):
    if pixels == "bgra":
        file = write(tmp_path / "a.mkv", 1, "ffv1", pixels, options={"level": "3"})
    else:
        kind = np.uint8 if bits == 8 else np.uint16
        file = write_planes(tmp_path / "a.mkv", [np.full((64, 160), 100, kind)] * 4, pixels)
    for allowed in (0, 8, 16):
        framed = Pictures(160, 64, alpha_bits=allowed)
        if allowed >= bits:
            shown(file, framed, (160, 64))
        else:
            assert f"transparency of {bits} bits" in refusal(file, framed, (160, 64))
    shown(file, None, (160, 64))


@pytest.mark.parametrize(("pixels", "what"), [("gbrp10le", "RGB"), ("gray10le", "gray")])
def test_deeper_rgb_and_gray_than_was_framed_are_sentences(tmp_path, pixels, what):
    planes = [np.full((64, 160), 100, np.uint16)] * (3 if what == "RGB" else 1)
    file = write_planes(tmp_path / "a.mkv", planes, pixels)
    shown(file, Pictures(160, 64), (160, 64))
    assert f"{what} of 10 bits" in refusal(file, Pictures(160, 64, rgb_bits=8, grey_bits=8), (160, 64))
    shown(write(tmp_path / "b.mkv", 1, "ffv1", "yuv420p10le"), Pictures(160, 64, rgb_bits=8, grey_bits=8), (160, 64))
