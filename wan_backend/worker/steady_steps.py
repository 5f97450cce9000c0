"""How quick a take's steps are once all cards of its plan take part: that alone says how quick later takes will be.

Not counted are the first step of a transformer, or on other kernels, which warms things up; steps that the worker made
alone as other cards came late; and the first one that these took part in.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Protocol

from ..protocol.messages import Plan, SteadySteps
from .skipped_work import passes_at_once

MIN_STEPS = 2
"""Of fewer, nothing is said."""


class Others(Protocol):
    """What other cards have done in a job so far, as `other_cards.OtherCards` counts it."""

    forwards_made: int
    forwards_missed: int
    waited_seconds: float


@dataclass(frozen=True)
class _Step:
    """What is known of a step before its time is."""

    is_shared: bool
    counts: bool
    waited_seconds: float


class StepWatch:
    """Follows the steps of a try, which are counted from 1."""

    def __init__(self, plan: Plan, others: Others | None, done: int, controlled: bool) -> None:
        """`others` are the other cards, if any are to take part; `done` steps were made by an earlier try."""
        self._plan, self._others, self._controlled = plan, others, controlled
        self._first = done + 1
        """The step that warms things up; those after it count."""
        self._steps: dict[int, _Step] = {}
        self._seconds: list[float] = []
        self._before = self._counters()

    def begin(self, done: int, other_kernels: bool = False) -> None:
        """After `done` steps another transformer makes them, or this one on other kernels."""
        self._first = max(self._first, done + 1)
        if other_kernels:
            self._seconds.clear()

    def made(self, done: int) -> None:
        """The step was computed; how long that took is known later."""
        made, missed, waited = (now - before for now, before in zip(self._counters(), self._before, strict=True))
        self._before = self._counters()
        is_shared = self._others is not None and made > 0 and not missed
        if missed:
            self._first = done + 1
        counts = done > self._first and (is_shared or self._plan.cards == 1)
        self._steps[done] = _Step(is_shared, counts, waited)

    def cards_of(self, done: int) -> int:
        """How many cards have made the step."""
        return self._plan.cards if done in self._steps and self._steps[done].is_shared else 1

    def waited_in(self, done: int) -> float:
        """The seconds of the step in which nobody computed anything."""
        return self._steps[done].waited_seconds if done in self._steps else 0.0

    def took(self, done: int, number: int, seconds: float) -> None:
        """So long took the step, which is the plan's with that `number`, counted from 0."""
        passes = passes_at_once(self._plan, number, self._plan.cards)
        if seconds > 0 and passes and done in self._steps and self._steps[done].counts:
            self._seconds.append(seconds / passes)

    def result(self, steps: int) -> SteadySteps | None:
        """What was measured, for the last `steps` of the plan; None if that is too little."""
        plan = self._plan
        if len(self._seconds) < MIN_STEPS or plan.reused_steps is not None or plan.calibrates or plan.seen_sources:
            return None
        seconds = median(self._seconds)
        passes = sum(passes_at_once(plan, number, plan.cards) for number in range(plan.steps - steps, plan.steps))
        return SteadySteps(seconds, seconds * passes, self._controlled)

    def _counters(self) -> tuple[int, int, float]:
        others = self._others
        return (0, 0, 0.0) if others is None else (others.forwards_made, others.forwards_missed, others.waited_seconds)
