"""Pictures kept at chosen times: they come out true, and the made frames around them ease into them."""

from __future__ import annotations

import numpy as np
import pytest

from wan_backend.worker.take_pictures import finished

FRAMES = 33
LOST = 12


def flat(level: int) -> np.ndarray:
    return np.full((32, 48, 3), level, np.uint8)


def decoded():
    return iter([flat(100)] * FRAMES)


def finish(tmp_path, kept: dict[int, int], pictures: set[int]) -> list[int]:
    """The level of each finished picture."""
    given = {number: flat(level) for number, level in kept.items()}
    made = list(finished(decoded(), FRAMES, given, tmp_path / "spool", None, {}, pictures))
    assert not list(tmp_path.iterdir())
    return [int(picture[0, 0, 0]) for picture in made]


def test_the_frames_around_a_picture_ease_into_it_and_the_others_stay(tmp_path):
    levels = finish(tmp_path, {16: 112}, {16})
    assert levels[16] == 112
    assert levels[15] == levels[17] == 112
    assert levels[10:16] == sorted(levels[10:16])
    assert levels[17:23] == sorted(levels[17:23], reverse=True)
    assert levels[:10] == [100] * 10 and levels[23:] == [100] * 10


@pytest.mark.parametrize("at", [0, 1, 31, 32])
def test_a_picture_at_an_end_is_kept_too(tmp_path, at):
    levels = finish(tmp_path, {at: 112}, {at})
    assert len(levels) == FRAMES and levels[at] == 112
    assert levels[(at + 16) % FRAMES] == 100


def test_between_two_pictures_each_eases_its_half(tmp_path):
    levels = finish(tmp_path, {10: 112, 15: 88, 16: 120}, {10, 15, 16})
    assert [levels[at] for at in (10, 15, 16)] == [112, 88, 120]
    assert levels[11] == 112 and levels[14] == 88
    assert levels[12] > 100 > levels[13]


def test_a_picture_stays_true_beside_the_color_of_neighbors(tmp_path):
    neighbors = {**dict.fromkeys(range(5), 110), **dict.fromkeys(range(29, 33), 110)}
    levels = finish(tmp_path, {**neighbors, 16: 60}, {16})
    assert levels[16] == 60
    assert levels[:5] == [110] * 5 and levels[29:] == [110] * 4
    assert levels[7] == 110


def test_a_picture_right_behind_a_neighbor_is_no_frame_of_it(tmp_path):
    levels = finish(tmp_path, {**dict.fromkeys(range(5), 110), 5: 60}, {5})
    assert levels[:7] == [110] * 5 + [60, levels[6]]
    assert levels[6] < 110
