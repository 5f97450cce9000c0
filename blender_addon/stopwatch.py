"""Measures how long calls of the add-on keep Blender's main thread.

Every timer, handler, operator and draw is wrapped in `timed("name")`; `report()` returns what each took. On a machine
that has other work, the thread's processor time beside the time that passed tells whose doing a long call is.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

LIMIT_SECONDS = 0.016
"""No call of the add-on may take longer: this is one frame of a 60 Hz window."""
_KEPT = 4096


@dataclass
class _Tally:
    count: int = 0
    worst_seconds: float = 0.0
    worst_processor_seconds: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))
    recent_processor: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


_tallies: dict[str, _Tally] = {}


class timed:
    """Count how long a block, or each call of a function, takes, under `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = self._began_at = 0.0

    def __enter__(self) -> None:
        self._began, self._began_at = time.perf_counter(), time.thread_time()

    def __exit__(self, *_: object) -> None:
        note(self._name, time.perf_counter() - self._began, time.thread_time() - self._began_at)

    def __call__(self, function: F) -> F:
        """Wrap `function`, with as many named arguments as it has: Blender counts those of an operator's functions."""
        count = function.__code__.co_argcount
        if count == 2:

            @functools.wraps(function)
            def wrapper(first: Any, second: Any) -> Any:
                with timed(self._name):
                    return function(first, second)

        elif count == 3:

            @functools.wraps(function)
            def wrapper(first: Any, second: Any, third: Any) -> Any:
                with timed(self._name):
                    return function(first, second, third)

        else:

            @functools.wraps(function)
            def wrapper(*arguments: Any) -> Any:
                with timed(self._name):
                    return function(*arguments)

        return cast(F, wrapper)


def note(name: str, seconds: float, processor_seconds: float = 0.0) -> None:
    """Count `seconds` under `name`, in which the thread had the processor for so long."""
    tally = _tallies.setdefault(name, _Tally())
    tally.count += 1
    tally.worst_seconds = max(tally.worst_seconds, seconds)
    tally.worst_processor_seconds = max(tally.worst_processor_seconds, processor_seconds)
    tally.recent.append(seconds)
    tally.recent_processor.append(processor_seconds)


class Row(NamedTuple):
    """What the calls of one name took."""

    calls: int
    median_seconds: float
    """Of the last `_KEPT` calls."""
    worst_seconds: float
    worst_processor_seconds: float
    """That of the thread alone, of whichever call had most of it."""
    median_processor_seconds: float
    """Likewise, of the last `_KEPT` calls."""


def report() -> dict[str, Row]:
    """The rows by name."""
    return {
        name: Row(
            tally.count,
            statistics.median(tally.recent),
            tally.worst_seconds,
            tally.worst_processor_seconds,
            statistics.median(tally.recent_processor),
        )
        for name, tally in sorted(_tallies.items())
    }


def reset() -> None:
    """Start counting from zero."""
    _tallies.clear()
