"""How long the queue will take, by the running jobs and by how long earlier takes took. It needs no Blender."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from ...wan_backend.protocol.messages import Hold, JobState, JobStatus

MAX_LOOKED_AT = 100
"""Of the jobs that ended, the newest ones are asked how long they took."""
LEAST_PROGRESS = 0.1
"""A job that is no further says too little about the next ones."""


def seconds_made(job: JobStatus) -> float:
    """How long the job's take was made, without its time in the queue."""
    spent = job.seconds
    return spent.load + spent.encode + spent.denoise + spent.decode


def seconds_left(going_on: Sequence[JobStatus], ended: Iterable[JobStatus], workers: int = 1) -> float | None:
    """Seconds until the last job is done that is not held; None if nobody can know. The newest of `ended` come first.

    A take's time goes by its model and its frames; other settings make it longer or shorter. The jobs are in running
    order, and each goes to that of the `workers` which is free first.
    """
    paces = _paces(going_on, ended)
    free_in = [0.0] * max(1, workers)
    for job in going_on:
        if job.hold is not Hold.NONE:
            continue
        seconds = _left_of(job, paces)
        if seconds is None:
            return None
        heapq.heapreplace(free_in, free_in[0] + seconds)
    return max(free_in)


def seconds_for(
    wanted: Iterable[tuple[str, int]], going_on: Sequence[JobStatus], ended: Iterable[JobStatus]
) -> float | None:
    """Seconds that takes of these models and frames will take one after the other; None if nobody can know."""
    paces = _paces(going_on, ended)
    seconds = [paces[model] * frames if model in paces else None for model, frames in wanted]
    known = [each for each in seconds if each is not None]
    return sum(known) if len(known) == len(seconds) else None


def _left_of(job: JobStatus, paces: dict[str, float]) -> float | None:
    if job.eta_seconds is not None and job.state is not JobState.QUEUED:
        return job.eta_seconds
    if job.summary.training is not None:
        return None
    pace = paces.get(job.summary.model)
    return None if pace is None else (1.0 - job.progress) * pace * job.summary.length_frames


def _paces(going_on: Sequence[JobStatus], ended: Iterable[JobStatus]) -> dict[str, float]:
    """Seconds for each frame, by model."""
    paces: dict[str, float] = {}
    for job in going_on:
        if job.state is JobState.QUEUED:
            break
        if job.summary.training is None and job.eta_seconds and job.progress >= LEAST_PROGRESS:
            whole = job.eta_seconds / max(1e-3, 1.0 - job.progress)
            paces.setdefault(job.summary.model, whole / max(1, job.summary.length_frames))
    for job in ended:
        if job.summary.training is None and job.state is JobState.DONE and seconds_made(job):
            paces.setdefault(job.summary.model, seconds_made(job) / max(1, job.summary.length_frames))
    return paces
