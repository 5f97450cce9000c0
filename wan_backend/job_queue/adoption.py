"""The jobs of servers that died, found on the disk. Protocol only; reads and removes files, changes no job.

It may be done by a thread, while the queue goes on: with ten thousand jobs it takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from filelock import Timeout

from ..protocol.media import STEPS_FILE
from ..protocol.messages import JobState, Take
from . import reading, take_files, transitions
from .owners import Owner
from .store import Job, JobStore, state_of

log = logging.getLogger(__name__)

BATCH = 50
SHARED = (JobState.DONE, JobState.CANCELLED)
"""Nothing will be done for these: every server shows them, once the one that made them is dead."""


@dataclass
class Found:
    """A job that this server is to have."""

    job: Job
    take: Take | None = None
    """Its take, where it is whole on the disk, though the job does not know it."""
    goes_on: bool = False
    """Its worker left finished steps."""


class Adoption:
    """Looks for jobs that no live server has. For one thread at a time."""

    def __init__(self, store: JobStore, owner: Owner) -> None:
        self._store, self._owner = store, owner
        self._foreign: dict[str, Job] = {}
        """Jobs of other servers, as they were when read."""
        self._holders: dict[str, str] = {}
        """Which live server has what belonged to an owner; only while looking."""
        self._alive: dict[str, bool] = {}
        """Which other servers live; only while looking."""

    def look(self, known: Collection[str]) -> Iterator[list[Found]]:
        """All jobs that are not `known` and that no other live server has, by and by."""
        self._holders.clear()
        self._alive.clear()
        try:
            with self._owner.adopting():
                self._store.remove_leftovers(lambda owner_id: owner_id == self._owner.id or self._is_alive(owner_id))
                yield from self._look(set(known))
        except (OSError, Timeout) as error:
            log.warning("The jobs of other servers could not be looked at: %s", error)

    def _look(self, known: set[str]) -> Iterator[list[Found]]:
        batch: list[Found] = []
        seen: set[str] = set()
        first = not known
        for job_id in self._store.ids():
            if job_id in known or not self._is_free(job_id, seen):
                continue
            found = self._found(job_id, seen)
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

    def _is_free(self, job_id: str, seen: set[str]) -> bool:
        """False where it was read before, as the job of a server that still has it."""
        job = self._foreign.get(job_id)
        if job is None:
            return True
        seen.add(job.owner)
        if self._is_other(job):
            return False
        del self._foreign[job_id]
        return True

    def _found(self, job_id: str, seen: set[str]) -> Found | None:
        kept = reading.job_of(job_id, self._store.folder(job_id))
        job = kept.job
        seen.add(job.owner)
        if job.owner == self._owner.id:
            return None  # made, or cleared, while this went on
        if self._is_other(job):
            self._foreign[job_id] = job
            return None
        if not _is_shared(job) and job.owner and self._holder(job.owner) != self._owner.id:
            self._inherit(job.owner)
        self._store.remove_temporaries(job_id)
        if kept.format == 1:
            try:
                self._store.upgrade(job_id, state_of(job), kept.plan)
            except OSError as error:
                log.warning("The job %s stays as version 0.1.0 wrote it: %s", job_id, error)
        job.at_media = 0 if _is_shared(job) else 1
        ran = job.status.state in transitions.WORKING
        return Found(job, goes_on=ran and (self._store.work_folder(job_id) / STEPS_FILE).is_file())

    def _inherit(self, owner_id: str) -> None:
        self._holders[owner_id] = self._owner.id
        try:
            self._owner.inherit(owner_id)
        except OSError as error:  # a full disk; better that two servers show these jobs than none
            log.warning("Other servers can't be told that this one has the jobs of %s: %s", owner_id, error)

    def _left(self, job: Job) -> Found:
        job_id = job.status.job_id
        take = take_files.whole_take(job.media_folder, job_id)
        take_files.remove_partial(job.media_folder, job_id)
        return Found(job, take)

    def _is_other(self, job: Job) -> bool:
        """Whether another live server has the job."""
        if not job.owner:
            return False
        if _is_shared(job):
            return self._is_alive(job.owner)
        return self._holder(job.owner) not in ("", self._owner.id)

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


def _is_shared(job: Job) -> bool:
    return job.broken or job.status.state in SHARED
