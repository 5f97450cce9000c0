"""The clip that the model makes: whole groups kept, enough of them, in one window where one will do."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.wan_backend.frames.asked import A_LENGTH, A_RATE, A_TASK, RATES, asked
from tests.wan_backend.properties import bounded
from wan_backend.catalogue import entries
from wan_backend.planning import plan_steps
from wan_backend.protocol.messages import FrameRate

EMBEDDED, VACE = entries.entry("embedded"), entries.entry("wan2.1-vace-1.3b")


def step(rate):
    return EMBEDDED.frame_rate / rate.exact()


@bounded(300)
@given(rate=A_RATE, length=A_LENGTH, neighbor_frames=st.sampled_from([1, 2, 4, 12, 30, 100]))
@example(FrameRate(24), 72, 100)
@example(FrameRate(24), 73, 100)
@example(FrameRate(60), 1, 1)
@example(FrameRate(24, 1.001), 250, 12)
def test_a_gap_is_between_its_neighbors(rate, length, neighbor_frames):
    made = plan_steps.plan(asked("fill", length, rate, neighbor_frames), EMBEDDED)
    assert made.problem is None and made.model_frames % 4 == 1
    free = made.model_frames - made.kept_before - made.kept_after
    assert free == math.ceil((length + 1) * step(rate)) - 1
    assert made.kept_before % 4 == 1 and 4 <= made.kept_after <= 11
    assert made.kept_before <= (17 if made.model_frames > 65 else 9)
    needed = round((made.kept_before - 1) / step(rate)) + 1
    assert needed <= neighbor_frames or made.kept_before == 1


@bounded(300)
@given(rate=A_RATE, name=st.sampled_from(["extend", "extend backward"]), length=A_LENGTH)
@example(FrameRate(24), "extend", 1)
@example(FrameRate(60), "extend backward", 250)
@example(FrameRate(25), "extend", 88)
def test_an_extension_is_as_long_as_asked(rate, name, length):
    made = plan_steps.plan(asked(name, length, rate), EMBEDDED)
    forward = name == "extend"
    kept, other = (made.kept_before, made.kept_after)[:: 1 if forward else -1]
    assert other == 0 and kept % 4 == (1 if forward else 0) and kept >= 4
    assert made.model_frames % 4 == 1
    assert 0 <= made.model_frames - kept - math.ceil(length * step(rate)) < 4


def test_as_much_of_a_neighbor_is_kept_as_it_has():
    rate = FrameRate(24)
    kept = [plan_steps.plan(asked("extend", 24, rate, n), EMBEDDED).kept_before for n in (1, 6, 7, 12, 13, 100)]
    assert kept == [1, 1, 5, 5, 9, 9]
    assert plan_steps.plan(asked("extend", 200, rate), EMBEDDED).kept_before == 17


def test_one_window_where_one_will_do():
    """72 frames at 24 fps are 48 of the model's: with 9 before and 8 after just 65; a little more, and less is kept."""
    rate = FrameRate(24)
    for length in range(40, 85):
        made = plan_steps.plan(asked("fill", length, rate), EMBEDDED)
        free = made.model_frames - made.kept_before - made.kept_after
        needed = free + 5 + 4 + -free % 4
        assert (made.window_frames == 0) == (needed <= 65)
        assert (made.model_frames <= 65) == (needed <= 65)
    long = plan_steps.plan(asked("fill", 120, rate), EMBEDDED)
    assert long.window_frames == 65 and (long.kept_before, long.kept_after >= 8) == (17, True)


@bounded(100)
@given(
    name=A_TASK,
    model=st.sampled_from([(EMBEDDED, 65), (VACE, 81)]),
    fps=st.sampled_from([16, 24]),
    seconds=st.integers(10, 60),
)
@example("fill", (EMBEDDED, 65), 24, 10)
@example("image", (VACE, 81), 16, 60)
def test_ten_seconds_and_more_in_windows(name, model, fps, seconds):
    entry, window = model
    request = asked(name, seconds * fps, FrameRate(fps), width=832, height=480)
    made = plan_steps.plan(request, entry)
    assert made.problem is None and made.take_frames == seconds * fps
    assert made.window_frames == window < made.model_frames
    assert any("in parts that overlap" in note for note in made.notes)
    short = plan_steps.plan(asked(name, 24, FrameRate(24), width=832, height=480), entry)
    assert short.window_frames == 0 and made.memory_bytes >= short.memory_bytes


def test_a_take_of_windows_needs_no_more_memory_than_one_window():
    rate = FrameRate(16)
    lengths = {n: plan_steps.plan(asked("text", n, rate, width=832, height=480), VACE).memory_bytes for n in (81, 800)}
    assert lengths[81] == lengths[800]


def test_a_gap_of_one_frame_and_of_a_thousand():
    for rate in RATES:
        one, thousand = (plan_steps.plan(asked("fill", n, rate), EMBEDDED) for n in (1, 1000))
        assert one.problem is None and one.take_frames == 1 and one.model_frames <= 33
        assert thousand.problem is None and thousand.take_frames == 1000 and thousand.window_frames == 65


@pytest.mark.parametrize("length", [2001, 10**6, 2**62])
def test_too_long_a_take_is_refused_with_a_fix(length):
    request = asked("text", length, FrameRate(24))
    made = plan_steps.plan(request, EMBEDDED)
    assert made.problem.kind == "bad_length" and "too long" in made.problem.sentence
    assert (made.problem.fixes[0].setting, made.problem.fixes[0].value) == ("length_frames", "2000")
    assert plan_steps.plan(asked("text", 2000, FrameRate(24)), EMBEDDED).problem is None


def test_a_slow_scene_may_not_ask_for_hours():
    made = plan_steps.plan(asked("text", 2000, FrameRate(1)), EMBEDDED)
    assert made.problem.fixes[0].value == "250"  # 4,000 frames of the model's
    assert plan_steps.plan(asked("text", 250, FrameRate(1)), EMBEDDED).problem is None


def test_a_picture_model_is_cut_to_its_window_and_says_which_model_is_not():

    entry = dataclasses.replace(VACE, pipelines=["WanImageToVideoPipeline"], label="Wan I2V")
    made = plan_steps.plan(asked("image", 240, FrameRate(24), width=832, height=480), entry)
    assert made.problem is None and made.take_frames == 121 and made.model_frames == 81 and made.window_frames == 0
    assert made.notes == [
        "240 frames became 121: from a picture, Wan I2V makes at most 5 s. A VACE model makes longer ones."
    ]


def test_a_fill_keeps_both_sides_when_sources_are_only_a_frame_long():
    request = asked("fill", 24, FrameRate(24), 1)
    assert [s.frames for s in request.sources] == [1, 1]
    made = plan_steps.plan(request, EMBEDDED)
    assert (made.kept_before, made.kept_after >= 4) == (1, True)
