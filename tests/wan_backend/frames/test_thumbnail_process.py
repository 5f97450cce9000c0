"""Thumbnails show the frames that are sent, where they lie in the scene's frame; what can't be read has none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import imageio.v3 as imageio
import numpy as np

from wan_backend.frames import still_pictures, thumbnail_process
from wan_backend.frames.take_writing import Movie
from wan_backend.protocol.messages import Framing, Guide, MediaFormat, Pictures, Role, Source, ThumbnailsParams


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


def test_what_cant_be_read_is_left_out_and_told(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no movie")
    lost = Source(Role.FIRST, str(tmp_path), ["lost.png"])
    broken = Source(Role.LAST, str(tmp_path), ["broken.mp4"], is_movie=True)
    made = thumbnail_process.make(ThumbnailsParams([lost, broken], 64, 36), tmp_path)
    assert made.pictures == []
    (told,) = made.problems
    assert (told.role, told.file, told.problem.kind) == (Role.LAST, "broken.mp4", "bad_source")
    assert told.problem.sentence.startswith(f"The movie {tmp_path / 'broken.mp4'} can't be used: ")


def test_of_two_kept_pictures_of_one_name_the_broken_one_is_told(tmp_path):
    kept = []
    for at, content in ((3, b"no picture"), (9, None)):
        folder = tmp_path / str(at)
        folder.mkdir()
        cv2.imwrite(str(folder / "a.png"), level(3))
        if content is not None:
            (folder / "a.png").write_bytes(content)
        kept.append(Source(Role.KEPT, str(folder), ["a.png"], at_frame=at))
    made = thumbnail_process.make(ThumbnailsParams(kept, 64, 36), tmp_path)
    assert [each.role for each in made.pictures] == [Role.KEPT]
    assert [(each.role, each.file, each.at_frame) for each in made.problems] == [(Role.KEPT, "a.png", 3)]


def damaged_sequence(folder: Path, damaged: str) -> Source:
    for name in ("1.png", "2.png", "3.png"):
        cv2.imwrite(str(folder / name), level(3))
    (folder / damaged).write_bytes((folder / damaged).read_bytes()[:-40])
    return Source(Role.FOOTAGE, str(folder), ["1.png", "2.png", "3.png"], frames=3)


def test_the_picture_that_is_damaged_is_named(tmp_path):
    for damaged in ("1.png", "3.png"):
        source = damaged_sequence(tmp_path, damaged)
        (told,) = thumbnail_process.make(ThumbnailsParams([source], 64, 36), tmp_path).problems
        assert told.file == damaged and str(tmp_path / damaged) in told.problem.sentence


def test_a_movie_without_pictures_is_told(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=48000)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 48000
        container.mux(track.encode(silence))
        container.mux(track.encode(None))
    sound = Source(Role.FOOTAGE, str(tmp_path), ["sound.mp4"], is_movie=True, frames=10)
    (told,) = thumbnail_process.make(ThumbnailsParams([sound], 64, 36), tmp_path).problems
    assert "no picture track" in told.problem.sentence


def test_what_another_process_may_read_yet_is_not_told(tmp_path, monkeypatch):
    """A smaller budget than a take's, a disk, memory, and a strip that is to be rendered say nothing against a file."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((400, 500, 3), np.uint8))
    plain = Source(Role.FIRST, str(tmp_path), ["a.png"])

    def told(source: Source = plain) -> list[str]:
        made = thumbnail_process.make(ThumbnailsParams([source], 64, 36), tmp_path)
        assert made.pictures == []
        return [each.problem.sentence for each in made.problems]

    with monkeypatch.context() as patched:
        patched.setattr(thumbnail_process, "PICTURE_BYTES", 400_000)
        assert told() == []
        patched.setattr(still_pictures, "BUDGET_BYTES", 500_000)
        assert "500 x 400 pixels is too large" in told()[0], "for a take, too"
    for error in (MemoryError(), OSError(5, "Input/output error"), PermissionError(13, "Permission denied")):
        with monkeypatch.context() as patched:

            def fails(*_, error=error):
                raise error

            patched.setattr(still_pictures, "_content", fails)
            assert told() == []
    other_size = Pictures(1000, 800, 0, 8, 8, 8)
    assert told(dataclasses.replace(plain, pictures=other_size)) == []
