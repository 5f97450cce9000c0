"""Holds jobs whose placeholder is gone, as by an undo, and resumes them when it is back, as by a redo.

A strip that we made waits for the takes that are being made for it as a placeholder does for its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...wan_backend.protocol.messages import Hold, JobStatus
from .job_list import JobList
from .open_file import OpenFile
from .outbox import Outbox

GONE_SECONDS = 1.0
"""A strip that is gone for less may just be pasted elsewhere."""


class PlaceholderHolds:
    """Compares the jobs that go on with the strips that wait for them."""

    def __init__(self, jobs: JobList, file: OpenFile, outbox: Outbox, clock: Callable[[], float] = time.monotonic):
        self._jobs, self._file, self._outbox, self._clock = jobs, file, outbox, clock
        self._gone_since: dict[str, float] = {}
        self._looked_for: set[str] = set()
        """Jobs without a strip for which a look through all strips was begun: they are held once that has ended."""
        self._begins = False
        """Whether such a look was begun in this round."""
        self._asked: dict[str, bool] = {}
        """Whether each of these jobs was last asked to wait; the server's word may still be on its way."""
        self._wanted: set[str] = set()
        """Jobs that a person has resumed without a placeholder."""

    def want(self, job_id: str) -> None:
        """A person has resumed the job: it isn't held again before it has a placeholder, and has lost that."""
        self._wanted.add(job_id)
        self._asked.pop(job_id, None)

    def look(self, is_at_hand: Callable[[str], bool]) -> None:
        """Hold and resume what the strips say now; jobs that are not `is_at_hand` can't be told yet."""
        unended = self._jobs.unended
        self._looked_for &= unended
        for known in (self._gone_since, self._asked):
            for job_id in [job_id for job_id in known if job_id not in unended]:
                del known[job_id]
        self._wanted &= unended
        self._begins = False
        for job_id in unended & self._file.history.seen:
            status = self._jobs.get(job_id)
            if status is not None and not status.held_elsewhere and is_at_hand(job_id):
                self._look_at(status)

    def _look_at(self, status: JobStatus) -> None:
        job_id = status.job_id
        if status.hold is Hold.PERSON:
            return
        held = self._asked.get(job_id, status.hold is Hold.NO_PLACEHOLDER)
        if self._file.waits_for(job_id):
            self._gone_since.pop(job_id, None)
            self._wanted.discard(job_id)
            self._looked_for.discard(job_id)
            if held:
                self._asked[job_id] = False
                self._outbox.resume(job_id)
        elif not held and job_id not in self._wanted:
            since = self._gone_since.setdefault(job_id, self._clock())
            if self._clock() - since >= GONE_SECONDS and self._is_gone_now(job_id):
                self._looked_for.discard(job_id)
                self._asked[job_id] = True
                self._outbox.hold(job_id, Hold.NO_PLACEHOLDER)

    def _is_gone_now(self, job_id: str) -> bool:
        """Whether a look through all strips that was begun for the job found none that waits for it.

        A property alone may have changed since the look before, which is no reason for one by itself.
        """
        if job_id in self._looked_for:
            return not self._file.looking
        if self._file.looking and not self._begins:
            return False  # that one may have passed its strip already
        if not self._begins:
            self._begins = True
            self._file.look_again()
        self._looked_for.add(job_id)
        return False
