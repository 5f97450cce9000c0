"""Every frame of the take shows the model's frame of its own time."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.frames.asked import A_LENGTH, A_RATE, A_TASK, RATES, asked
from tests.wan_backend.properties import bounded
from wan_backend.catalogue import entries
from wan_backend.frames import schedule as schedule_module
from wan_backend.frames.schedule import Conformer, Schedule
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import Conform, FrameRate, Role


def scheduled(name, length, rate, neighbor_frames=100):
    request = asked(name, length, rate, neighbor_frames)
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
def test_the_frames_at_the_seams_are_the_neighbors_own(rate, length):
    """Before the take, its last frame; after it, where the take alone meets it, its very first."""
    forward, request = scheduled("extend", length, rate)
    assert forward.frames_of(request.sources[0])[forward.kept_before - 1] == 99
    assert forward.position(-1) == forward.kept_before - 1
    backward, request = scheduled("extend backward", length, rate)
    first = backward.model_frames - backward.kept_after
    assert backward.frames_of(request.sources[0])[first] == 0
    assert backward.position(length) == first and backward.first_position >= 0


def test_a_neighbor_that_is_too_short_is_held():
    schedule, request = scheduled("fill", 24, FrameRate(24), neighbor_frames=1)
    assert set(schedule.frames_of(request.sources[0]).values()) == {0}
    assert set(schedule.frames_of(request.sources[1]).values()) == {0}
    times = schedule.times()
    assert times[0] == -1 and set(times[-schedule.kept_after :]) == {24}


def test_kept_says_both_ends():
    schedule = Schedule(Fraction(16), Fraction(24), 10, 21, 5, 4)
    assert schedule.kept() == [0, 1, 2, 3, 4, 17, 18, 19, 20]


EMBEDDED = entries.entry("embedded")
HALF = 0.5 + 1e-9


class Between:
    """In Motion's place: a "picture" is the time that it shows, and between two lies the time between."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    def between(self, share):
        return self.first + share * (self.second - self.first)


def shown_time(schedule):
    """The time that each of the model's frames shows, at the model's own rate, in frames of the scene.

    What follows footage shows its last frame from its end on.
    """
    first, step = float(schedule.first_position), float(schedule.step)
    last = schedule.take_frames - 1 if schedule.follows else float("inf")
    return lambda j: min((j - first) / step, last)


def conformed(schedule, conform_by, picture_of):
    conformer = Conformer(schedule, conform_by)
    took = []
    for j in range(schedule.model_frames):
        took += conformer.feed(j, picture_of(j))
    return [*took, *conformer.finish()]


def shows_every_frame_in_its_time(request, entry):
    """The take of this request, whatever is between: all frames, in order, each within half of its place."""
    made = plan_steps.plan(request, entry)
    assert made.problem is None and made.take_frames == request.length_frames and made.model_frames % 4 == 1
    schedule = Schedule.of(made, request)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(schedule_module, "Motion", Between)
        took = conformed(schedule, Conform.FLOW, shown_time(schedule))
    assert [i for i, _ in took] == list(range(request.length_frames))
    assert max(abs(shown - i) for i, shown in took) <= HALF


@bounded(300)
@given(name=A_TASK, rate=A_RATE, length=A_LENGTH)
@example("fill", FrameRate(24), 250)
@example("extend backward", FrameRate(24, 1.001), 5)
@example("restyle", FrameRate(60), 249)
@example("previs", FrameRate(50), 97)
@example("image", FrameRate(30, 1.001), 81)
def test_length_and_place_of_every_take(name, rate, length):
    shows_every_frame_in_its_time(asked(name, length, rate), EMBEDDED)


