"""How long our own calls keep Blender's main thread. No bpy.

Wrap every timer, handler, operator and draw in `timed("name")`; `report()` says what they took.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LIMIT_SECONDS = 0.016
"""No call of ours may take longer: one frame of a 60 Hz window."""
_KEPT = 4096


@dataclass
class _Tally:
    count: int = 0
    worst_seconds: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


_tallies: dict[str, _Tally] = {}


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Count the time of the block under `name`. Also a decorator: `@timed("name")`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        note(name, time.perf_counter() - began)


def note(name: str, seconds: float) -> None:
    """Count `seconds` under `name`."""
    tally = _tallies.setdefault(name, _Tally())
    tally.count += 1
    tally.worst_seconds = max(tally.worst_seconds, seconds)
    tally.recent.append(seconds)


def report() -> dict[str, tuple[int, float, float]]:
    """name -> (count, median_seconds of the last few thousand, worst_seconds)."""
    return {
        name: (tally.count, statistics.median(tally.recent), tally.worst_seconds)
        for name, tally in sorted(_tallies.items())
    }


def reset() -> None:
    """Forget all times."""
    _tallies.clear()
