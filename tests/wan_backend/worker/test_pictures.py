"""Kept frames come out true, made ones in their colour, nothing stays in the folder."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from wan_backend.worker.pictures import finished, leading, runs, trailing

FRAMES = 17
OFFSET = np.array([12, -7, 4])


def truth() -> np.ndarray:
    """A film that moves, of middle levels, so that an offset clips nothing."""
    generator = np.random.default_rng(0)
    texture = generator.integers(60, 180, (24, 64, 3))
    return np.stack([np.roll(texture, 2 * n, axis=1) for n in range(FRAMES)]).astype(np.uint8)


def made(offsets: np.ndarray) -> Iterator[np.ndarray]:
    """The same film as the model gives it back: each frame off by a colour."""
    for picture, offset in zip(truth(), offsets, strict=True):
        yield (picture + offset).astype(np.uint8)


def kept(*frames: int) -> dict[int, np.ndarray]:
    film = truth()
    return {n: film[n] for n in frames}


CASES = {
    "before": kept(0, 1, 2, 3, 4),
    "after": kept(13, 14, 15, 16),
    "both": kept(0, 1, 2, 3, 4, 13, 14, 15, 16),
    "first": kept(0),
    "first and last": kept(0, 16),
    "none": kept(),
}


@pytest.mark.parametrize("name", CASES)
def test_every_picture_comes_once_and_kept_ones_are_true(tmp_path, name):
    given = CASES[name]
    pictures = list(finished(made(np.tile(OFFSET, (FRAMES, 1))), FRAMES, given, tmp_path / "spool"))
    assert len(pictures) == FRAMES
    for number in given:
        assert np.array_equal(pictures[number], truth()[number])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["before", "after", "both", "first", "first and last"])
def test_a_step_of_colour_at_the_seams_is_gone(tmp_path, name):
    pictures = np.stack(list(finished(made(np.tile(OFFSET, (FRAMES, 1))), FRAMES, CASES[name], tmp_path / "spool")))
    step = np.abs((pictures.astype(float) - truth()).mean(axis=(1, 2)))
    assert step.max() <= 1


def test_each_seam_has_its_own_colour(tmp_path):
    """A drift over the take: both seams are without a step, and between them it is taken back gradually."""
    drift = np.round(np.linspace(0, 1, FRAMES)[:, None] * OFFSET)
    pictures = np.stack(list(finished(made(drift), FRAMES, CASES["both"], tmp_path / "spool")))
    step = np.abs((pictures.astype(float) - truth()).mean(axis=(1, 2)))
    assert step[[5, 12]].max() <= 1.5 and step.max() <= 2.5


def test_without_frames_after_it_nothing_waits(tmp_path):
    """The third picture is out before the fifth is decoded."""
    decoded = []

    def counted() -> Iterator[np.ndarray]:
        for picture in made(np.zeros((FRAMES, 3))):
            decoded.append(1)
            yield picture

    stream = finished(counted(), FRAMES, kept(0), tmp_path / "spool")
    for _ in range(3):
        next(stream)
    assert len(decoded) == 3


def test_with_frames_after_it_the_film_lies_on_the_disk(tmp_path):
    stream = finished(made(np.zeros((FRAMES, 3))), FRAMES, CASES["both"], tmp_path / "spool")
    next(stream)
    assert (tmp_path / "spool").stat().st_size == truth().nbytes
    stream.close()
    assert not list(tmp_path.iterdir())


def test_an_error_while_decoding_leaves_no_file(tmp_path):
    def broken() -> Iterator[np.ndarray]:
        yield truth()[0]
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(finished(broken(), FRAMES, CASES["both"], tmp_path / "spool"))
    assert not list(tmp_path.iterdir())


def test_the_ends_that_are_kept():
    assert leading(CASES["both"]) == range(5) and trailing(CASES["both"], FRAMES) == range(13, 17)
    assert leading(CASES["after"]) == range(0) and trailing(CASES["first"], FRAMES) == range(17, 17)
    everything = kept(*range(FRAMES))
    assert leading(everything) == range(17) and trailing(everything, FRAMES) == range(17, 17)


def test_a_picture_shown_for_several_frames_is_written_once():
    one, other = truth()[:2]
    found = [(picture is one, indices) for picture, indices in runs([(0, one), (1, one), (2, other), (3, one)])]
    assert found == [(True, [0, 1]), (False, [2]), (True, [3])]
    assert list(runs([])) == []