@bounded(150)
@given(
    name=A_TASK,
    model_fps=st.sampled_from([12, 16, 24, 30]),
    scene=st.sampled_from([FrameRate(8), FrameRate(12), FrameRate(15), FrameRate(24, 1.001), FrameRate(120)]),
    length=st.sampled_from([1, 2, 3, 7, 33, 101]),
)
@example("fill", 30, FrameRate(8), 1)
@example("extend", 12, FrameRate(120), 101)
@example("extend backward", 24, FrameRate(24, 1.001), 2)
def test_any_two_rates(name, model_fps, scene, length):
    shows_every_frame_in_its_time(asked(name, length, scene), dataclasses.replace(EMBEDDED, frame_rate=model_fps))


def test_a_clip_that_follows_footage_gives_its_very_frames_back(monkeypatch):
    """Where the model's frame was made after a frame of the scene, it is shown at that frame's time."""
    monkeypatch.setattr(schedule_module, "Motion", Between)
    for rate in RATES:
        for length in (5, 24, 97):
            request = asked("restyle", length, rate)
            schedule = Schedule.of(plan_steps.plan(request, EMBEDDED), request)
            shows = schedule.frames_of(request.sources[0])
            took = conformed(schedule, Conform.FLOW, lambda j, shows=shows: float(shows[j]))
            assert [shown for _, shown in took] == pytest.approx(list(range(length)), abs=1 / 16)


def test_repeat_shows_the_nearest_in_time():
    schedule = Schedule(Fraction(16), Fraction(24), 7, 5)
    assert [shown for _, shown in conformed(schedule, Conform.REPEAT, lambda j: j)] == [0, 1, 1, 2, 3, 3, 4]


@pytest.mark.parametrize("model_fps", [Fraction(99), Fraction(102)])
def test_what_is_as_good_as_one_of_the_models_frames_is_that_one(model_fps):
    """A hundredth before it, or two behind it: no picture is made between two, which would be softer."""
    schedule = Schedule(model_fps, Fraction(100), 2, 4)
    assert conformed(schedule, Conform.FLOW, lambda j: j) == [(0, 0), (1, 1)]


def test_half_way_between_two_the_later_is_shown():
    schedule = Schedule(Fraction(16), Fraction(32), 5, 3)
    assert [shown for _, shown in conformed(schedule, Conform.REPEAT, lambda j: j)] == [0, 1, 1, 2, 2]


def test_the_same_rate_is_one_to_one_and_nearly_the_same_is_never_blended():
    schedule = Schedule(Fraction(16), Fraction(16), 5, 5)
    assert conformed(schedule, Conform.FLOW, lambda j: j) == [(i, i) for i in range(5)]
    schedule = Schedule(Fraction(24), Fraction(24000, 1001), 240, 241)
    assert conformed(schedule, Conform.FLOW, lambda j: j) == [(i, i) for i in range(240)]


def test_a_clip_that_is_too_short_is_held():
    schedule = Schedule(Fraction(16), Fraction(16), 4, 2)
    assert conformed(schedule, Conform.FLOW, lambda j: j) == [(0, 0), (1, 1), (2, 1), (3, 1)]


def test_frames_come_as_soon_as_they_can():
    conformer = Conformer(Schedule(Fraction(16), Fraction(24), 7, 5), Conform.FLOW)
    pictures = [np.full((4, 4, 3), j, np.uint8) for j in range(5)]
    assert [[i for i, _ in conformer.feed(j, picture)] for j, picture in enumerate(pictures)] == [
        [0], [1], [2, 3], [4], [5, 6],
    ]  # fmt: skip
    assert list(conformer.finish()) == []


@bounded(200)
@given(rate=A_RATE, length=A_LENGTH)
@example(FrameRate(24), 72)
@example(FrameRate(60), 1)
def test_frames_next_to_a_seam_lie_between_the_neighbor_and_the_made(rate, length):
    """The last kept frame is the scene's frame before the take; the first kept one after it, that or a later one."""
    request = asked("fill", length, rate)
    schedule = Schedule.of(plan_steps.plan(request, EMBEDDED), request)
    times = schedule.times()
    assert times == sorted(times)
    assert times[schedule.kept_before - 1] == -1
    after = times[schedule.model_frames - schedule.kept_after]
    assert length <= after < length + 1 / float(schedule.step) + 0.5
