"""Pictures between two: better than repetition by far, right at edges of moving things, honest at cuts."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from wan_backend.frames.motion import Motion
from wan_backend.frames.schedule import Conformer, Schedule
from wan_backend.protocol.messages import Conform


def texture(height, width, seed):
    random = np.random.default_rng(seed)
    waves = sum(cv2.GaussianBlur(random.normal(0, 1, (height, width, 3)), (0, 0), s) * s for s in (1.5, 5, 15))
    return np.clip(127 + waves / waves.std() * 50, 0, 255).astype(np.float32)


def moved(picture, x, y, size):
    way = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(picture, way, size, flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP)


def as_bytes(picture):
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def psnr(one, other):
    return 10 * np.log10(255**2 / max(np.mean((one.astype(float) - other) ** 2), 1e-9))


@pytest.mark.parametrize(("size", "scene_fps"), [
    ((256, 144), 24), ((256, 144), 25), ((256, 144), 30), ((256, 144), 60), ((832, 480), 24),
    *(pytest.param((832, 480), fps, marks=pytest.mark.long) for fps in (25, 30, 50, 60)),
])  # fmt: skip
def test_interpolation_beats_repetition_by_six_decibels(size, scene_fps):
    """A translation of 2.5 pixels a model frame, conformed both ways, against the truth at the scene's times."""
    wide = texture(size[1] + 80, size[0] + 120, 1)
    truth = lambda model_time: as_bytes(moved(wide, 20 + 2.5 * model_time, 30 + 0.8 * model_time, size))  # noqa: E731
    scores = {}
    for by in Conform:
        schedule = Schedule(Fraction(16), Fraction(scene_fps), int(8 * scene_fps / 16) + 1, 9)
        conformer = Conformer(schedule, by)
        took = [pair for j in range(9) for pair in conformer.feed(j, truth(j))]
        errors = [np.mean((shown.astype(float) - truth(float(schedule.position(i)))) ** 2) for i, shown in took]
        scores[by] = 10 * np.log10(255**2 / np.mean(errors))
    assert scores[Conform.FLOW] >= scores[Conform.REPEAT] + 6


def test_a_thing_before_its_background_keeps_its_edge():
    """The thing moves 8 pixels one way, the ground 3 the other; a blend would show it twice."""
    ground, thing, size = texture(200, 320, 2), texture(200, 320, 3), (256, 144)
    y, x = np.mgrid[0:144, 0:256]

    def at(share):
        mask = np.clip(0.5 + 36 - np.hypot(x - 100 - 8 * share, y - 72), 0, 1)[..., None]
        return as_bytes(moved(ground, 20 + 3 * share, 20, size) * (1 - mask) + moved(thing, -8 * share, 0, size) * mask)

    first, middle, second = at(0), at(0.5), at(1)
    made = psnr(Motion(first, second).between(0.5), middle)
    assert made >= psnr(cv2.addWeighted(first, 0.5, second, 0.5, 0), middle) + 6
    assert made >= psnr(first, middle) + 8


def test_nothing_lies_between_two_shots():
    first, second = as_bytes(texture(144, 256, 4) * 0.4), as_bytes(texture(144, 256, 5) * 0.4 + 150)
    assert np.array_equal(Motion(first, second).between(0.3), first)
    assert np.array_equal(Motion(first, second).between(0.6), second)


def test_a_fast_move_is_no_cut():
    wide = np.where(texture(144, 300, 6)[..., :1] > 127, 255, 0).astype(np.float32).repeat(3, axis=2)
    wide = cv2.GaussianBlur(wide, (0, 0), 2)
    first, middle, second = (as_bytes(wide[:, x : x + 256]) for x in (0, 6, 12))
    assert psnr(Motion(first, second).between(0.5), middle) > psnr(first, middle) + 6


def test_ends_and_stills_are_the_pictures_themselves():
    first = as_bytes(texture(64, 64, 7))
    second = np.roll(first, 2, axis=1)
    motion = Motion(first, second)
    assert motion.between(0) is first and motion.between(1) is second
    assert np.array_equal(Motion(first, first.copy()).between(0.5), first)


@pytest.mark.parametrize("shape", [(1, 1, 3), (8, 300, 3), (31, 31, 3), (32, 32, 3), (33, 47, 3)])
def test_small_pictures_too(shape):
    first, second = np.zeros(shape, np.uint8), np.full(shape, 30, np.uint8)
    assert Motion(first, second).between(0.5).shape == shape
