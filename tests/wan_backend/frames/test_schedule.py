"""Every frame of the take shows the model's frame of its own time."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.frames.asked import A_LENGTH, A_RATE, asked
from tests.wan_backend.properties import bounded
from wan_backend.catalogue import entries
from wan_backend.frames.schedule import Schedule
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import FrameRate, Role


def scheduled(name, length, rate, neighbour_frames=100):
    request = asked(name, length, rate, neighbour_frames)
    return Schedule.of(plan_steps.plan(request, entries.entry("embedded")), request), request


@bounded(300)
@given(rate=A_RATE, name=st.sampled_from(["fill", "extend", "extend backward", "restyle", "previs"]), length=A_LENGTH)
@example(FrameRate(24), "fill", 250)
@example(FrameRate(60), "extend", 5)
@example(FrameRate(24, 1.001), "extend backward", 97)
@example(FrameRate(50), "restyle", 250)
@example(FrameRate(25), "previs", 6)
def test_each_kept_frame_is_the_scenes_frame_nearest_in_time(rate, name, length):
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


@bounded(200)
@given(rate=A_RATE, length=A_LENGTH)
@example(FrameRate(24), 1)
@example(FrameRate(60), 119)
def test_the_frames_at_the_seams_are_the_neighbours_own(rate, length):
    """Before the take, its last frame; after it, where the take alone meets it, its very first."""
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
