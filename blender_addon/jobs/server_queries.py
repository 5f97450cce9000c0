"""What is asked of the server because somebody looks at it: plans, thumbnails, searches and the details of jobs.

The model of the panel's plan is also asked to be warm: the next take will probably want it.

A draw says what it shows; a later tick asks for it, not at every keystroke, and keeps the answers.
"""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.conversion import to_json
from ...wan_backend.protocol.errors import GONE
from ...wan_backend.protocol.messages import (
    JobDetails,
    JobParams,
    Origin,
    Plan,
    PlanParams,
    ProblemKind,
    SearchParams,
    SearchResult,
    Source,
    TakeRequest,
    Thumbnail,
    ThumbnailsParams,
    ThumbnailsResult,
    WarmParams,
)
from ..backend.client import ChildClient

T = TypeVar("T")
QUIET_SECONDS = 0.3
"""A question is sent once it has stayed the same for this long."""
LOOK_AGAIN_SECONDS = 3.0
"""A file that can't be used may be replaced by one that can: after this, a draw has it looked at again."""
OF_FILES = (ProblemKind.BAD_SOURCE, ProblemKind.BAD_LORA, ProblemKind.FOLDER)
"""Problems that can end without any change in what is asked."""
MAX_PLANS_UNDER_WAY = 3
"""A plan may have to look at slow disks; the questions of a person who goes on typing must not pile up behind it."""
MAX_THUMBNAIL_ANSWERS = 100
"""All answers are forgotten once there are this many."""
MAX_DETAILS = 200
"""The details of the jobs that were used last are kept."""
MAX_DETAILS_UNDER_WAY = 4

OnRequest = Callable[[TakeRequest | None], None]
"""Called with what a job was asked for, or with None if nobody knows it."""


class PlanQuery:
    """The server's plan for the request that the panel shows."""

    def __init__(self, on_change: Callable[[], None], warms_up: Callable[[], bool] = lambda: False) -> None:
        """`warms_up` says whether the model of a plan is to be loaded before a take is asked for."""
        self._warms_up = warms_up
        self.plan: Plan | None = None
        """The newest answer; it may be that of an earlier request."""
        self.sentence = ""
        """Why there is no plan, if the server refused."""
        self._on_change = on_change
        self._wanted: TakeRequest | None = None
        self._wanted_since = 0.0
        self._asked: TakeRequest | None = None
        self._planned: TakeRequest | None = None
        self._look_again_at = math.inf
        self._under_way = 0

    def plan_of(self, request: TakeRequest) -> Plan | None:
        """The plan, if it is that of `request`."""
        return self.plan if self._planned == _plan_key(request) else None

    def want(self, request: TakeRequest) -> None:
        """Have a later tick ask for the plan of `request`; its seed and place make no difference. Safe in a draw."""
        key = _plan_key(request)
        now = time.monotonic()
        if key != self._wanted:
            self._wanted, self._wanted_since = key, now
        elif now >= self._look_again_at:
            self.forget()

    def tick(self, client: ChildClient) -> None:
        """Ask for the plan of the shown request, if it is new and has been left alone for a moment."""
        wanted = self._wanted
        if wanted is None or wanted == self._asked or time.monotonic() - self._wanted_since < QUIET_SECONDS:
            return
        if self._under_way >= MAX_PLANS_UNDER_WAY:
            return
        self._asked = wanted
        self._look_again_at = math.inf
        self._under_way += 1

        def answered(plan: Plan) -> None:
            self._under_way -= 1
            if wanted == self._wanted:
                self.plan, self.sentence, self._planned = plan, "", wanted
                if plan.problem is not None and plan.problem.kind in OF_FILES:
                    self._look_again_at = time.monotonic() + LOOK_AGAIN_SECONDS
                self._on_change()
                if self._warms_up():
                    client.call("warm", WarmParams(wanted))

        def failed(error: ProtocolError) -> None:
            self._under_way -= 1
            if error.code == GONE:
                self._asked = None  # the next server is asked
            elif wanted == self._wanted:
                self.refuse(error.message)

        client.call("plan", PlanParams(wanted), answered, failed)

    def refuse(self, sentence: str) -> None:
        """There is no plan, for that reason, until another is asked for."""
        self.plan, self.sentence = None, sentence
        self._on_change()

    def forget(self) -> None:
        """Ask again: the server, its models, or what it knows of the sources changed."""
        self._asked = None


