"""How the whole queue stands. Counted once for each change of it, since polls and draws ask at every redraw.

May import properties, preferences, jobs and timeline; never ui.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...wan_backend.protocol.messages import JobState, JobStatus
from ..jobs import tracker

SAMPLE = 20
"""So many jobs of each state are asked whether an order would do for any."""
_ENDED = tuple(state for state in JobState if state.ended)


@dataclass(frozen=True)
class Standing:
    """What is to be known of all jobs, in the tracker's order."""

    jobs: Sequence[JobStatus]
    going_on: tuple[JobStatus, ...]
    """Those that run or wait."""
    ended: tuple[JobStatus, ...]
    sample: tuple[JobStatus, ...]
    """The first few of each state."""


_last: Standing | None = None


def standing() -> Standing:
    """How the queue stands now; the same object while the tracker's jobs are the same."""
    global _last
    jobs = tracker.get().jobs()
    if _last is None or _last.jobs is not jobs:
        _last = _counted(jobs)
    return _last


def _counted(jobs: Sequence[JobStatus]) -> Standing:
    going_on: list[JobStatus] = []
    ended: list[JobStatus] = []
    by_state: dict[JobState, list[JobStatus]] = {state: [] for state in JobState}
    for job in jobs:
        (ended if job.state in _ENDED else going_on).append(job)
        same = by_state[job.state]
        if len(same) < SAMPLE:
            same.append(job)
    sample = tuple(job for few in by_state.values() for job in few)
    return Standing(jobs, tuple(going_on), tuple(ended), sample)
