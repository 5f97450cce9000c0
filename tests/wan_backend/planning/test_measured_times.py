"""How long a take will take, by the takes before: scaled by its work, kept in a file, and said only if known."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from wan_backend.planning.measured_times import PASSES_OF_A_TRAINED_STEP, MeasuredTimes
from wan_backend.protocol.messages import FrameRate, PhaseSeconds, Plan, Problem, ProblemKind, Sampler, TrainingPlan

PLAN = Plan("big", 832, 480, 81, FrameRate(16), 121, 20, 5.0, 3.0, Sampler.UNIPC, forwards=40)
TOOK = PhaseSeconds(queue=500.0, load=60.0, encode=2.0, denoise=200.0, decode=20.0)


def test_nothing_is_said_before_a_take_was_made():
    times = MeasuredTimes()
    assert times.expected_seconds(PLAN) is None
    times.learn(dataclasses.replace(PLAN, model="other"), TOOK)
    assert times.expected_seconds(PLAN) is None


def test_the_same_take_takes_as_long_without_loading_and_waiting():
    times = MeasuredTimes()
    times.learn(PLAN, TOOK)
    assert times.expected_seconds(PLAN) == pytest.approx(222.0, abs=0.2)


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [({"forwards": 20}, 122.0), ({"model_frames": 162}, 442.0), ({"width": 416}, 112.0)],
)
def test_more_work_takes_longer(changed, seconds):
    times = MeasuredTimes()
    times.learn(PLAN, TOOK)
    assert times.expected_seconds(dataclasses.replace(PLAN, **changed)) == pytest.approx(seconds, abs=0.2)


def test_an_edit_by_what_another_one_took_with_other_pictures():
    """A take of 64 x 64 in 13 latent frames is 208 tokens, its footage as many, and a picture 16."""
    edit = dataclasses.replace(PLAN, width=64, height=64, model_frames=49, steps=10, forwards=20, seen_sources=1)
    with_one = dataclasses.replace(edit, seen_sources=2, forwards=40)
    with_four = dataclasses.replace(with_one, seen_sources=5)
    in_part = dataclasses.replace(with_one, forwards=25)
    times = MeasuredTimes()
    times.learn(edit, PhaseSeconds(encode=2.0, denoise=20 * 416.0, decode=20.0))
    assert times.expected_seconds(edit) == pytest.approx(22 + 20 * 416)
    one, four = 208 + 416 + 2 * 432, 208 + 416 + 2 * 480
    assert times.expected_seconds(with_one) == pytest.approx(22 + 10 * one)
    assert times.expected_seconds(with_four) == pytest.approx(22 + 10 * four)
    assert times.expected_seconds(in_part) == pytest.approx(22 + 5 * one + 5 * 432)
    times.learn(with_four, PhaseSeconds(denoise=10.0 * four))
    assert times.expected_seconds(edit) == pytest.approx(20 * 416)


def test_a_step_that_also_keeps_the_model_as_it_was_is_three_passes_more():
    """Forward once without the LoRA, then once more there and back: known from either kind, and from takes."""
    passes = PASSES_OF_A_TRAINED_STEP
    plain, paired = (
        dataclasses.replace(PLAN, steps=100, training=TrainingPlan(100, 25, 32, 1e-4, 10, 8, 3.0, only_with_trigger=on))
        for on in (False, True)
    )
    times = MeasuredTimes()
    times.learn(PLAN, TOOK)
    assert times.expected_seconds(plain) == pytest.approx(22 + 100 * passes * 5, abs=0.2)
    assert times.expected_seconds(paired) == pytest.approx(22 + 100 * (2 * passes + 1) * 5, abs=0.2)
    times.learn(paired, PhaseSeconds(denoise=800.0))
    assert times.expected_seconds(plain) == pytest.approx(800 * passes / (2 * passes + 1), abs=0.2)


def test_what_cannot_be_done_has_no_time():
    times = MeasuredTimes()
    times.learn(PLAN, TOOK)
    refused = dataclasses.replace(PLAN, problem=Problem(ProblemKind.BAD_LENGTH, "Too long."))
    assert times.expected_seconds(refused) is None


def test_it_is_kept_in_a_file(tmp_path):
    file = tmp_path / "measured_times.json"
    MeasuredTimes(file).learn(PLAN, TOOK)
    until = time.monotonic() + 30
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert MeasuredTimes(file).expected_seconds(PLAN) == pytest.approx(222.0, abs=0.2)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", '{"big exact": 7}', '{"big exact": {"encode": 1}}', "[" * 100_000, "x" * 200_000),
        '{"big exact": {"encode": NaN, "denoise": 1, "decode": 1}}',
        '{"big exact": {"encode": -5, "denoise": 1, "decode": 1}}',
        '{"big exact": {"encode": 1' + 400 * "0" + ', "denoise": 1, "decode": 1}}',
    ],
)
def test_a_damaged_file_is_as_none(tmp_path, text):
    file = tmp_path / "measured_times.json"
    file.write_text(text)
    times = MeasuredTimes(file)
    assert times.expected_seconds(PLAN) is None
    times.learn(PLAN, TOOK)
    assert times.expected_seconds(PLAN) is not None


def test_two_servers_keep_what_the_other_has_measured(tmp_path):
    file = tmp_path / "times.json"
    mine, theirs = MeasuredTimes(file), MeasuredTimes(file)
    for times, model in ((mine, "mine"), (theirs, "theirs")):
        times.learn(dataclasses.replace(PLAN, model=model), TOOK)
        for thread in threading.enumerate():
            if thread.name == "measured times":
                thread.join(30)
    again = MeasuredTimes(file)
    assert all(again.expected_seconds(dataclasses.replace(PLAN, model=model)) for model in ("mine", "theirs"))
