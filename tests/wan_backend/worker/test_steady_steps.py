"""How quick steps are is learned from those that all cards made: not the first, none that waited, none made alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from wan_backend.protocol.messages import FrameRate, Plan, ReusedSteps, StepRange
from wan_backend.worker.steady_steps import StepWatch

PLAN = Plan("any", 32, 32, 5, FrameRate(16), 5, 6, 3.0, 3.0, "unipc")
HALVES, TOKENS = (replace(PLAN, cards=2, cards_per_forward=each) for each in (1, 2))


@dataclass
class Counted:
    """What other cards have done."""

    forwards_made: int = 0
    forwards_missed: int = 0
    waited_seconds: float = 0.0


def watched(plan: Plan, *steps: tuple[float, int, int], done: int = 0) -> StepWatch:
    """Steps that took so many seconds, in which others made so many passes, and missed so many."""
    others = Counted() if plan.cards > 1 else None
    watch = StepWatch(plan, others, done, controlled=True)
    watch.begin(done)
    for number, (seconds, made, missed) in enumerate(steps, done + 1):
        if others is not None:
            others.forwards_made += made
            others.forwards_missed += missed
        watch.made(number)
        watch.took(number, number - 1, seconds)
    return watch


def test_one_card_is_measured_from_its_second_step_on():
    found = watched(PLAN, (9.0, 0, 0), *[(2.0, 0, 0)] * 4, (2.2, 0, 0)).result(6)
    assert found.pass_seconds == 1.0 and found.denoise_seconds == 12.0 and found.controlled


@pytest.mark.parametrize(("plan", "made", "seconds"), [(HALVES, 1, 1.0), (TOKENS, 2, 0.5)])
def test_a_card_that_comes_late_leaves_nothing_of_that_in_what_is_learned(plan, made, seconds):
    """Two steps made alone, then a first one together, which warms things up."""
    late = [(20.0, 0, 2), (2.0, 0, 2), (5.0, made, 0)]
    found = watched(plan, *late, *[(1.0, made, 0)] * 3).result(6)
    assert found.pass_seconds == seconds and found.denoise_seconds == 6.0, "as if it had been there from the beginning"
    assert watched(plan, *[(2.0, 0, 2)] * 4, (5.0, made, 0), (1.0, made, 0)).result(6) is None, "one step says little"
    assert watched(plan, *[(2.0, 0, 2)] * 6).result(6) is None, "those are one card's"
    lost = watched(plan, (5.0, made, 0), *[(1.0, made, 0)] * 3, (9.0, 0, 1), (2.0, 0, 2)).result(6)
    assert lost.pass_seconds == seconds


def test_the_first_step_of_each_expert_and_of_other_kernels_does_not_count():
    watch = StepWatch(PLAN, None, 0, controlled=False)
    for number, seconds in enumerate((9.0, 4.0, 7.0, 4.0), 1):
        if number in (1, 3):
            watch.begin(number - 1)
        watch.made(number)
        watch.took(number, number - 1, seconds)
    assert watch.result(4).pass_seconds == 2.0
    watch.begin(4, other_kernels=True)
    assert watch.result(4) is None


def test_steps_whose_time_comes_after_the_next_one_was_made():
    """As they do on a card, where a step is finished while the next one is computed."""
    others = Counted()
    watch = StepWatch(TOKENS, others, 0, controlled=False)
    for number in range(1, 5):
        others.forwards_made += 2
        others.forwards_missed += number == 4
        watch.made(number)
        if number > 1:
            watch.took(number - 1, number - 2, 3.0)
    assert watch.result(6).pass_seconds == 1.5


def test_what_was_waited_for_and_who_made_a_step_is_known():
    others = Counted()
    watch = StepWatch(TOKENS, others, 0, controlled=False)
    others.forwards_made, others.waited_seconds = 2, 40.0
    watch.made(1)
    others.forwards_made, others.forwards_missed = 3, 1
    watch.made(2)
    assert [watch.waited_in(step) for step in (1, 2, 3)] == [40.0, 0.0, 0.0]
    assert [watch.cards_of(step) for step in (1, 2)] == [2, 1]


def test_steps_without_guidance_say_nothing_of_its_halves():
    """Of two cards the second one has nothing to do in them."""
    plan = replace(HALVES, guided_steps=StepRange(0, 3))
    steps = [(9.0, 1, 0), (1.0, 1, 0), (1.0, 1, 0), *[(3.0, 0, 0)] * 3]
    assert watched(plan, *steps).result(6).pass_seconds == 1.0


@pytest.mark.parametrize(
    "changed", [{"reused_steps": ReusedSteps([3], [3])}, {"calibrates": True}, {"seen_sources": 1}]
)
def test_takes_that_are_never_shared_are_no_measure_for_others(changed):
    assert watched(replace(PLAN, **changed), *[(2.0, 0, 0)] * 6).result(6) is None


def test_a_take_that_makes_its_last_steps_is_measured_by_those():
    found = watched(PLAN, *[(2.0, 0, 0)] * 3).result(3)
    assert found.pass_seconds == 1.0 and found.denoise_seconds == 6.0
