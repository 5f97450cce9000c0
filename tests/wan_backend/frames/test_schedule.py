"""Every frame of the take shows the model's frame of its own time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.frames.schedule import model_frame_of, shown_in
from wan_backend.protocol.messages import FrameRate

RATES = [Fraction(24000, 1001), *map(Fraction, (12, 16, 24, 25)), Fraction(30000, 1001), *map(Fraction, (30, 50, 60))]


@given(st.integers(1, 400), st.sampled_from([Fraction(16), Fraction(24)]), st.sampled_from(RATES))
def test_times_are_true_and_every_frame_is_shown_once(take_frames, model_rate, scene_rate):
    model_frames = int((take_frames - 1) * model_rate / scene_rate) + 5
    shown = shown_in(take_frames, model_frames, model_rate, scene_rate)
    assert [frame for frames in shown for frame in frames] == list(range(take_frames))
    for index, frames in enumerate(shown):
        for frame in frames:
            assert abs(index / model_rate - frame / scene_rate) <= Fraction(1, 2) / model_rate


def test_the_same_rate_is_one_to_one():
    assert shown_in(5, 5, Fraction(16), Fraction(16)) == [[0], [1], [2], [3], [4]]


def test_sixteen_to_twentyfour():
    assert [model_frame_of(i, Fraction(16), Fraction(24)) for i in range(7)] == [0, 1, 1, 2, 3, 3, 4]


def test_a_doubled_rate_shows_every_frame_twice_and_evenly():
    shown = shown_in(8, 5, Fraction(16), Fraction(32))
    assert [len(frames) for frames in shown] == [1, 2, 2, 2, 1]


def test_ntsc_rates_do_not_drift():
    rate = FrameRate(24, 1.001).exact()
    assert rate == Fraction(24000, 1001)
    day = 24 * 3600 * 24
    assert model_frame_of(day, rate, rate) == day


def test_the_last_frame_is_held_where_the_model_made_too_few():
    assert shown_in(4, 2, Fraction(16), Fraction(16)) == [[0], [1, 2, 3]]


@pytest.mark.parametrize("scene", [Fraction(12), Fraction(8)])
def test_a_slower_scene_leaves_frames_out(scene):
    shown = shown_in(4, 17, Fraction(16), scene)
    assert sum(map(len, shown)) == 4 and [] in shown