class SearchQuery:
    """The jobs whose prompt has a text beyond its beginning, which is all that their statuses have of it."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._wanted: tuple[str, int] | None = None
        self._wanted_since = 0.0
        self._asked: tuple[str, int] | None = None
        self._under_way = False
        self._text = ""
        self._found: frozenset[str] = frozenset()

    def want(self, text: str, jobs: int) -> None:
        """The queue is searched for `text` now; empty: for nothing. With another number of jobs it is asked again."""
        wanted = (text, jobs) if text else None
        if wanted != self._wanted:
            self._wanted, self._wanted_since = wanted, time.monotonic()

    def found(self, text: str) -> frozenset[str]:
        """The jobs that the server has found; none until they are known."""
        return self._found if text == self._text else frozenset()

    def waits(self, text: str) -> bool:
        """Whether the server has yet to say what has that text."""
        return bool(text) and text != self._text

    def tick(self, client: ChildClient) -> None:
        """Ask for what is wanted, if it is new and has been left alone for a moment."""
        wanted = self._wanted
        if wanted is None or wanted == self._asked or self._under_way:
            return
        if time.monotonic() - self._wanted_since < QUIET_SECONDS:
            return
        self._asked, self._under_way = wanted, True

        def answered(result: SearchResult) -> None:
            self._under_way = False
            self._text, self._found = wanted[0], frozenset(result.job_ids)
            self._on_change()

        def failed(error: ProtocolError) -> None:
            self._under_way = False
            if error.code == GONE:
                self._asked = None  # the next server is asked
            else:
                answered(SearchResult([]))

        client.call("search", SearchParams(wanted[0]), answered, failed)

    def forget(self) -> None:
        """Ask again: the server changed."""
        self._asked, self._under_way = None, False


class ThumbnailQuery:
    """Small pictures of the sources that takes are made from, by what was asked."""

    def __init__(self, on_change: Callable[[], None], on_problem: Callable[[], None] = lambda: None) -> None:
        """`on_problem` is called when the server has found a file that it can't use: its plans say so from then on."""
        self._on_change, self._on_problem = on_change, on_problem
        self._known: dict[str, list[Thumbnail]] = {}
        self._look_again_at: dict[str, float] = {}
        """For the answers with files that can't be used."""
        self._wanted: ThumbnailsParams | None = None
        self._wanted_since = 0.0
        self._asking = False

    def of(self, request: TakeRequest) -> list[Thumbnail]:
        """The pictures of what `request` is made from; none until they are known. Safe in a draw."""
        sources = [_first_and_last(source) for source in request.pictured]
        if not sources:
            return []
        params = ThumbnailsParams(sources, request.width, request.height, request.guide)
        key = _thumbnails_key(params)
        if not self._is_known(key) and params != self._wanted:
            self._wanted, self._wanted_since = params, time.monotonic()
        return self._known.get(key, [])

    def tick(self, client: ChildClient) -> None:
        """Ask for what was looked at last, if it has been left alone for a moment and its files exist."""
        wanted = self._wanted
        if wanted is None or self._asking or time.monotonic() - self._wanted_since < QUIET_SECONDS:
            return
        self._wanted = None
        key = _thumbnails_key(wanted)
        if self._is_known(key):  # drawn again while the answer was on its way
            return
        if not all(_is_on_disk(source) for source in wanted.sources):
            return  # they are still to be rendered; the next draw asks again
        self._asking = True

        def answered(result: ThumbnailsResult) -> None:
            self._asking = False
            if len(self._known) >= MAX_THUMBNAIL_ANSWERS:
                self._known.clear()
                self._look_again_at.clear()
            self._known[key] = result.pictures
            self._look_again_at.pop(key, None)
            if result.problems:
                self._look_again_at[key] = time.monotonic() + LOOK_AGAIN_SECONDS
                self._on_problem()
            self._on_change()

        def failed(error: ProtocolError) -> None:
            if error.code == GONE:
                self._asking = False
            else:
                answered(ThumbnailsResult([]))

        client.call("thumbnails", wanted, answered, failed)

    @property
    def busy(self) -> bool:
        """True while a question waits to be sent or answered."""
        return self._asking or self._wanted is not None

    def forget(self) -> None:
        """Drop all answers, because the server is gone; before the next one starts, the files may change."""
        self._asking = False
        self._known.clear()
        self._look_again_at.clear()

    def _is_known(self, key: str) -> bool:
        return key in self._known and time.monotonic() < self._look_again_at.get(key, math.inf)


