"""Runs the search for jobs of dead servers while the queue goes on.

A search has two parts. The first reads the state folder; after it, the list of jobs is complete. The second searches
media folders, which may be on a slow share, for what the dead servers left; a job starts only after it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

from ..protocol.messages import JobState
from .adoption import Adoption, Found
from .job import WORKING, Job
from .writer import Post

log = logging.getLogger(__name__)

T = TypeVar("T")

GROUP_SECONDS = 0.1
GROUP = 50
MAX_SEARCH_THREADS = 32
"""Number of media folders that are searched at once; as long as fewer hang, they hold up none of the others."""


class Adopter:
    """Starts searches and gives what they find to the queue. All but the search itself is done on one thread."""

    def __init__(
        self,
        adoption: Adoption,
        post: Post | None,
        known: Callable[[], Collection[str]],
        on_found: Callable[[list[Found]], None],
        on_media_checked: Callable[[list[Found]], None],
    ) -> None:
        """`take_in` is given jobs that this server has from now on, `take_left` what was left of them; without `post`,
        all is done before `look` returns."""
        self._adoption, self._post = adoption, post
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
        """Search again where a server died that had jobs of this folder, or the last search failed; else do nothing."""
        post = self._post
        if self._looking or self._watching or not self._was_through or post is None:
            return
        self._watching = True

        def watch() -> None:
            more = False
            try:
                more = self._adoption.has_more()
            except Exception:  # the edge of the thread
                log.exception("The other servers could not be looked at")
            post(functools.partial(self._is_watched, more))

        threading.Thread(target=watch, name="other servers", daemon=True).start()

    def _is_watched(self, more: bool) -> None:
        self._watching = False
        if more:
            self.look()

    def _run(self, known: Collection[str], post: Post) -> None:
        at_media: list[tuple[int, int, str, Job]] = []
        try:
            for batch in self._adoption.look(known):
                at_media += [_in_turn(found.job) for found in batch if found.job.at_media]
                post(functools.partial(self._on_found, batch))
        except Exception:  # the edge of the thread: what was found stands, and who waits is answered
            log.exception("The jobs of other servers could not be looked at")
        post(self._is_through)
        folders: dict[str, list[Job]] = {}
        for *_, job in sorted(at_media, key=lambda each: each[:3]):
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
                for group in _grouped(self._adoption.look_for_takes(left.get_nowait())):
                    post(functools.partial(self._on_media_checked, group))

    def _is_through(self) -> None:
        self._looking, self._was_through = False, True
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


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
        if len(group) >= GROUP or time.monotonic() >= begun + GROUP_SECONDS:
            yield group
            group, begun = [], time.monotonic()
    if group:
        yield group
