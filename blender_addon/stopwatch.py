"""Measures how long calls of the add-on keep Blender's main thread.

Every timer, handler, operator and draw is wrapped in `timed("name")`; `report()` returns what each took.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

LIMIT_SECONDS = 0.016
"""No call of the add-on may take longer: this is one frame of a 60 Hz window."""
_KEPT = 4096


@dataclass
class _Tally:
    count: int = 0
    worst_seconds: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


_tallies: dict[str, _Tally] = {}


class timed:
    """Count how long a block, or each call of a function, takes, under `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        note(self._name, time.perf_counter() - self._began)

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


def note(name: str, seconds: float) -> None:
    """Count `seconds` under `name`."""
    tally = _tallies.setdefault(name, _Tally())
    tally.count += 1
    tally.worst_seconds = max(tally.worst_seconds, seconds)
    tally.recent.append(seconds)


def report() -> dict[str, tuple[int, float, float]]:
    """The count, the median seconds of the last `_KEPT` calls and the worst seconds, by name."""
    return {
        name: (tally.count, statistics.median(tally.recent), tally.worst_seconds)
        for name, tally in sorted(_tallies.items())
    }


def reset() -> None:
    """Start counting from zero."""
    _tallies.clear()
