"""Which state of a job may follow which."""

from __future__ import annotations

from ..protocol.messages import JobState

WORKING = (JobState.LOADING, JobState.ENCODING, JobState.DENOISING, JobState.DECODING)
"""A worker has the job."""
ENDS = (JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED)

ALLOWED: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.LOADING, JobState.CANCELLED, JobState.FAILED, JobState.DONE}),
    **{state: frozenset({*WORKING, *ENDS}) for state in WORKING},
    **{state: frozenset({JobState.QUEUED, JobState.DONE}) for state in ENDS},
}
"""A working job may go through its phases in any order: a long take decodes a window and denoises the next. A job that
ended is queued again by a retry, or done at once where its take turns out to be whole on the disk."""


class ImpossibleTransition(RuntimeError):
    """The code tried to bring a job from one state into one that can't follow it."""


def check(before: JobState, after: JobState) -> None:
    """Raise ImpossibleTransition where `after` can't follow `before`."""
    if after not in ALLOWED[before]:
        raise ImpossibleTransition(f"A job that is {before.value} can't become {after.value}.")
