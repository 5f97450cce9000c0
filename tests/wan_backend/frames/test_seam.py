"""Beside a seam the made frames lie where the neighbor goes on; further in they are the model's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.wan_backend.frames.test_motion import as_bytes, moved, texture
from wan_backend.frames.motion import Motion
from wan_backend.frames.seam import EASED_FRAMES, GAIN_LIMITS, ColorMatch, Seam

SIZE = (160, 96)
WIDE = texture(SIZE[1] + 80, SIZE[0] + 120, 1)


def film(position: float, ground: np.ndarray = WIDE) -> np.ndarray:
    """The texture at a time: 1.5 pixels across and 0.5 down in each frame."""
    return as_bytes(moved(ground, 20 + 1.5 * position, 20 + 0.5 * position, SIZE))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    inner = np.s_[8:-8, 8:-8]  # what comes in at the rim nobody can know
    return float(np.abs(one[inner].astype(float) - other[inner].astype(float)).mean())


def soft(picture: np.ndarray) -> np.ndarray:
    """As an autoencoder gives a picture back: without its finest detail, a little too dark."""
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 1.2).astype(int) - 4, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5])
def test_motion_goes_on(share):
    first, second, truth = film(0), film(1), film(1 + share)
    assert apart(Motion(first, second).beyond(share), truth) < 0.3 * apart(second, truth)


def test_stills_and_other_shots_do_not_go_on():
    first = film(0)
    assert np.array_equal(Motion(first, first.copy()).beyond(1), first)
    other = as_bytes(texture(SIZE[1], SIZE[0], 9) * 0.3 + 150)
    assert np.array_equal(Motion(as_bytes(texture(SIZE[1], SIZE[0], 8) * 0.3), other).beyond(1), other)


def test_soft_frames_that_lag_are_brought_to_the_neighbor_and_let_go_evenly():
    lag = 1.5
    made = [soft(film(n - lag)) for n in range(1, EASED_FRAMES + 3)]
    seam = Seam.going_on(film(-1), film(0), 1.0, made[0], EASED_FRAMES)
    eased = [seam.apply(distance, picture) for distance, picture in enumerate(made)]
    assert apart(eased[0], film(1)) <= apart(film(-1), film(0)) / 2
    steps = [apart(one, other) for one, other in zip([film(0), *eased], eased, strict=False)]
    assert max(steps) < 1.3 * apart(film(0), film(1)), "a jump is left"
    assert all(np.array_equal(eased[n], made[n]) for n in range(EASED_FRAMES, len(made)))
    away = [apart(one, other) for one, other in zip(eased, made, strict=True)]
    assert away[0] > away[2] > away[4] > 0


def test_what_moves_takes_the_shift_along():
    """A thing that lags crosses a ground that doesn't: half a second on the ground is still untouched."""
    thing, ground = np.full((96, 160, 3), 40, np.uint8), texture(96, 160, 3)

    def shot(x: float) -> np.ndarray:
        picture = ground.copy()
        picture[30:66, int(x) : int(x) + 40] = thing[30:66, :40]
        return as_bytes(picture)

    made = [shot(20 + 4 * n - 3) for n in range(1, 7)]
    seam = Seam.going_on(shot(16), shot(20), 1.0, made[0], EASED_FRAMES)
    eased = seam.apply(3, made[3])
    far = np.s_[:, 110:]
    assert np.abs(eased[far].astype(int) - made[3][far]).mean() < 1


def test_a_frame_of_another_shot_is_dissolved_into():
    other = [as_bytes(texture(SIZE[1], SIZE[0], 5) * 0.3 + 150)] * EASED_FRAMES
    dark = as_bytes(WIDE[: SIZE[1], : SIZE[0]] * 0.4)
    seam = Seam.going_on(dark, dark, 1.0, other[0], EASED_FRAMES)
    assert apart(seam.apply(0, other[0]), dark) < 1
    assert 20 < seam.apply(EASED_FRAMES // 2, other[3]).mean() - dark.mean() < other[0].mean() - dark.mean() - 20


def test_detail_alone_leaves_the_model_its_motion():
    seam = Seam.of_detail(film(0), soft(film(0)), soft(film(2)), EASED_FRAMES)
    assert apart(seam.apply(0, soft(film(2))), film(2)) < 0.3 * apart(soft(film(2)), film(2))


@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 200, 3)])
def test_small_pictures_too(shape):
    far, near, made = (np.full(shape, level, np.uint8) for level in (10, 20, 90))
    assert np.array_equal(Seam.going_on(far, near, 1.0, made, 6).apply(0, made), near)
    assert np.array_equal(Seam.of_detail(near, far, made, 6).apply(0, made), made + 10)
    assert Seam.going_on(far, near, 1.0, made, 6).apply(3, made).shape == shape


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


@pytest.mark.parametrize("lag", [0.0, 0.5, 1.0, 3.0])
def test_a_seam_is_as_large_as_the_frames_that_it_is_late(lag):
    jump = Seam.going_on(film(-1), film(0), 1.0, film(1 - lag), EASED_FRAMES).jump
    assert jump.motion == pytest.approx(lag, abs=0.15) and jump.number == max(jump.motion, jump.level, jump.color)
    assert jump.level < 0.5 and jump.color < 0.5


def test_a_seam_says_what_is_wrong_with_it():
    redder = np.clip(film(1).astype(int) + np.array((12, 0, 0)), 0, 255).astype(np.uint8)
    color = Seam.going_on(film(-1), film(0), 1.0, redder, EASED_FRAMES).jump
    assert color.color > 4 > color.motion and color.number == color.color
    other = as_bytes(texture(SIZE[1], SIZE[0], 5) * 0.3 + 150)
    assert Seam.going_on(film(-1), film(0), 1.0, other, EASED_FRAMES).jump.number > 4, "another shot"


def test_a_neighbor_that_stands_still_is_measured_by_what_can_be_seen():
    still = film(0)
    assert Seam.going_on(still, still.copy(), 1.0, still, EASED_FRAMES).jump.number == 0
    jump = Seam.going_on(still, still.copy(), 1.0, film(1), EASED_FRAMES).jump
    assert 1 < jump.motion < 99


def test_the_rate_of_the_made_frames_makes_no_difference():
    """A frame that lies further on in time may differ by as much more."""
    at_once, later = (
        Seam.going_on(film(-1), film(0), ratio, film(0), EASED_FRAMES).jump.motion for ratio in (1.0, 1.5)
    )
    assert at_once == pytest.approx(later, abs=0.1)


def test_where_one_frame_alone_is_kept_nothing_is_known_of_its_motion():
    assert Seam.of_detail(film(0), soft(film(0)), soft(film(1)), EASED_FRAMES).jump is None


def test_tiny_pictures_have_a_jump_of_levels_alone():
    far, near, made = (np.full((1, 1, 3), level, np.uint8) for level in (10, 20, 90))
    jump = Seam.going_on(far, near, 1.0, made, 6).jump
    assert jump.motion == 0 and jump.level == 7.0
