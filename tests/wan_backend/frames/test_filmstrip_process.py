"""A filmstrip goes from the first frame to the last, lowest row first, whatever the take is made of."""

from __future__ import annotations

import dataclasses
import zlib
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from wan_backend.frames import filmstrip_process
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.media import FILMSTRIP_HEAD, FILMSTRIP_PICTURES, MAX_REEL_SIDE, REEL_FILLER, REEL_MARK
from wan_backend.protocol.messages import Film, MediaFormat, Role, Source

FRAMES = 25


def pictures_of(film: Film) -> np.ndarray:
    content = filmstrip_process.make(film)
    mark, width, height, count, zero = FILMSTRIP_HEAD.unpack_from(content)
    assert (mark, zero) == (b"WVF1", 0)
    pixels = 255 * np.frombuffer(zlib.decompress(content[FILMSTRIP_HEAD.size :]), "<f4")
    return pixels.reshape(count, height, width, 4)


def level(index: int) -> np.ndarray:
    """A frame that is brighter the later it is, with a black upper half."""
    frame = np.full((90, 320, 3), 10 * index, np.uint8)
    frame[:45] = 0
    return frame


@pytest.fixture
def pngs(tmp_path: Path) -> Film:
    for index in range(FRAMES):
        cv2.imwrite(str(tmp_path / f"{index + 1:04d}.png"), level(index))
    names = [f"{index + 1:04d}.png" for index in range(FRAMES)]
    return Film(Source(Role.FOOTAGE, str(tmp_path), names, frames=FRAMES), 320, 90)


@pytest.fixture
def movie(tmp_path: Path) -> Film:
    with Movie(tmp_path / "take.mkv", MediaFormat.FFV1, Fraction(24), 320, 90) as written:
        for index in range(FRAMES):
            written.write(level(index), [index])
    return Film(Source(Role.FOOTAGE, str(tmp_path), ["take.mkv"], is_movie=True, frames=FRAMES), 320, 90)


@pytest.mark.parametrize("kind", ["pngs", "movie"])
def test_first_to_last_and_the_lowest_row_first(kind, request) -> None:
    pictures = pictures_of(request.getfixturevalue(kind))
    assert pictures.shape == (FILMSTRIP_PICTURES, 40, 144, 4)
    low = pictures[:, :20, :, :3].mean(axis=(1, 2, 3))
    assert abs(low[0]) <= 2 and abs(low[-1] - 240) <= 2 and (np.diff(low) > 0).all()
    assert pictures[:, -15:, :, :3].max() <= 2 and (pictures[..., 3] == 255).all()


def test_a_take_of_one_frame_has_one_picture(pngs) -> None:
    source = dataclasses.replace(pngs.source, files=pngs.source.files[:1], frames=1)
    assert len(pictures_of(dataclasses.replace(pngs, source=source))) == 1


def test_each_frame_once_where_there_are_few() -> None:
    assert filmstrip_process.chosen_frames(3) == [0, 1, 2]
    assert filmstrip_process.chosen_frames(2000)[-1] == 1999


def test_what_cant_be_read_has_none(pngs, tmp_path) -> None:
    (tmp_path / "0001.png").write_bytes(b"no picture")
    with pytest.raises(Refusal):
        filmstrip_process.make(pngs)


@pytest.mark.parametrize("kind", ["pngs", "movie"])
def test_a_reel_has_every_frame_to_the_bit(kind, request) -> None:
    film = dataclasses.replace(request.getfixturevalue(kind), side=MAX_REEL_SIDE)
    content = filmstrip_process.make(film)
    mark, width, height, count, _ = FILMSTRIP_HEAD.unpack_from(content)
    assert (mark, width, height, count) == (REEL_MARK, 320, 90, FRAMES), "no larger than it is"
    pixels = np.frombuffer(content[FILMSTRIP_HEAD.size :], np.uint8).reshape(count, height, width, 4)
    for index in range(FRAMES):
        assert (pixels[index, ::-1, :, :3] == level(index)).all()
    assert np.isfinite(pixels.view("<f4")).all() and (pixels[..., 3] == REEL_FILLER).all()


def test_a_smaller_reel_of_some_frames_of_a_movie(movie) -> None:
    source = dataclasses.replace(movie.source, first_frame=20, frames=3)
    content = filmstrip_process.make(Film(source, 320, 90, side=160))
    assert FILMSTRIP_HEAD.unpack_from(content)[1:4] == (160, 45, 3)
    pixels = np.frombuffer(content[FILMSTRIP_HEAD.size :], np.uint8).reshape(3, 45, 160, 4)
    assert [int(picture[:15, :, 0].mean()) for picture in pixels] == [200, 210, 220]
