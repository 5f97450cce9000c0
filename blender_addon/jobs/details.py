"""What jobs were asked for and what was planned for them, asked of the server one by one when someone wants it. No bpy.

A status travels without its request; a few hundred of these are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.errors import GONE
from ...wan_backend.protocol.messages import JobDetails, JobParams, Plan, TakeRequest
from ..backend.client import Client

T = TypeVar("T")
MOST = 200
MOST_UNDER_WAY = 4

Then = Callable[[TakeRequest | None], None]
"""Given the request, or None where nobody knows it."""


class Details:
    """The last few hundred that were wanted, by job."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._known: OrderedDict[str, JobDetails] = OrderedDict()
        self._learned: OrderedDict[str, TakeRequest] = OrderedDict()
        self._refused: OrderedDict[str, None] = OrderedDict()
        self._wanted: dict[str, list[Then]] = {}
        self._under_way: set[str] = set()

    def request_of(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for; None until it is known."""
        known = self._known.get(job_id)
        return known.request if known is not None else self._learned.get(job_id)

    def told(self, job_id: str) -> TakeRequest | None:
        """What the job was asked for, by the server's own word, and not as a strip of some file has it."""
        known = self._known.get(job_id)
        return known.request if known is not None else None

    def plan_of(self, job_id: str) -> Plan | None:
        """What was planned for the job; None until it is known."""
        known = self._known.get(job_id)
        return known.plan if known is not None else None

    def learn(self, job_id: str, request: TakeRequest) -> None:
        """The request is known from elsewhere, as from a strip."""
        _keep(self._learned, job_id, request)

    def want(self, job_id: str, then: Then | None = None) -> None:
        """Ask the server, unless it has answered. `then` is called once the answer is there, never from here."""
        if then is None and (job_id in self._known or job_id in self._refused):
            return
        waiting = self._wanted.setdefault(job_id, [])
        if then is not None:
            waiting.append(then)

    def changed(self, job_id: str) -> None:
        """The job's state is another: what was not planned yet may be by now."""
        known = self._known.get(job_id)
        if known is not None and known.plan is None:
            self._learned[job_id] = self._known.pop(job_id).request
        self._refused.pop(job_id, None)

    def forget(self, job_id: str) -> None:
        """The job is asked for anew, perhaps otherwise."""
        for kept in (self._known, self._learned, self._refused):
            kept.pop(job_id, None)

    def tick(self, client: Client) -> None:
        """Ask for what is wanted; at most a few at a time."""
        if len(self._wanted) == len(self._under_way):
            return
        for job_id in list(self._wanted):
            if len(self._under_way) >= MOST_UNDER_WAY:
                return
            if job_id not in self._under_way:
                self._under_way.add(job_id)
                client.call("details", JobParams(job_id), self._answered, self._failed(job_id))

    def server_gone(self) -> None:
        """What was asked is asked of the next one."""
        self._under_way.clear()
        self._refused.clear()

    def give_up(self) -> None:
        """There will be no server for now: who waits is told that nobody knows."""
        for job_id in list(self._wanted):
            self._tell(job_id, None)

    def _answered(self, details: JobDetails) -> None:
        _keep(self._known, details.job_id, details)
        self._learned.pop(details.job_id, None)
        self._tell(details.job_id, details.request)
        self._on_change()

    def _failed(self, job_id: str) -> Callable[[ProtocolError], None]:
        def failed(error: ProtocolError) -> None:
            if error.code != GONE:
                _keep(self._refused, job_id, None)
                self._tell(job_id, self._learned.get(job_id))
                self._on_change()

        return failed

    def _tell(self, job_id: str, request: TakeRequest | None) -> None:
        self._under_way.discard(job_id)
        for then in self._wanted.pop(job_id, []):
            then(request)


def _keep(kept: OrderedDict[str, T], job_id: str, value: T) -> None:
    kept[job_id] = value
    kept.move_to_end(job_id)
    while len(kept) > MOST:
        kept.popitem(last=False)
