"""Beside a seam the made frames lie where the neighbour goes on; further in they are the model's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.wan_backend.frames.test_motion import as_bytes, moved, texture
from wan_backend.frames.motion import Motion
from wan_backend.frames.seam import EASED_FRAMES, Seam

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


def test_soft_frames_that_lag_are_brought_to_the_neighbour_and_let_go_evenly():
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
