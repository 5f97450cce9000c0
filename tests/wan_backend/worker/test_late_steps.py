"""A step is finished while the next one is made: in order, each once, and none is lost."""

from __future__ import annotations

import pytest
import torch

from wan_backend.pipelines.denoise import StepCopy
from wan_backend.worker.late_steps import ASKED_FIRST, LateSteps


class Event:
    """A card's event, which has happened once `is_over`."""

    def __init__(self, is_over: bool = True) -> None:
        self.is_over = is_over
        self.waited = False

    def query(self) -> bool:
        return self.is_over

    def synchronize(self) -> None:
        self.waited = True


def copy(done: int, event: Event | None = None) -> StepCopy:
    return StepCopy(done, None, torch.zeros(1), event)


def ask(late: LateSteps, times: int) -> list[bool]:
    return [late.should_stop() for _ in range(times)]


def test_a_step_waits_for_blocks_of_the_next_one():
    finished: list[int] = []
    late = LateSteps(lambda step: finished.append(step.done), lambda: False)
    late.take(copy(1, Event()), at_once=False)
    assert ask(late, ASKED_FIRST) == [False] * ASKED_FIRST and finished == []
    assert ask(late, 2) == [False, False] and finished == [1]


def test_it_waits_for_its_copy_but_no_longer_than_to_the_next_step():
    finished: list[int] = []
    late, slow = LateSteps(lambda step: finished.append(step.done), lambda: False), Event(is_over=False)
    late.take(copy(1, slow), at_once=False)
    ask(late, 40)
    assert finished == [] and not slow.waited
    late.take(copy(2, Event()), at_once=False)
    assert finished == [1] and slow.waited
    late.finish()
    late.finish()
    assert finished == [1, 2]


@pytest.mark.parametrize(("event", "at_once"), [(None, False), (Event(), True)])
def test_what_is_there_or_wanted_is_finished_at_once(event, at_once):
    finished: list[int] = []
    LateSteps(lambda step: finished.append(step.done), lambda: False).take(copy(1, event), at_once)
    assert finished == [1]


def test_a_stop_and_an_error_come_through():
    def broken(_step: StepCopy) -> None:
        raise ValueError("broken")

    late = LateSteps(broken, lambda: True)
    late.take(copy(1, Event()), at_once=False)
    assert late.should_stop()
    with pytest.raises(ValueError, match="broken"):
        ask(late, ASKED_FIRST)
    late.take(copy(2, Event()), at_once=False)
    late.finish_after_failure()
    assert late.should_stop()
