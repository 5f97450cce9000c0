"""Finds the jobs of servers that died on the disk.

A thread does this while the queue goes on: with ten thousand jobs it takes seconds. Each job has one holder,
whatever its state: the server that made it, or after its death the one that took over. Of what another live server
holds, jobs that nothing will be done for are shown by the others as well, and changed by none of them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from filelock import Timeout

from ..protocol.media import STEPS_FILE
from ..protocol.messages import JobState, Take
from ..storage.guarded_files import Stamp
from ..storage.guarded_files import stamp as stamp_of
from . import reading, take_files
from .job import WORKING, Job
from .owners import Owner, is_id
from .store import STATE_FILE, JobStore, state_of

log = logging.getLogger(__name__)

BATCH = 50
SHARED = (JobState.DONE, JobState.CANCELLED)
"""In these states nothing more will be done: every server shows such jobs once the one that made them is dead."""
NOBODY = "nobody"
"""The owner of jobs whose files name none."""


@dataclass
class Found:
    """A job that this server is to have; or with `elsewhere`, to show."""

    job: Job
    take: Take | None = None
    """Its take, where that is complete on the disk though the job does not know it."""
    goes_on: bool = False
    """Its worker left finished steps."""
    elsewhere: bool = False
    """Another live server holds it."""
    gone: bool = False
    """It was shown so far, and is to be shown no more: who holds it goes on with it, or has cleared it."""


@dataclass
class _Elsewhere:
    """A job of another server, as it was when read."""

    job: Job
    stamp: Stamp | None
    shown: bool


class Adoption:
    """Looks for jobs that no live server has. For one thread at a time."""

    def __init__(self, store: JobStore, owner: Owner) -> None:
        self._store, self._owner = store, owner
        self._elsewhere: dict[str, _Elsewhere] = {}
        """Jobs of other servers."""
        self._one_at_a_time = threading.Lock()
        self._failed = False
        self._holders: dict[str, str] = {}
        """The live server that has the jobs of an owner, for each owner; only during a search."""
        self._alive: dict[str, bool] = {}
        """Whether each other server lives; only during a search."""
        self._looked_at: Stamp | None = None
        """Stamp of the folder of the jobs at the last search."""

    def look(self, known: Collection[str]) -> Iterator[list[Found]]:
        """All jobs that are not `known` and that no other live server has, by and by; of those that one has, what is to
        be shown of them, where that changed."""
        with self._one_at_a_time:
            self._holders.clear()
            self._alive.clear()
            try:
                with self._owner.adopting():
                    self._store.remove_leftovers(
                        lambda owner_id: owner_id == self._owner.id or self._is_alive(owner_id)
                    )
                    yield from self._look(set(known))
                self._failed = False
            except (OSError, Timeout) as error:
                self._failed = True
                log.warning("The jobs of other servers could not be looked at: %s", error)

    def has_more(self) -> bool:
        """Whether another look would find more: a server died whose jobs are here, the last look failed, or jobs came
        or went while another server lives."""
        if not self._one_at_a_time.acquire(blocking=False):
            return False
        try:
            self._holders.clear()
            self._alive.clear()
            if self._failed or any([not self._is_other(each.job) for each in self._elsewhere.values()]):
                return True
            return self._store.stamp() != self._looked_at and self._owner.others_alive()
        finally:
            self._one_at_a_time.release()

    def holds_elsewhere(self, job_id: str) -> bool:
        """Whether another live server had the job at the last look."""
        return job_id in self._elsewhere

    @property
    def hidden(self) -> int:
        """Number of jobs that other live servers hold and that aren't shown."""
        return sum(not each.shown for each in list(self._elsewhere.values()))

    def _look(self, known: set[str]) -> Iterator[list[Found]]:
        batch: list[Found] = []
        seen: set[str] = set()
        first = not known
        self._looked_at = self._store.stamp()
        ids = self._store.ids()
        for job_id in set(self._elsewhere).difference(ids):
            batch += self._gone(self._elsewhere.pop(job_id))
        for job_id in ids:
            found = None if job_id in known else self._found(job_id, seen)
            if found is not None:
                batch.append(found)
            if len(batch) >= BATCH:
                yield batch
                batch = []
        yield batch
        if first:  # else those that are known were not read
            self._owner.forget_heirs(seen)

    def look_for_takes(self, jobs: list[Job]) -> Iterator[Found]:
        """Look for what a server that died left of each job in the media folder, which may be slow, and tidy there."""
        for job in jobs:
            try:
                yield self._left(job)
            except Exception:  # whatever lies there, it costs one job
                log.exception("What was left of the job %s could not be looked at", job.status.job_id)
                yield Found(job)

    def _found(self, job_id: str, seen: set[str]) -> Found | None:
        before, stamp = self._elsewhere.get(job_id), self._stamp(job_id)
        if before is not None and before.stamp == stamp and self._is_other(before.job):
            seen.add(_owner_of(before.job))
            return None
        kept = reading.job_of(job_id, self._store.folder(job_id))
        job = kept.job
        seen.add(_owner_of(job))
        if job.owner == self._owner.id:
            return None  # made, or cleared, while this went on
        if self._is_other(job):
            shown = _is_shared(job) and not self._is_alive(job.owner)
            self._elsewhere[job_id] = _Elsewhere(job, stamp, shown)
            if shown:
                return Found(job, elsewhere=True)
            return next(iter(self._gone(before)), None) if before is not None else None
        self._elsewhere.pop(job_id, None)
        if self._holder(_owner_of(job)) != self._owner.id:
            self._inherit(_owner_of(job))
        self._store.remove_temporaries(job_id)
        if kept.format == 1:
            try:
                self._store.upgrade(job_id, state_of(job), kept.plan)
            except OSError as error:
                log.warning("The job %s stays as version 0.1.0 wrote it: %s", job_id, error)
        job.at_media = 0 if _is_shared(job) else 1
        ran = job.status.state in WORKING
        return Found(job, goes_on=ran and (self._store.work_folder(job_id) / STEPS_FILE).is_file())

    def _gone(self, before: _Elsewhere) -> list[Found]:
        return [Found(before.job, elsewhere=True, gone=True)] if before.shown else []

    def _stamp(self, job_id: str) -> Stamp | None:
        """The stamp of the file that changes with a job's state; None where there is none."""
        try:
            return stamp_of(self._store.folder(job_id) / STATE_FILE)
        except OSError:
            return None

    def _inherit(self, owner_id: str) -> None:
        self._holders[owner_id] = self._owner.id
        try:
            self._owner.inherit(owner_id)
        except OSError as error:  # a full disk; better that two servers show these jobs than none
            log.warning("Other servers can't be told that this one has the jobs of %s: %s", owner_id, error)

    def _left(self, job: Job) -> Found:
        job_id = job.status.job_id
        take = take_files.find_take(job.media_folder, job_id)
        take_files.remove_partial(job.media_folder, job_id)
        return Found(job, take)

    def _is_other(self, job: Job) -> bool:
        """Whether another live server has the job."""
        return self._holder(_owner_of(job)) not in ("", self._owner.id)

    def _holder(self, owner_id: str) -> str:
        """The live server that has the jobs of that owner: itself, or who took over; empty: none."""
        if owner_id not in self._holders:
            heir = self._owner.heir(owner_id)
            if owner_id == self._owner.id or self._is_alive(owner_id):
                self._holders[owner_id] = owner_id
            elif heir and (heir == self._owner.id or self._is_alive(heir)):
                self._holders[owner_id] = heir
            else:
                self._holders[owner_id] = ""
        return self._holders[owner_id]

    def _is_alive(self, owner_id: str) -> bool:
        if owner_id not in self._alive:
            self._alive[owner_id] = self._owner.is_alive(owner_id)
        return self._alive[owner_id]


def _owner_of(job: Job) -> str:
    return job.owner if is_id(job.owner) else NOBODY


def _is_shared(job: Job) -> bool:
    return job.broken or job.status.state in SHARED
