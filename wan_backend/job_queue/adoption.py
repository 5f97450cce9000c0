"""Adopts the jobs of servers that died: finds them on the disk while the queue goes on.

Each job has one holder, whatever its state: the server that made it or, after its death, the one that took over. Jobs
that another live server holds and that nothing will be done for are shown by the others as well, and changed by none.

A search has two parts. The first reads the state folder, which takes seconds for ten thousand jobs; after it, the list
of jobs is complete. The second searches media folders, which may be on a slow share, for what the dead servers left; a
job starts only after it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from filelock import Timeout

from ..protocol.media import STEPS_FILE
from ..protocol.messages import JobState, Take
from ..storage.guarded_files import Stamp
from ..storage.guarded_files import stamp as stamp_of
from . import reading, take_files
from .job import WORKING, Job
from .owners import Owner, is_owner_id
from .store import STATE_FILE, JobStore, state_of
from .writer import Post

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_JOBS = 50
"""Jobs that are handed to the queue at once."""
GROUP_SECONDS = 0.1
MAX_SEARCH_THREADS = 32
"""Number of media folders that are searched at once; as long as fewer hang, they hold up none of the others."""
SHARED = (JobState.DONE, JobState.CANCELED)
"""In these states nothing more will be done: every server shows such jobs once the one that made them is dead."""
NOBODY = "nobody"
"""The owner of jobs whose files name none."""


@dataclass
class Found:
    """A job that this server is to have; or with `elsewhere`, to show."""

    job: Job
    take: Take | None = None
    """Its take, if that is complete on the disk though the job does not know it."""
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


class AbandonedJobSearch:
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
        be shown of them, if that changed."""
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
            if len(batch) >= BATCH_JOBS:
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
        job.media_cleanups = 0 if _is_shared(job) else 1
        ran = job.status.state in WORKING
        return Found(job, goes_on=ran and (self._store.work_folder(job_id) / STEPS_FILE).is_file())

    def _gone(self, before: _Elsewhere) -> list[Found]:
        return [Found(before.job, elsewhere=True, gone=True)] if before.shown else []

    def _stamp(self, job_id: str) -> Stamp | None:
        """The stamp of the file that changes with a job's state; None if there is none."""
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


class Adopter:
    """Starts searches and hands what they find to the queue. All but the search itself is done on one thread."""

    def __init__(
        self,
        search: AbandonedJobSearch,
        post: Post | None,
        known: Callable[[], Collection[str]],
        on_found: Callable[[list[Found]], None],
        on_media_checked: Callable[[list[Found]], None],
    ) -> None:
        """`on_found` gets the jobs that this server has from now on, `on_media_checked` what was left of them.

        Without `post`, all is done before `look` returns.
        """
        self._search, self._post = search, post
        self._known, self._on_found, self._on_media_checked = known, on_found, on_media_checked
        self._waiting: list[Callable[[], None]] = []
        self._looking = self._watching = False
        self._was_through = False

    def look(self, then: Callable[[], None] = lambda: None) -> None:
        """Search once, or wait for the search that goes on; `then` is called when the list of jobs is complete."""
        self._waiting.append(then)
        if self._looking:
            return
        self._looking = True
        known = list(self._known())
        if self._post is None:
            self._run(known, lambda do: do())
        else:
            threading.Thread(target=self._run, args=[known, self._post], name="adoption", daemon=True).start()

    @property
    def was_through(self) -> bool:
        """Whether a first search is over."""
        return self._was_through

    def when_through(self, then: Callable[[], None]) -> None:
        """Call `then` once every job was found that was on the disk when the server started."""
        if self._was_through:
            then()
        else:
            self.look(then)

    def look_where_freed(self) -> None:
        """Search again if a server died that had jobs of this folder, or the last search failed; else do nothing."""
        post = self._post
        if self._looking or self._watching or not self._was_through or post is None:
            return
        self._watching = True

        def watch() -> None:
            more = False
            try:
                more = self._search.has_more()
            except Exception:  # the edge of the thread
                log.exception("The other servers could not be looked at")
            post(functools.partial(self._on_watched, more))

        threading.Thread(target=watch, name="other servers", daemon=True).start()

    def _on_watched(self, more: bool) -> None:
        self._watching = False
        if more:
            self.look()

    def _run(self, known: Collection[str], post: Post) -> None:
        to_search: list[tuple[int, int, str, Job]] = []
        try:
            for batch in self._search.look(known):
                to_search += [_in_turn(found.job) for found in batch if found.job.media_cleanups]
                post(functools.partial(self._on_found, batch))
        except Exception:  # the edge of the thread: what was found stands, and who waits is answered
            log.exception("The jobs of other servers could not be looked at")
        post(self._on_search_through)
        folders: dict[str, list[Job]] = {}
        for *_, job in sorted(to_search, key=lambda each: each[:3]):
            folders.setdefault(job.media_folder, []).append(job)
        left: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        for jobs in folders.values():
            left.put(jobs)
        if self._post is not None:
            for _ in range(min(len(folders), MAX_SEARCH_THREADS) - 1):
                threading.Thread(target=self._look_for_takes, args=[left, post], name="takes", daemon=True).start()
        self._look_for_takes(left, post)

    def _look_for_takes(self, left: queue.SimpleQueue[list[Job]], post: Post) -> None:
        """Search one media folder after the other until none is left: one that hangs holds up its own jobs alone."""
        with contextlib.suppress(queue.Empty):
            while True:
                for group in _grouped(self._search.look_for_takes(left.get_nowait())):
                    post(functools.partial(self._on_media_checked, group))

    def _on_search_through(self) -> None:
        self._looking, self._was_through = False, True
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


def _owner_of(job: Job) -> str:
    return job.owner if is_owner_id(job.owner) else NOBODY


def _is_shared(job: Job) -> bool:
    return job.broken or job.status.state in SHARED


def _in_turn(job: Job) -> tuple[int, int, str, Job]:
    """The job with its rank in the search: one that ran may have its take, and one that is queued waits for this."""
    state = job.status.state
    rank = 0 if state in WORKING else 1 if state is JobState.QUEUED else 2
    return rank, job.order, job.status.job_id, job


def _grouped(items: Iterable[T]) -> Iterator[list[T]]:
    """Group the items: the first alone, so that the queue goes on at once, then as many as come in a moment."""
    group: list[T] = []
    begun = 0.0
    for item in items:
        group.append(item)
        if len(group) >= BATCH_JOBS or time.monotonic() >= begun + GROUP_SECONDS:
            yield group
            group, begun = [], time.monotonic()
    if group:
        yield group
