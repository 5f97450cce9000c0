"""The statuses of all jobs: as the server reports them, and as this side knows them for jobs that it hasn't got.

There may be ten thousand, and this is asked at every tick and redraw. So each change costs only what it changes, and
the list in order is kept.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ...wan_backend.protocol.messages import (
    Hold,
    JobState,
    JobStatus,
    JobSummary,
    Problem,
    ProblemKind,
    ProgressParams,
    TakeRequest,
)
from ...wan_backend.protocol.sentences import NO_SENTENCE, Sentence
from . import oldest_generation

MAX_ENDED = 200
"""At most this many jobs that ended are shown; the search finds the older ones."""
_FEW = 100
"""Up to this many new jobs are put between the others one by one; more are sorted with them."""
RENDERING_SHARE = 0.1
"""How much of a job's bar the rendering of its sources has, if they are rendered."""
_RUNS, _WAITS, _HELD, _ENDED, _ENDED_ELSEWHERE = range(5)
_Key = tuple[int, int, str]
"""Which of these a job is; its turn, or of one that ended, when it was made, as a negative number; and its id: jobs are
shown in this order."""


@dataclass(frozen=True, eq=False)
class JobOrder:
    """The jobs that are shown, and how many others there are; another object once any of that has changed."""

    going_on: tuple[_Key, ...]
    """The jobs that run, wait or are held, in running order."""
    ended: tuple[_Key, ...]
    """The first of those that ended."""
    ended_count: int
    """How many have ended."""
    held_count: int
    """How many of those another window of Blender has."""

    @property
    def count(self) -> int:
        """How many jobs there are."""
        return len(self.going_on) + self.ended_count

    @property
    def to_make(self) -> int:
        """How many jobs run or wait for their turn: all that have not ended but those that are held."""
        return bisect_left(self.going_on, (_HELD,))

    @property
    def left_out(self) -> int:
        """How many jobs are not shown."""
        return self.ended_count - len(self.ended)

    def ids(self) -> list[str]:
        """The jobs that are shown, in their order."""
        return [job_id for _, _, job_id in (*self.going_on, *self.ended)]


