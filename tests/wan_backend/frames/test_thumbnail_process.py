"""Thumbnails show the frames that are sent, where they lie in the scene's frame; what can't be read has none."""

from __future__ import annotations

from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np

from wan_backend.frames import thumbnail_process
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.messages import Framing, Guide, MediaFormat, Role, Source, ThumbnailsParams


def level(index: int) -> np.ndarray:
    return np.full((90, 160, 3), 20 * index, np.uint8)


def film(folder: Path) -> Source:
    """A movie of ten gray levels, of which frames 2 to 7 are the source."""
    from fractions import Fraction

    with Movie(folder / "film.mkv", MediaFormat.FFV1, Fraction(24), 160, 90) as movie:
        for index in range(10):
            movie.write(level(index), [index])
    return Source(Role.FOOTAGE, str(folder), ["film.mkv"], is_movie=True, first_frame=2, frames=6)


def means(params: ThumbnailsParams, folder: Path) -> list[int]:
    made = thumbnail_process.make(params, folder).pictures
    return [round(float(imageio.imread(picture.file).mean())) for picture in made]


def test_a_movies_own_first_and_last_frame_are_shown(tmp_path):
    source = film(tmp_path)
    for role, levels in [(Role.FOOTAGE, [40, 140]), (Role.BEFORE, [140]), (Role.AFTER, [40])]:
        asked = Source(role, source.folder, source.files, True, 2, 6)
        found = means(ThumbnailsParams([asked], 1280, 720), tmp_path)
        assert np.abs(np.subtract(found, levels)).max() <= 1


def test_size_and_place_are_the_scenes(tmp_path):
    cv2.imwrite(str(tmp_path / "white.png"), np.full((50, 50, 3), 255, np.uint8))
    half = Framing(1280, 720, 0, 0, 640, 720)
    source = Source(Role.FIRST, str(tmp_path), ["white.png"], framing=half)
    (made,) = thumbnail_process.make(ThumbnailsParams([source], 1280, 720), tmp_path).pictures
    picture = imageio.imread(made.file)
    assert picture.shape == (108, 192, 3)
    assert picture[:, :90].min() > 240 and picture[:, 100:].max() < 15


def test_edges_are_shown_as_what_guides_the_take(tmp_path):
    made = thumbnail_process.make(ThumbnailsParams([film(tmp_path)], 64, 36, Guide.EDGES), tmp_path).pictures
    assert [picture.control for picture in made] == [False, False, True]
    assert imageio.imread(made[2].file).max() < 40, "a plain gray has no edges"


def test_what_cant_be_read_is_left_out(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no movie")
    lost = Source(Role.FIRST, str(tmp_path), ["lost.png"])
    broken = Source(Role.LAST, str(tmp_path), ["broken.mp4"], is_movie=True)
    assert thumbnail_process.make(ThumbnailsParams([lost, broken], 64, 36), tmp_path).pictures == []