class DetailsQuery:
    """The request and the plan of single jobs: a status travels without them."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._known: OrderedDict[str, JobDetails] = OrderedDict()
        self._learned: OrderedDict[str, TakeRequest] = OrderedDict()
        self._refused: OrderedDict[str, None] = OrderedDict()
        self._wanted: dict[str, list[OnRequest]] = {}
        self._under_way: set[str] = set()

    def request_of(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for, as reported by the server or kept by a strip; None until it is known."""
        known = self._known.get(job_id)
        return known.request if known is not None else self._learned.get(job_id)

    def reported_request(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for as the server has it, which may differ from what a strip keeps."""
        known = self._known.get(job_id)
        return known.request if known is not None else None

    def plan_of(self, job_id: str) -> Plan | None:
        """What was planned for the job; None until it is known, and `want` asks for it."""
        known = self._known.get(job_id)
        return known.plan if known is not None else None

    def learn(self, job_id: str, request: TakeRequest) -> None:
        """Keep a request that was found somewhere else, such as on a strip."""
        _keep(self._learned, job_id, request)

    def want(self, job_id: str, then: OnRequest | None = None) -> None:
        """Ask the server, unless it has answered. `then` is called once the answer is there, never from here."""
        if then is None and (job_id in self._known or job_id in self._refused):
            return
        waiting = self._wanted.setdefault(job_id, [])
        if then is not None:
            waiting.append(then)

    def job_changed(self, job_id: str) -> None:
        """The job's state changed: if it had no plan, it may have one by now."""
        known = self._known.get(job_id)
        if known is not None and known.plan is None:
            self._learned[job_id] = self._known.pop(job_id).request
        self._refused.pop(job_id, None)

    def tick(self, client: ChildClient) -> None:
        """Ask for what is wanted, a few jobs at a time."""
        if len(self._wanted) == len(self._under_way):
            return
        for job_id in list(self._wanted):
            if len(self._under_way) >= MAX_DETAILS_UNDER_WAY:
                return
            if job_id not in self._under_way:
                self._under_way.add(job_id)
                client.call("details", JobParams(job_id), self._answered, self._failed(job_id))

    def server_gone(self) -> None:
        """Ask the next server for what this one has not answered."""
        self._under_way.clear()
        self._refused.clear()

    def give_up(self) -> None:
        """Call all callbacks with None, because there will be no server for now."""
        for job_id in list(self._wanted):
            self._answer(job_id, None)

    def _answered(self, details: JobDetails) -> None:
        _keep(self._known, details.job_id, details)
        self._learned.pop(details.job_id, None)
        self._answer(details.job_id, details.request)
        self._on_change()

    def _failed(self, job_id: str) -> Callable[[ProtocolError], None]:
        def failed(error: ProtocolError) -> None:
            if error.code != GONE:
                _keep(self._refused, job_id, None)
                self._answer(job_id, self._learned.get(job_id))
                self._on_change()

        return failed

    def _answer(self, job_id: str, request: TakeRequest | None) -> None:
        self._under_way.discard(job_id)
        for then in self._wanted.pop(job_id, []):
            then(request)


def _plan_key(request: TakeRequest) -> TakeRequest:
    return replace(request, seed=0, origin=Origin())


def _first_and_last(source: Source) -> Source:
    """The source with two of its pictures: no other is shown, and all of a long one would make a long message."""
    if source.is_movie or len(source.files) < 3:
        return source
    return replace(source, files=[source.files[0], source.files[-1]], frames=2)


def _is_on_disk(source: Source) -> bool:
    return all(os.path.isfile(os.path.join(source.folder, name)) for name in {*source.files[:1], *source.files[-1:]})


def _thumbnails_key(params: ThumbnailsParams) -> str:
    return str(to_json(params))


def _keep(kept: OrderedDict[str, T], job_id: str, value: T) -> None:
    kept[job_id] = value
    kept.move_to_end(job_id)
    while len(kept) > MAX_DETAILS:
        kept.popitem(last=False)