class JobList:
    """What is known of every job, by id. The server's word counts before this side's."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        """The ids of the jobs that have a take."""
        self._server: dict[str, JobStatus] = {}
        self._local: dict[str, JobStatus] = {}
        self._requests: dict[str, TakeRequest] = {}
        """The requests of jobs that the server doesn't have yet, so that they are known only here."""
        self._running: set[str] = set()
        """Those that are being made, or wait for their turn without being held."""
        self._unended: set[str] = set()
        self._rendered: set[str] = set()
        """Those whose sources were rendered here first, which is part of their bar."""
        self._unsettled: set[str] = set()
        self._came_done: set[str] = set()
        self._to_render: set[str] = set()
        self._held: set[str] = set()
        self._keys: dict[str, _Key] = {}
        self._without_key: dict[str, None] = {}
        """In the order of their arrival, which is mostly the order in which they are shown."""
        self._going_on: list[_Key] = []
        """The keys of the jobs that have not ended, in order, and below, of those that have."""
        self._ended: list[_Key] = []
        self._order: JobOrder | None = None
        self._handed_out: list[JobStatus] | None = None
        self._pass: set[str] | None = None
        """The jobs that the pages so far have named; None if no list is on its way."""
        self._reported_since: set[str] = set()
        """Jobs that the server reported singly while the pages came: their pages are older."""

    # What is known

    def get(self, job_id: str) -> JobStatus | None:
        """The job's status; None if nobody knows it."""
        return self._server.get(job_id) or self._local.get(job_id)

    def all(self) -> list[JobStatus]:
        """Every job, in no order. Not for a tick."""
        return [*self._server.values(), *self._local.values()]

    def request_of(self, job_id: str) -> TakeRequest | None:
        """The request of a job that the server doesn't have (yet)."""
        return self._requests.get(job_id)

    def is_on_server(self, job_id: str) -> bool:
        """True if the server has the job."""
        return job_id in self._server

    @property
    def busy(self) -> bool:
        """True while a job goes on or waits for its turn."""
        return bool(self._running)

    @property
    def unended(self) -> set[str]:
        """The jobs that have not ended, also those that are held; only to be read."""
        return self._unended

    def ended_unsettled(self) -> list[JobStatus]:
        """The jobs that ended and that no saved file is known to know of."""
        return [status for job_id in self._unsettled if (status := self.get(job_id)) is not None]

    def done_unsettled(self) -> set[str]:
        """The jobs with a take that no saved file is known to know of."""
        return self.done & self._unsettled

    def pop_done(self) -> set[str]:
        """The jobs that were reported done since the last call."""
        came, self._came_done = self._came_done, set()
        return came

    def pop_to_render(self) -> set[str]:
        """The jobs that failed since the last call because their sources have to be rendered first."""
        came, self._to_render = self._to_render, set()
        return came

    def in_order(self, belongs_here: Callable[[JobStatus], bool]) -> list[JobStatus]:
        """All jobs in running order: what runs, what waits by its turn, what is held; then what ended, newest first,
        the open file's before those of others. The same list until something changes.

        Each of ten thousand is looked at: `order` says in less what a redraw needs.
        """
        if self._handed_out is None:
            self._place_new(belongs_here)
            keys = (*self._going_on, *self._ended)
            self._handed_out = [self._server.get(job_id) or self._local[job_id] for _, _, job_id in keys]
        return self._handed_out

    def order(self, belongs_here: Callable[[JobStatus], bool]) -> JobOrder:
        """The jobs that are shown. The same object while no more changes than how far a job is."""
        if self._order is None:
            self._place_new(belongs_here)
            ended, held = len(self._ended), len(self._held)
            self._order = JobOrder(tuple(self._going_on), tuple(self._ended[:MAX_ENDED]), ended, held)
        return self._order

    def reorder(self, belongs_here: Callable[[JobStatus], bool], among: Iterable[str] | None = None) -> None:
        """Give other places to those of the jobs `among` (of all jobs) that belong to another file than before.

        Only where an ended job stands depends on that, and of ten thousand, mostly none or a few have changed.
        """
        keys = self._ended if among is None else [self._keys[job_id] for job_id in among if job_id in self._keys]
        get = self._server.get
        moved = [
            job_id
            for place, _, job_id in keys
            if place >= _ENDED and (place == _ENDED) is not belongs_here(get(job_id) or self._local[job_id])
        ]
        if not moved:
            return
        if len(moved) > _FEW:
            gone = set(moved)
            self._ended = [key for key in self._ended if key[2] not in gone]
            for job_id in moved:
                del self._keys[job_id]
        else:
            for job_id in moved:
                self._take_out(job_id)
        self._without_key.update(dict.fromkeys(moved))
        self._order = self._handed_out = None

    # What the server reports

    def receive(self, status: JobStatus) -> None:
        """Take over a job's status from the server."""
        if self._pass is not None:
            self._reported_since.add(status.job_id)
        self._receive(status)

    def receive_progress(self, progress: ProgressParams) -> None:
        """Take over how far a job is. For a job that has ended or isn't known, the event is late or early: ignored."""
        status = self._server.get(progress.job_id)
        if status is None or status.state.ended or progress.state.ended:
            return
        self._put(
            self._server,
            replace(
                status,
                state=progress.state,
                step=progress.step,
                steps=progress.steps,
                progress=self._of_whole(progress.job_id, progress.progress),
                eta_seconds=progress.eta_seconds,
                sentence=progress.sentence,
                preview=progress.preview or status.preview,
                training=progress.training or status.training,
            ),
            only_progress=progress.state is status.state,
        )

    def begin_pages(self) -> None:
        """The server's list is asked for again; its pages arrive one by one."""
        self._pass = set()
        self._reported_since.clear()

    def receive_page(self, statuses: Iterable[JobStatus], last: bool) -> None:
        """A page of the list of jobs. What was reported of a job since the list was asked for is newer than its page.

        After the last page, jobs that were on none are gone.
        """
        if self._pass is None:
            return
        for status in statuses:
            self._pass.add(status.job_id)
            if status.job_id not in self._reported_since:
                self._receive(status)
        oldest_generation.take_in()
        if last:
            for job_id in self._server.keys() - self._pass - self._reported_since:
                self._drop(job_id)
            self._pass = None

    def receive_settled(self, job_ids: Iterable[str]) -> None:
        """The server has it on its disk that a saved file knows how these jobs ended."""
        for job_id in job_ids:
            status = self._server.get(job_id)
            if status is not None:
                self.receive(replace(status, settled=True))

    # What this side knows first

    def keep(self, status: JobStatus, request: TakeRequest | None) -> None:
        """Add a job that the server doesn't know (yet); `request` is None if nobody knows what was asked for."""
        if request is not None:
            self._requests[status.job_id] = request
        self._put(self._local, status)

    def add_queued(self, job_id: str, request: TakeRequest, sentence: Sentence) -> None:
        """A job is on its way to the server."""
        self._server.pop(job_id, None)
        summary = JobSummary.of(request)
        self.keep(JobStatus(job_id, JobState.QUEUED, summary, sentence=sentence, created=time.time()), request)

    def change(self, job_id: str, **changed: Any) -> None:
        """Change fields of a job that the server doesn't know (yet)."""
        status = self._local.get(job_id)
        if status is not None:
            self._put(self._local, replace(status, **changed))

    def rendered(self, job_id: str, share: float) -> bool:
        """So much of a job's sources is rendered here, which comes before its take; False if that was known."""
        status, progress = self._local.get(job_id), RENDERING_SHARE * share
        if status is None or status.progress == progress:
            return False
        self._rendered.add(job_id)
        self.change(job_id, progress=progress)
        return True

    def end(self, job_id: str, state: JobState, problem: Problem | None = None) -> None:
        """A job ended before the server had it, or before what was asked of it now could be done."""
        where = self._local if job_id in self._local else self._server
        status = where.get(job_id)
        if status is not None:
            sentence = problem.sentence if problem else NO_SENTENCE
            self._put(where, replace(status, state=state, problem=problem, sentence=sentence))

    def forget(self, job_ids: Iterable[str]) -> None:
        """The jobs are of no more interest."""
        for job_id in job_ids:
            if self._pass is not None:
                self._reported_since.add(job_id)
            self._drop(job_id)

    # Each change costs what it changes

    def _receive(self, status: JobStatus) -> None:
        self._local.pop(status.job_id, None)
        self._requests.pop(status.job_id, None)
        if status.job_id in self._rendered and not status.state.ended:
            status = replace(status, progress=self._of_whole(status.job_id, status.progress))
        self._put(self._server, status)

    def _of_whole(self, job_id: str, progress: float) -> float:
        """A server's share of the bar, behind that of what was done here before."""
        return RENDERING_SHARE + (1 - RENDERING_SHARE) * progress if job_id in self._rendered else progress

    def _put(self, where: dict[str, JobStatus], status: JobStatus, only_progress: bool = False) -> None:
        job_id = status.job_id
        before = self._server.get(job_id) or self._local.get(job_id)
        where[job_id] = status
        self._handed_out = None
        if only_progress:
            return
        self._order = None
        place = _place(status)
        _change(self._running, job_id, place in (_RUNS, _WAITS))
        _change(self._unended, job_id, place != _ENDED)
        _change(self._unsettled, job_id, status.state.ended and not status.settled)
        _change(self._held, job_id, status.state.ended and status.held_elsewhere)
        if status.state is not JobState.DONE:
            self.done.discard(job_id)
        elif job_id not in self.done:
            self.done.add(job_id)
            self._came_done.add(job_id)
        _change(self._to_render, job_id, _wants_rendering(status))
        if before is None or _sorted_by(before) != _sorted_by(status):
            self._take_out(job_id)
            self._without_key[job_id] = None

    def _drop(self, job_id: str) -> None:
        self._server.pop(job_id, None)
        self._local.pop(job_id, None)
        self._requests.pop(job_id, None)
        for each in (self._running, self._unended, self._unsettled, self._held):
            each.discard(job_id)
        for each in (self.done, self._came_done, self._to_render, self._rendered):
            each.discard(job_id)
        self._take_out(job_id)
        self._without_key.pop(job_id, None)
        self._order = self._handed_out = None

    def _take_out(self, job_id: str) -> None:
        key = self._keys.pop(job_id, None)
        if key is None:
            return
        for keys in (self._going_on, self._ended):
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                del keys[place]

    def _place_new(self, belongs_here: Callable[[JobStatus], bool]) -> None:
        """Give the new jobs their places among the others, which keep theirs and are not looked at."""
        new: dict[bool, list[_Key]] = {True: [], False: []}
        for job_id in self._without_key:
            status = self._server.get(job_id) or self._local[job_id]
            self._keys[job_id] = key = _key(status, belongs_here)
            new[job_id in self._unended].append(key)
        self._without_key.clear()
        for keys, added in ((self._going_on, new[True]), (self._ended, new[False])):
            if len(added) > _FEW:
                keys += added
                keys.sort()
            else:
                for key in added:
                    insort(keys, key)


def _place(status: JobStatus) -> int:
    """Where a job stands in running order, whichever file it belongs to."""
    if status.state.ended:
        return _ENDED
    if status.state is not JobState.QUEUED:
        return _RUNS
    return _WAITS if status.hold is Hold.NONE else _HELD


def _sorted_by(status: JobStatus) -> tuple[int, int, float]:
    """What its key is made of; whether it belongs here is another matter."""
    return _place(status), status.turn, status.created


def _key(status: JobStatus, belongs_here: Callable[[JobStatus], bool]) -> _Key:
    place, moment = _place(status), int(status.created * 1e9)
    if place == _ENDED:
        return (_ENDED if belongs_here(status) else _ENDED_ELSEWHERE), -moment, status.job_id
    return place, status.turn or moment, status.job_id  # a turn is the moment at which the job was queued


def _wants_rendering(status: JobStatus) -> bool:
    wants = status.problem is not None and status.problem.kind is ProblemKind.RENDER_FIRST
    return wants and status.state is JobState.FAILED and not (status.settled or status.held_elsewhere)


def _change(ids: set[str], job_id: str, present: bool) -> None:
    if present:
        ids.add(job_id)
    else:
        ids.discard(job_id)
