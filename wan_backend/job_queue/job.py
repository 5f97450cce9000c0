"""A job as the queue holds it, and which state may follow which."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..protocol.messages import Hold, JobState, JobStatus, Problem, ProblemKind
from ..protocol.sentences import Sentence

WORKING = (JobState.LOADING, JobState.ENCODING, JobState.DENOISING, JobState.DECODING)
"""In these states a worker has the job."""
ENDS = tuple(state for state in JobState if state.ended)

ALLOWED: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.LOADING, JobState.CANCELED, JobState.FAILED, JobState.DONE}),
    **{state: frozenset({*WORKING, *ENDS, JobState.QUEUED}) for state in WORKING},
    **{state: frozenset({JobState.QUEUED, JobState.DONE}) for state in ENDS},
}
"""A working job may go through its phases in any order: a long take decodes a window and denoises the next. One that
is stopped for a while is queued. A job that ended is queued again by a retry, or done at once where its take turns out
to be whole on the disk."""

BACKEND_ENDED = Problem(ProblemKind.INTERRUPTED, Sentence("The backend ended while this job ran; retry it."))
BACKEND_ENDED_WITH_STEPS = Problem(
    ProblemKind.INTERRUPTED, Sentence("The backend ended while this job ran; retry it to resume from its last step.")
)


@dataclass
class Job:
    """A job as the queue holds it: what clients see, and what they don't. What it was asked for stays on the disk."""

    status: JobStatus
    owner: str
    order: int
    """Its place in the queue: smaller comes first."""
    queued_at: float = 0.0
    """Seconds since 1970 (UTC); when it was last queued."""
    media_folder: str = ""
    """The folder in which its take's folder is made."""
    broken: bool = False
    """Its request can't be read any more."""
    removed: bool = False
    """It is being taken from the disk, or is gone."""
    elsewhere: bool = False
    """Another live server holds it: it is shown here, and not changed."""
    media_cleanups: int = 0
    """Number of threads that are cleaning up after earlier tries in its media folder; it begins after they are done."""
    media_cleanups_since: float = field(default_factory=time.monotonic)
    aside: bool = False
    """It has no turn among the queued ones, until it is taken back."""


def is_working(status: JobStatus) -> bool:
    """Whether a worker has the job."""
    return status.state in WORKING


def has_turn(job: Job) -> bool:
    """Whether the job waits for its turn, and nothing keeps it from that."""
    return job.status.state is JobState.QUEUED and job.status.hold is Hold.NONE and not job.aside


def check_transition(before: JobState, after: JobState) -> None:
    """Raise RuntimeError if `after` can't follow `before`: that is a mistake in the code."""
    if after not in ALLOWED[before]:
        raise RuntimeError(f"A job that is {before.value} can't become {after.value}.")
