"""Tracks what is on its way to the disk for each job, and what could not be written.

Without `post`, all is done before a call returns; with it, other threads write, and results come through it.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ..protocol.errors import result_or_error
from ..protocol.messages import Plan, TakeRequest
from ..protocol.sentences import Sentence
from .job import Job
from .store import JobStore, state_of
from .writer import AtOnce, Done, Post, Writer, WriterThread

log = logging.getLogger(__name__)


@dataclasses.dataclass
class _Writes:
    """Writes of a job that are on their way."""

    count: int = 0
    waiting: list[Callable[[], None]] = dataclasses.field(default_factory=list)


class Saving:
    """Writes for the queue."""

    def __init__(self, store: JobStore, post: Post | None) -> None:
        self._store, self._post = store, post
        self._writer: Writer = AtOnce(store.save) if post is None else WriterThread(store.save, post)
        self._writes: dict[str, _Writes] = {}
        self._unsaved: dict[str, Job] = {}
        self._threads: set[threading.Thread] = set()

    def create(self, job: Job, request: TakeRequest, plan: Plan, then: Done) -> None:
        """Put a new job on the disk."""
        job_id, owner, state = job.status.job_id, job.owner, state_of(job)
        self._writer.do(lambda: self._store.create(job_id, owner, state, request, plan), then)

    def remove(self, job: Job, owner: str, then: Done) -> None:
        """Take a job from the disk, after what is urgent: thousands may go at once.

        No state of it is written after that, for its id may be another job's by then.
        """
        job_id = job.status.job_id
        job.removed = True
        self._unsaved.pop(job_id, None)
        self._writer.drop(job_id)
        self.hold(job)

        def done(error: OSError | None) -> None:
            if error is not None:
                job.removed = False
                self.save(job, urgent=False)
            then(error)
            self.let_go(job)

        self._writer.do(functools.partial(self._store.remove, job_id, owner), done, urgent=False)

    def save(self, job: Job, urgent: bool = True) -> None:
        """Write the job's state as it is now."""
        self.hold(job)
        self._writer.save(job.status.job_id, state_of(job), functools.partial(self._on_saved, job), urgent)

    def save_unsaved(self) -> None:
        """Write what could not be written before."""
        for job in list(self._unsaved.values()):
            if not self.is_on_its_way(job.status.job_id):
                self.save(job, urgent=False)

    def is_unsaved(self, job_id: str) -> bool:
        """Whether the disk has an older state of the job than there is, as it could not be written."""
        return job_id in self._unsaved

    def put(self, job: Job, work: Callable[[], None]) -> None:
        """Have something of the job done on the disk that it can be without."""
        self.hold(job)

        def done(error: OSError | None) -> None:
            if error is not None:
                log.warning("The folder of job %s could not be changed: %s", job.status.job_id, error)
            self.let_go(job)

        self._writer.do(work, done)

    def hold(self, job: Job) -> None:
        """Something of the job is on its way to the disk, until `let_go`."""
        self._writes.setdefault(job.status.job_id, _Writes()).count += 1

    def let_go(self, job: Job) -> None:
        """One write that `hold` began is done."""
        writes = self._writes[job.status.job_id]
        writes.count -= 1
        if writes.count == 0:
            del self._writes[job.status.job_id]
            for then in writes.waiting:
                then()

    def is_on_its_way(self, job_id: str) -> bool:
        """Whether something of the job is not on the disk yet."""
        return job_id in self._writes

    def when_written(self, job_id: str, then: Callable[[], None]) -> None:
        """Call `then` once what is known of the job is on the disk, or can't be put there."""
        writes = self._writes.get(job_id)
        if writes is None:
            then()
        else:
            writes.waiting.append(then)

    def in_thread(self, name: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do what may take long on a thread of its own; `then` is given what came of it, or a ProtocolError."""
        what = Sentence("Reading or changing files ({name})", name=name)
        post = self._post
        if post is None:
            then(result_or_error(work, what))
            return

        def do() -> None:
            came = result_or_error(work, what)
            self._threads.discard(thread)
            post(lambda: then(came))

        thread = threading.Thread(target=do, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def close(self, timeout_seconds: float) -> None:
        """The server leaves: put all on the disk that waits for it, as far as the time allows."""
        until = time.monotonic() + timeout_seconds
        self._writer.close(timeout_seconds)
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))

    def _on_saved(self, job: Job, error: OSError | None) -> None:
        job_id = job.status.job_id
        if error is None:
            self._unsaved.pop(job_id, None)
        elif not job.removed:
            if job_id not in self._unsaved:
                log.error("The state of job %s could not be written, it is kept: %s", job_id, error)
            self._unsaved[job_id] = job
        self.let_go(job)
