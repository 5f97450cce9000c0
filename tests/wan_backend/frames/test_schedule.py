"""Every frame of the take shows the model's frame of its own time."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_backend.frames.asked import RATES as SCENE_RATES
from tests.wan_backend.frames.asked import asked, rate_name
from wan_backend.frames.schedule import Schedule, model_frame_of, shown_in
from wan_backend.models import catalogue, planning
from wan_backend.protocol.messages import FrameRate, Role

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


def scheduled(name, length, rate, neighbour_frames=100):
    request = asked(name, length, rate, neighbour_frames)
    return Schedule.of(planning.plan(request, catalogue.entry("embedded")), request), request


@pytest.mark.parametrize("rate", SCENE_RATES, ids=rate_name)
@pytest.mark.parametrize("name", ["fill", "extend", "extend backward", "restyle", "previs"])
def test_each_kept_frame_is_the_scenes_frame_nearest_in_time(rate, name):
    for length in range(5, 251):
        schedule, request = scheduled(name, length, rate)
        for source in request.sources:
            for j, frame in schedule.frames_of(source).items():
                time = (j - schedule.first_position) / schedule.step
                scene = {Role.BEFORE: frame - 100, Role.AFTER: frame + length}.get(source.role, frame)
                assert 0 <= frame < max(source.frames, 1)
                if source.role in (Role.FOOTAGE, Role.DEPTH) and time > length - 1:
                    assert scene == length - 1  # held past its end
                elif source.role is not Role.LOOK:
                    assert abs(scene - time) <= Fraction(1, 2)


@pytest.mark.parametrize("rate", SCENE_RATES, ids=rate_name)
def test_the_frames_at_the_seams_are_the_neighbours_own(rate):
    """Before the take, its last frame; after it, where the take alone meets it, its very first."""
    for length in range(1, 120):
        forward, request = scheduled("extend", length, rate)
        assert forward.frames_of(request.sources[0])[forward.kept_before - 1] == 99
        assert forward.position(-1) == forward.kept_before - 1
        backward, request = scheduled("extend backward", length, rate)
        first = backward.model_frames - backward.kept_after
        assert backward.frames_of(request.sources[0])[first] == 0
        assert backward.position(length) == first and backward.first_position >= 0


def test_a_neighbour_that_is_too_short_is_held():
    schedule, request = scheduled("fill", 24, FrameRate(24), neighbour_frames=1)
    assert set(schedule.frames_of(request.sources[0]).values()) == {0}
    assert set(schedule.frames_of(request.sources[1]).values()) == {0}
    times = schedule.times()
    assert times[0] == -1 and set(times[-schedule.kept_after :]) == {24}


def test_kept_says_both_ends():
    schedule = Schedule(Fraction(16), Fraction(24), 10, 21, 5, 4)
    assert schedule.kept() == [0, 1, 2, 3, 4, 17, 18, 19, 20]
