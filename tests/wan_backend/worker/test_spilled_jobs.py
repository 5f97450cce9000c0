"""A job whose card's memory ran over says so once, goes on, and leaves a smaller plan to the next."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.wan_backend.worker.executors import RecordingExecutor, asked
from wan_backend.loading import devices
from wan_backend.memory.spilled import SENTENCE, SHORT_SENTENCE
from wan_backend.protocol.media import MEMORY_FILE
from wan_backend.protocol.messages import FrameRate, PhaseSeconds, Plan, ReusedSteps, RunParams, StepRange, TakeRequest
from wan_backend.worker import step_pace
from wan_backend.worker.progress import MeasuredPace, TakeWork
from wan_backend.worker.skipped_work import passes_in
from wan_backend.worker.step_pace import StepPace
from wan_backend.worker.take_job import work_of

GIB = 1 << 30
CARD = torch.device("cuda")


@pytest.fixture
def full_card(monkeypatch):
    """Windows, with a card of 24 GiB of which nothing is free."""
    monkeypatch.setattr(step_pace, "driver_may_spill", lambda: True)
    monkeypatch.setattr(devices, "used_bytes", lambda _device: (20 * GIB, int(23.9 * GIB)))
    monkeypatch.setattr(devices, "total_bytes", lambda _device: 24 * GIB)


def ends(pace: StepPace, *seconds: float, device: torch.device = CARD) -> list[bool]:
    """What is said after steps of so many seconds."""
    now, said = 100.0, []
    pace.begin(now)
    for each in seconds:
        now += each
        said.append(pace.note(now, device))
    return said


def test_a_step_is_held_against_the_fastest_before_it(full_card):
    assert ends(StepPace(), 5.0, 4.0, 11.9, 12.1) == [False, False, False, True]


def test_or_against_what_a_take_before_has_taken(full_card):
    assert ends(StepPace(2.0), 7.0) == [True]
    assert ends(StepPace(2.0), 5.0) == [False]


def test_a_step_of_which_the_beginning_is_not_known_says_nothing(full_card):
    pace = StepPace()
    assert not pace.note(100.0, CARD) and pace.last_seconds == 0.0
    assert not pace.note(105.0, CARD) and pace.expected_seconds == 5.0


def test_what_was_waited_for_in_a_step_is_no_part_of_it(full_card):
    pace = StepPace(2.0)
    pace.begin(100.0)
    assert not pace.note(142.0, CARD, waited=40.0) and pace.last_seconds == 2.0


def test_a_step_that_is_reused_is_no_measure_for_one_that_is_computed(full_card):
    pace, now, said = StepPace(), 100.0, []
    pace.begin(now)
    for seconds, passes in ((10.0, 2), (0.2, 0), (5.2, 1), (0.2, 0), (10.0, 2), (31.0, 2)):
        now += seconds
        said.append(pace.note(now, CARD, passes))
    assert said == [False] * 5 + [True]


def test_how_many_passes_a_step_takes():
    plan = Plan("any", 32, 32, 5, FrameRate(16), 5, 6, 3.0, 3.0, "unipc")
    assert [passes_in(plan, step, 1) for step in range(6)] == [2] * 6
    skipped = {"guided_steps": StepRange(0, 4), "reused_steps": ReusedSteps([2, 3, 5], [3])}
    assert [passes_in(replace(plan, **skipped), step, 1) for step in range(6)] == [2, 2, 1, 0, 1, 0]
    assert passes_in(replace(plan, guidance_scale=1.0), 0, 1) == 1
    edit = replace(plan, guided_steps=StepRange(0, 4), seen_sources=3)
    assert [passes_in(edit, step, 1) for step in range(6)] == [4, 4, 4, 4, 1, 1]
    assert passes_in(replace(edit, seen_sources=1), 0, 1) == 2


@pytest.mark.parametrize(
    ("together", "guided", "alone"), [(1, 1, 1), (2, 0.5, 0.5), (4, 0.5, 0.25)], ids=["halves", "both", "tokens"]
)
def test_how_much_of_a_pass_each_of_several_cards_makes(together, guided, alone):
    plan = Plan("any", 32, 32, 5, FrameRate(16), 5, 6, 3.0, 3.0, "unipc", guided_steps=StepRange(0, 4))
    plan = replace(plan, cards=2 if together == 1 else 4, cards_per_forward=together)
    assert [passes_in(plan, step, plan.cards) for step in (0, 5)] == [guided, alone]
    assert [passes_in(plan, step, 1) for step in (0, 5)] == [2, 1], "one card that was left alone makes all of it"


def test_a_take_on_a_full_card_that_reuses_steps_says_nothing(params, full_card, monkeypatch):
    """Each step takes 10 s a pass, and a fifth of a second if it is reused."""
    noted, note = [], StepPace.note

    def timed(pace, _now, _device, passes=1.0, _waited=0.0):
        pace._began = 0.0
        noted.append(passes)
        return note(pace, 0.2 + 10 * [2, 0, 1, 2][len(noted) - 1], CARD, passes)

    monkeypatch.setattr(StepPace, "note", timed)
    plan = replace(params.plan, reused_steps=ReusedSteps([1], [1, 2]))
    assert SENTENCE not in RecordingExecutor().run(asked(replace(params, plan=plan))).notes
    assert noted == [2, 0, 1, 2]


def test_elsewhere_nothing_is_asked_of_a_card(monkeypatch):
    monkeypatch.setattr(devices, "used_bytes", lambda _device: 1 / 0)
    monkeypatch.setattr(step_pace, "driver_may_spill", lambda: False)
    assert ends(StepPace(1.0), 100.0) == [False]
    monkeypatch.setattr(step_pace, "driver_may_spill", lambda: True)
    assert ends(StepPace(1.0), 100.0, device=torch.device("cpu")) == [False]


def test_a_longer_take_may_take_the_square_of_its_tokens():
    pace = MeasuredPace()
    assert pace.longest_pass(TakeWork(10, 8)) is None
    pace.learn(PhaseSeconds(denoise=40.0), TakeWork(tokens=10, passes=8))
    assert pace.longest_pass(TakeWork(10, 8)) == pytest.approx(5.0)
    assert pace.longest_pass(TakeWork(30, 8)) == pytest.approx(45.0)
    assert pace.longest_pass(TakeWork(5, 8)) == pytest.approx(2.5)


def test_an_edits_sources_are_tokens_of_its_passes():
    """Otherwise a short one with four pictures, after one without, would look as if the card were full."""
    plain, pictures = (
        work_of(Plan("any", 832, 480, 5, FrameRate(16), 5, 20, 4.0, 5.0, "unipc", seen_sources=sources))
        for sources in (1, 5)
    )
    assert plain.tokens == pictures.tokens == 832 * 480 * 5
    assert plain.seen == 2 * plain.tokens and 5 * plain.tokens < pictures.seen < 6 * plain.tokens
    pace = MeasuredPace()
    pace.learn(PhaseSeconds(denoise=40.0), plain)
    assert pace.longest_pass(pictures) == pytest.approx(pace.longest_pass(plain) * (pictures.seen / plain.seen) ** 2)


@pytest.fixture
def params(t2v_folder, tmp_path) -> RunParams:
    request = TakeRequest("fog", "any", 32, 32, 5, FrameRate(16), 1, str(tmp_path / "media"))
    plan = Plan("any", 32, 32, 5, FrameRate(16), 5, 4, 3.0, 3.0, "unipc")
    return RunParams("a" * 32, request, plan, str(t2v_folder), "cpu", state_folder=str(tmp_path / "state"))


def test_the_job_says_it_once_and_later_takes_begin_smaller(params, monkeypatch):
    monkeypatch.setattr(StepPace, "note", lambda *_: True)
    executor = RecordingExecutor()
    result = executor.run(asked(params))
    assert result.notes.count(SENTENCE) == 1
    last = next(report.sentence for report in executor.progress if report.step == 4)
    assert last == f"Step 4 of 4 ({SHORT_SENTENCE})"
    assert executor._warm.pace.denoise is None, "such a take is no measure for others"
    assert json.loads(Path(params.state_folder, MEMORY_FILE).read_text()), "the smaller plan is remembered"


def test_a_usual_job_says_nothing(params):
    executor = RecordingExecutor()
    assert SENTENCE not in executor.run(asked(params)).notes
    assert not any(SHORT_SENTENCE in sentence for sentence in executor.sentences)
    assert not Path(params.state_folder, MEMORY_FILE).exists()
