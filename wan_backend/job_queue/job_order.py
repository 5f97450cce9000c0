"""The orders of the jobs: the one in which clients see them listed, and the one in which they get their turns."""

from __future__ import annotations

import bisect
import heapq
import math
import time
from collections.abc import Collection, Iterator, Mapping

from ..protocol import ProtocolError
from ..protocol.errors import INVALID_PARAMS
from ..protocol.messages import JobState, JobStatus
from .job import Job, has_turn

BEHIND = 1 << 61
"""Added to the orders of trainings, which so come after all takes; a moment in nanoseconds is smaller until 2043."""

ROOM = 1 << 30
"""Between a job and the one that comes before all others from now on; a second, in nanoseconds."""

_RowKey = tuple[int, float, str]
"""0 if the job has not ended, else 1; seconds before 1970, so that the newest is first; the id."""


class Rows:
    """First the jobs that have not ended, then the others, the newest first.

    A page begins after the last key of the page before, not at a number, so jobs may come, change and go between.
    """

    def __init__(self) -> None:
        self._keys: list[_RowKey] = []

    def add(self, status: JobStatus) -> None:
        """List a job."""
        bisect.insort(self._keys, _row_key(status))

    def remove(self, status: JobStatus) -> None:
        """List a job no more; `status` is the one with which it was listed."""
        key = _row_key(status)
        at = bisect.bisect_left(self._keys, key)
        if at < len(self._keys) and self._keys[at] == key:
            del self._keys[at]

    def change(self, before: JobStatus, after: JobStatus) -> None:
        """Move a job whose status changed."""
        if _row_key(before) != _row_key(after):
            self.remove(before)
            self.add(after)

    def after(self, cursor: str) -> Iterator[tuple[str, str]]:
        """The ids after that cursor (empty: all), each with the cursor that stands for it."""
        at = bisect.bisect_right(self._keys, _parse_cursor(cursor)) if cursor else 0
        for index in range(at, len(self._keys)):
            ended, before_1970, job_id = self._keys[index]
            yield job_id, f"{ended} {before_1970!r} {job_id}"


class Turns:
    """Queued jobs by their orders, the lowest first; those that are set aside are passed over.

    Takes come before trainings, which take hours: a person who moves a training before a take has it go first.

    A heap of order and id. Entries of jobs that are not queued any more stay there until they come first.
    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._jobs = jobs
        self._heap: list[tuple[int, str]] = []
        self._last_order, self._last_behind = 0, BEHIND

    def add(self, job: Job) -> None:
        """Give a job its turn if it is queued; later orders come after its own in any case."""
        if job.order < BEHIND:
            self._last_order = max(self._last_order, job.order)
        else:
            self._last_behind = max(self._last_behind, job.order)
        if has_turn(job):
            heapq.heappush(self._heap, (job.order, job.status.job_id))

    def first(self, passed: Collection[str] = ()) -> Job | None:
        """The queued job before all others that are neither set aside nor held, nor among those `passed` over."""
        put_back = []
        while self._heap:
            order, job_id = self._heap[0]
            job = self._jobs.get(job_id)
            waits = job is not None and has_turn(job) and job.order == order
            if waits and job_id not in passed:
                break
            entry = heapq.heappop(self._heap)
            if waits:
                put_back.append(entry)
        first = self._jobs[self._heap[0][1]] if self._heap else None
        for entry in put_back:
            heapq.heappush(self._heap, entry)
        return first

    def order_before(self, job: Job, before: Job) -> dict[str, int]:
        """The orders to give so that `job` comes right before `before`: its own, and of those that make room for it.

        Its own is halfway to the queued job before that. Orders are moments in nanoseconds, so there nearly always is
        room; where there is none, the jobs before are spread over the next room. They are few, however many were moved
        there: each job that gets another order is written and reported.
        """
        earlier = sorted(self._earlier(job, before), key=lambda other: other.order, reverse=True)
        size = 0
        while True:
            is_all = size >= len(earlier)
            floor = before.order - ROOM * (size + 2) if is_all else earlier[size].order
            step = (before.order - floor) // (size + 2)
            if step > size or is_all:
                break
            size = min(len(earlier), max(1, 2 * size))
        spread = [*reversed(earlier[:size]), job]
        return {each.status.job_id: floor + step * number for number, each in enumerate(spread, 1)}

    def _earlier(self, job: Job, before: Job) -> Iterator[Job]:
        """The other queued jobs before `before`; no take is among them if that is behind the takes."""
        lowest = BEHIND if before.order >= BEHIND else -BEHIND
        for other in self._jobs.values():
            if lowest <= other.order < before.order and other is not job and other.status.state is JobState.QUEUED:
                yield other

    def new_order(self, training: bool = False) -> int:
        """The order of a job that is queued now: a take's after all other takes, a training's after all others."""
        if training:
            self._last_behind = max(BEHIND + time.time_ns(), self._last_behind + 1)
            return self._last_behind
        self._last_order = max(time.time_ns(), self._last_order + 1)
        return self._last_order


def _row_key(status: JobStatus) -> _RowKey:
    return int(status.state.ended), -status.created, status.job_id


def _parse_cursor(cursor: str) -> _RowKey:
    try:
        ended, before_1970, job_id = cursor[:200].split(" ")
        key = int(ended), float(before_1970), job_id
        if math.isnan(key[1]):
            raise ValueError("no number")
    except ValueError:
        raise ProtocolError(INVALID_PARAMS, "params.after must be the 'next' of another page.") from None
    return key
