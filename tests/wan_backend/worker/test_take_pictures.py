"""Kept frames come out true, made ones in their color, nothing stays in the folder."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from tests.wan_backend.frames.test_motion import as_bytes, moved, texture
from wan_backend.protocol.messages import Jump, Role
from wan_backend.worker.take_pictures import finished, leading, runs, trailing

FRAMES = 17
OFFSET = np.array([12, -7, 4])
GROUND = texture(112, 240, 1)


def truth() -> np.ndarray:
    """A film that moves, of middle levels, so that an offset clips nothing."""
    generator = np.random.default_rng(0)
    texture = generator.integers(60, 180, (24, 64, 3))
    return np.stack([np.roll(texture, 2 * n, axis=1) for n in range(FRAMES)]).astype(np.uint8)


def made(offsets: np.ndarray) -> Iterator[np.ndarray]:
    """The same film as the model gives it back: each frame off by a color."""
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
def test_a_step_of_color_at_the_seams_is_gone(tmp_path, name):
    pictures = np.stack(list(finished(made(np.tile(OFFSET, (FRAMES, 1))), FRAMES, CASES[name], tmp_path / "spool")))
    step = np.abs((pictures.astype(float) - truth()).mean(axis=(1, 2)))
    assert step.max() <= 1


def test_each_seam_has_its_own_color(tmp_path):
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


def lagging(frames: int, seams: tuple[int, int]) -> list[np.ndarray]:
    """A film whose frames between the seams lie behind, as the model may make them."""
    return [moving(n - 1.5) if seams[0] <= n < seams[1] else moving(n) for n in range(frames)]


def moving(position: float) -> np.ndarray:
    return as_bytes(moved(GROUND, 20 + 1.5 * position, 20, (128, 72)))


@pytest.mark.parametrize("sides", ["before", "after", "both"])
def test_the_motion_goes_on_over_the_seams(tmp_path, sides):
    first, last = 5 if sides != "after" else 0, 21 if sides != "before" else 25
    given = {n: moving(n) for n in range(25) if not first <= n < last}
    made = lagging(25, (first, last))
    pictures = list(finished(iter(made), 25, given, tmp_path / "spool", [float(n) for n in range(25)]))
    inner = np.s_[:, 8:-8]
    own = np.abs(moving(1)[inner].astype(float) - moving(0)[inner]).mean()
    for beside, near, far in [(first, first - 1, first - 2), (last - 1, last, last + 1)]:
        if near in given and far in given:
            linear = 2 * given[near].astype(float) - given[far]
            assert np.abs(pictures[beside][inner] - linear[inner]).mean() <= own
            assert np.abs(made[beside][inner] - linear[inner]).mean() > 1.2 * own, "it would have been met anyway"
    assert np.array_equal(pictures[13], made[13]), "the middle is the model's own"


def test_a_still_gives_the_frames_after_it_its_detail_and_not_its_rest(tmp_path):
    decoded = [cv2.GaussianBlur(moving(n), (0, 0), 1.2) for n in range(17)]
    pictures = list(finished(iter(decoded), 17, {0: moving(0)}, tmp_path / "spool"))
    inner = np.s_[:, 8:-8]
    for n in (1, 2):
        left, was = (np.abs(p[n][inner].astype(float) - moving(n)[inner]).mean() for p in (pictures, decoded))
        assert left < 0.6 * was


@pytest.mark.parametrize("sides", ["before", "after", "both"])
def test_the_jump_is_measured_where_a_neighbor_goes_on(tmp_path, sides):
    first, last = 5 if sides != "after" else 0, 21 if sides != "before" else 25
    given = {n: moving(n) for n in range(25) if not first <= n < last}
    jumps: dict[Role, Jump] = {}
    times = [float(n) for n in range(25)]
    list(finished(iter(lagging(25, (first, last))), 25, given, tmp_path / "spool", times, jumps))
    expected = {"before": {Role.BEFORE}, "after": {Role.AFTER}, "both": {Role.BEFORE, Role.AFTER}}
    assert set(jumps) == expected[sides]
    assert all(jump.motion == pytest.approx(1.5, abs=0.3) for jump in jumps.values())


def test_a_single_frame_between_two_neighbors_is_measured_too(tmp_path):
    given = {n: moving(n) for n in range(9) if n != 4}
    jumps: dict[Role, Jump] = {}
    made = [moving(n) for n in range(9)]
    pictures = list(finished(iter(made), 9, given, tmp_path / "spool", [float(n) for n in range(9)], jumps))
    assert set(jumps) == {Role.BEFORE, Role.AFTER} and all(jump.motion < 0.3 for jump in jumps.values())
    assert np.array_equal(pictures[4], made[4]), "there is no room to ease it"


def test_stills_have_no_jump(tmp_path):
    jumps: dict[Role, Jump] = {}
    list(finished(iter([moving(n) for n in range(9)]), 9, {0: moving(0)}, tmp_path / "spool", None, jumps))
    assert jumps == {}
