"""Handles: made frames where the model has room, a neighbor's own where the take joins it, and the words for both."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.frames.asked import A_LENGTH, A_RATE, asked
from tests.wan_backend.properties import bounded
from wan_backend.catalogue import entries
from wan_backend.frames.schedule import Schedule
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import HANDLE_FRAMES, MAX_TAKE_FRAMES, FrameRate, Role, Task

VACE = entries.entry("wan2.1-vace-1.3b")
RATE = FrameRate(24)


def planned(name, length, rate=RATE, neighbor_frames=100, handles=HANDLE_FRAMES, entry=VACE):
    request = asked(name.removesuffix(" alone"), length, rate, neighbor_frames, handle_frames=handles)
    if name.endswith(" alone"):
        request = dataclasses.replace(request, sources=request.sources[:1])
    return plan_steps.plan(request, entry), request


def note(plan):
    return next((str(each) for each in plan.notes if each.startswith("Handles")), "")


@pytest.mark.parametrize(
    ("name", "length", "counts", "words"),
    [
        ("text", 48, (12, 12), "Handles: 12 frames at each end."),
        ("extend", 24, (12, 12), "Handles: 12 frames at each end."),
        ("extend backward", 24, (12, 12), "Handles: 12 frames at each end."),
        ("fill", 24, (12, 12), "Handles: 12 frames at each end."),
        (
            "image alone",
            48,
            (0, 12),
            "Handles: 12 frames at the end; none at the start, as the take begins on the picture.",
        ),
        (
            "image",
            48,
            (0, 0),
            "Handles: none, as the take begins on the picture, and the take ends on the picture.",
        ),
        ("restyle", 48, (0, 0), "Handles: none, as each frame of the take follows one of the footage."),
        ("previs", 48, (0, 0), "Handles: none, as each frame of the take follows one of the scene."),
        ("text", 121, (0, 0), "Handles: none, as the model has no room for more frames."),
        ("text", 250, (0, 0), "Handles: none, as the model has no room for more frames."),
        (
            "extend",
            250,
            (12, 0),
            "Handles: 12 frames at the start; none at the end, as the model has no room for more frames.",
        ),
    ],
)
def test_each_task_has_the_handles_that_have_a_meaning(name, length, counts, words):
    plan, _ = planned(name, length)
    assert plan.problem is None
    assert (plan.handle_before, plan.handle_after) == counts and note(plan) == words
    assert plan.take_frames == length and plan.all_frames == length + sum(counts)


def test_as_many_are_made_as_the_window_has_room_for():
    plan, _ = planned("text", 110)
    assert 0 < plan.handle_before == plan.handle_after < 12 and not plan.window_frames
    assert note(plan) == f"Handles: {plan.handle_before} frames at each end, as the model has no room for more frames."


def test_a_short_neighbor_gives_what_it_has():
    plan, _ = planned("fill", 24, neighbor_frames=5)
    assert (plan.handle_before, plan.handle_after) == (5, 5)


def test_none_are_made_where_none_are_wanted():
    plan, _ = planned("text", 48, handles=0)
    assert (plan.handle_before, plan.handle_after) == (0, 0) and note(plan) == ""


@bounded(200)
@given(
    rate=A_RATE,
    name=st.sampled_from(["text", "image", "image alone", "fill", "extend", "extend backward"]),
    length=A_LENGTH,
    neighbor_frames=st.sampled_from([1, 5, 30, 100]),
)
@example(FrameRate(60), "text", 9, 100)
@example(FrameRate(24, 1.001), "extend backward", 97, 30)
def test_handles_change_neither_the_take_nor_what_is_kept(rate, name, length, neighbor_frames):
    plan, request = planned(name, length, rate, neighbor_frames)
    plain, _ = planned(name, length, rate, neighbor_frames, handles=0)
    assert (plan.take_frames, plan.window_frames) == (plain.take_frames, plain.window_frames)
    assert plan.kept_before >= plain.kept_before and plan.kept_after >= plain.kept_after
    assert plan.model_frames <= max(VACE.max_frames, plain.model_frames) and plan.model_frames % 4 == 1
    schedule = Schedule.of(plan, request)
    times = schedule.times()
    assert times[0] <= -schedule.lead, "the first handle frame is made, and not held"
    last = plan.take_frames + schedule.tail - 1
    free_end = request.source(Role.AFTER) is None and request.source(Role.LAST) is None
    assert times[-1] >= last or not free_end
    assert schedule.lead == (plan.handle_before if request.source(Role.BEFORE) is None else 0)


def test_a_take_with_handles_is_never_longer_than_a_take_may_be():
    plan, _ = planned("fill", MAX_TAKE_FRAMES - 7)
    assert plan.problem is None and plan.all_frames <= MAX_TAKE_FRAMES


def test_the_take_begins_behind_its_made_handle():
    plan, request = planned("text", 48)
    schedule = Schedule.of(plan, request)
    assert schedule.position(-12) == 0 and schedule.first_position == 12 * Fraction(16, 24)
    assert plan.model_frames - 1 >= math.ceil(schedule.position(48 + 12 - 1))
    assert request.task is Task.TEXT_TO_VIDEO
