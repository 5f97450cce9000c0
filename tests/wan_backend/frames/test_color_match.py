"""Made frames come back to the source's colors at each seam, and go from one's to the other's between."""

from __future__ import annotations

import numpy as np
import pytest

from wan_backend.frames.color_match import GAIN_LIMITS, ColorMatch


def picture(seed, mean=120, spread=35):
    return np.clip(np.random.default_rng(seed).normal(mean, spread, (60, 80, 3)), 0, 255).astype(np.uint8)


def off(true, gain, offset):
    return np.clip(np.rint((true.astype(np.float64) - offset) / gain), 0, 255).astype(np.uint8)


def pairs(gain, offset, seeds=(1, 2, 3)):
    return [(off(picture(seed), gain, offset), picture(seed)) for seed in seeds]


def test_no_step_of_brightness_is_left_at_either_seam():
    gains = np.array([1.08, 0.95, 1.0]), np.array([0.93, 1.02, 1.1])
    offsets = np.array([-6.0, 4.0, 2.0]), np.array([5.0, 0.0, -8.0])
    match = ColorMatch.measured(pairs(gains[0], offsets[0]), pairs(gains[1], offsets[1]), 8, 40)
    for frame, gain, offset in ((8, gains[0], offsets[0]), (40, gains[1], offsets[1])):
        true = picture(9)
        found = match.apply(frame, off(true, gain, offset)).astype(int)
        assert np.abs((found - true).mean(axis=(0, 1))).max() < 0.5
        assert np.abs(found - true).mean() < 0.6


def test_between_the_seams_the_correction_goes_over_evenly():
    match = ColorMatch.measured(pairs(1.0, 10.0), pairs(1.0, -10.0), 8, 28)
    gray = np.full((4, 4, 3), 100, np.uint8)
    assert [int(match.apply(frame, gray)[0, 0, 0]) for frame in (0, 8, 13, 18, 23, 28, 40)] == [
        110, 110, 105, 100, 95, 90, 90,
    ]  # fmt: skip


@pytest.mark.parametrize("sides", ["before", "after"])
def test_one_seam_holds_to_the_end(sides):
    one = pairs(1.0, 7.0)
    match = ColorMatch.measured(*((one, []) if sides == "before" else ([], one)), 8, 40)
    gray = np.full((4, 4, 3), 100, np.uint8)
    assert all((match.apply(frame, gray) == 107).all() for frame in (0, 20, 60))


def test_without_seams_nothing_is_changed():
    made = picture(5)
    assert ColorMatch.measured([], [], 0, 0).apply(3, made) is made


def test_what_is_right_already_stays():
    match = ColorMatch.measured([(picture(1), picture(1))], [], 0, 9)
    assert np.array_equal(match.apply(4, picture(6)), picture(6))


def test_a_flat_picture_is_shifted_and_a_wild_one_not_blown_up():
    flat, darker = np.full((8, 8, 3), 120, np.uint8), np.full((8, 8, 3), 110, np.uint8)
    assert (ColorMatch.measured([(darker, flat)], [], 0, 9).apply(0, darker) == 120).all()
    match = ColorMatch.measured([(picture(1, spread=4), picture(1, spread=60))], [], 0, 9)
    low, high = (int(match.apply(0, np.full((1, 1, 3), level, np.uint8))[0, 0, 0]) for level in (110, 130))
    assert high - low <= 20 * GAIN_LIMITS[1] + 1
