"""Messages about jobs that the server has yet to get: kept until it answers, and sent again to the next server.

Each message may come twice and counts once: the server may have taken it, and ended before it said so. Of one job, one
message is under way at a time, in the order in which they were asked for; of each kind, a few are, so that two thousand
jobs don't flood a server that has other things to say, and those that wait for a slow disk don't hold the other kinds.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...wan_backend.protocol import ProtocolError
from ...wan_backend.protocol.conversion import from_json
from ...wan_backend.protocol.errors import GONE, NO_SUCH_JOB
from ...wan_backend.protocol.messages import (
    Hold,
    HoldParams,
    JobIdsParams,
    JobParams,
    JobState,
    JobStatus,
    MoveParams,
    Problem,
    ProblemKind,
    SubmitParams,
    TakeRequest,
)
from ...wan_backend.protocol.sentences import Sentence, as_sentence
from ..backend.client import ChildClient
from .job_list import JobList

log = logging.getLogger(__name__)

MAX_UNDER_WAY = 8
"""At most this many messages of each kind wait for an answer."""
HELD_SECONDS = 10.0
"""A message that isn't answered in this time waits for something special, such as a share that is gone, and no longer
counts for MAX_UNDER_WAY."""
MAX_IDS = 1000
"""Of one settle or clear, so that its line stays far below the wire's limit."""
WAITING = Sentence("Waiting for the backend.")
_FORGOTTEN = Problem(
    ProblemKind.NOT_FOUND, Sentence("The backend no longer has this job: make the take again, then clear this job.")
)


@dataclass(frozen=True)
class _Message:
    """A message about one job. `request` is what to submit, or what a retry falls back on."""

    method: str
    request: TakeRequest | None = None
    hold: Hold = Hold.NONE
    before: str = ""

    def params(self, job_id: str) -> SubmitParams | JobParams | JobIdsParams | HoldParams | MoveParams:
        """What is sent with it."""
        if self.method == "clear":
            return JobIdsParams([job_id])
        if self.method == "submit" and self.request is not None:
            return SubmitParams(job_id, self.request)
        if self.method == "hold":
            return HoldParams(job_id, self.hold)
        return MoveParams(job_id, self.before) if self.method == "move" else JobParams(job_id)


_TURNS = ("hold", "resume", "move")
"""These say when a job has its turn; only the last of each counts."""


class Outbox:
    """Jobs to submit, cancel, retry, hold, resume, move, settle and clear."""

    def __init__(self, jobs: JobList, on_change: Callable[[], None]) -> None:
        self._jobs = jobs
        self._on_change = on_change
        self._messages: dict[str, deque[_Message]] = {}
        self._ready: dict[str, None] = {}
        """The jobs with a message that is not under way, in the order in which they are sent."""
        self._under_way: dict[str, tuple[str, float]] = {}
        """The jobs with a message that is, its method, and when it was sent."""
        self._may_be_there: set[str] = set()
        """Jobs whose submit was sent and not answered: a server that is gone may have taken them."""
        self._ids: dict[str, dict[str, None]] = {"settle": {}, "clear": {}}
        self._ids_under_way: dict[str, list[str]] = {}

    def submit(self, job_id: str, request: TakeRequest) -> None:
        """Ask for a take as soon as there is a server."""
        self._jobs.add_queued(job_id, request, WAITING)
        self._enqueue(job_id, _Message("submit", request))

    def resubmit(self, job_id: str, request: TakeRequest) -> None:
        """Ask for a take with another request than the server has for the job; it forgets that one first."""
        self._jobs.add_queued(job_id, request, WAITING)
        self._enqueue(job_id, _Message("clear"))
        self._enqueue(job_id, _Message("submit", request))

    def cancel(self, job_id: str) -> None:
        """End a job, whether the server has it yet or not."""
        waiting = self._messages.get(job_id)
        if waiting and waiting[0].method == "submit" and job_id not in self._may_be_there:
            self._forget(job_id)
            self._jobs.end(job_id, JobState.CANCELED)
        else:
            self._enqueue(job_id, _Message("cancel"))

    def hold(self, job_id: str, hold: Hold) -> None:
        """Let a job wait until it is resumed."""
        self._enqueue_instead(job_id, _Message("hold", hold=hold), ("hold", "resume"))

    def resume(self, job_id: str) -> None:
        """Give a held job its turn again."""
        self._enqueue_instead(job_id, _Message("resume"), ("hold", "resume"))

    def move(self, job_id: str, before: str) -> None:
        """Give a queued job its turn right before another one."""
        self._enqueue_instead(job_id, _Message("move", before=before), ("move",))

    def retry(self, job_id: str, request: TakeRequest | None) -> None:
        """Ask once more for a job that ended; it is submitted if the server doesn't have it, or turns out not to."""
        for ids in self._ids.values():
            ids.pop(job_id, None)  # what was known of its end is over
        if self._jobs.is_on_server(job_id):
            self.retry_at_server(job_id, request)
        elif request is not None:
            self.submit(job_id, request)
        else:
            self._jobs.end(job_id, JobState.FAILED, _FORGOTTEN)

    def retry_at_server(self, job_id: str, request: TakeRequest | None) -> None:
        """Ask once more for a job that the server has; if it turns out not to, the job is submitted again."""
        self._enqueue(job_id, _Message("retry", request))

    def clear(self, job_ids: Iterable[str]) -> None:
        """Have the server forget these jobs, which ended."""
        self._ids["clear"].update(dict.fromkeys(job_ids))

    def settle(self, job_ids: Iterable[str]) -> None:
        """Report that the saved file knows how these jobs ended."""
        self._ids["settle"].update(dict.fromkeys(job_ids))

    def server_gone(self) -> None:
        """Send again, before the rest, what was under way: it may not have arrived."""
        self._ready = {**dict.fromkeys(self._under_way), **self._ready}
        self._under_way.clear()
        self._ids_under_way.clear()

    def give_up(self, sentence: str) -> None:
        """End the waiting jobs with the reason `sentence`, because there will be no server for now."""
        for job_id, messages in list(self._messages.items()):
            if any(message.method == "submit" for message in messages):
                self._forget(job_id)
                self._jobs.end(job_id, JobState.FAILED, Problem(ProblemKind.INTERNAL, as_sentence(sentence)))
                self._on_change()

    def tick(self, client: ChildClient, deadline: float = math.inf) -> None:
        """Send what is due, one message at least, until `deadline` (of time.perf_counter): some are long."""
        while (job_id := self._next_due()) is not None:
            del self._ready[job_id]
            message = self._messages[job_id][0]
            self._under_way[job_id] = message.method, time.monotonic()
            if message.method == "submit":
                self._may_be_there.add(job_id)
            client.call(message.method, message.params(job_id), self._answered(job_id), self._failed(job_id, message))
            if time.perf_counter() > deadline:
                break
        for method, waiting in self._ids.items():
            if waiting and method not in self._ids_under_way:
                self._send_ids(client, method, waiting)

    def _next_due(self) -> str | None:
        """The first job whose message may be sent now."""
        since = time.monotonic() - HELD_SECONDS
        kinds = Counter(method for method, sent_at in self._under_way.values() if sent_at > since)
        return next((job_id for job_id in self._ready if kinds[self._messages[job_id][0].method] < MAX_UNDER_WAY), None)

    def _send_ids(self, client: ChildClient, method: str, waiting: dict[str, None]) -> None:
        due = [job_id for job_id in waiting if job_id not in self._messages][:MAX_IDS]
        if not due:
            return
        self._ids_under_way[method] = due

        def over() -> None:
            self._ids_under_way.pop(method, None)
            for job_id in due:
                waiting.pop(job_id, None)

        def answered(result: JobIdsParams) -> None:
            over()
            if method == "settle":
                self._jobs.receive_settled(result.job_ids)
            else:
                self._jobs.forget(result.job_ids)
            self._on_change()

        def failed(error: ProtocolError) -> None:
            if error.code != GONE:
                log.warning("The backend did not %s %d jobs: %s", method, len(due), error.message)
                over()

        client.call(method, JobIdsParams(due), answered, failed)

    def _enqueue(self, job_id: str, message: _Message) -> None:
        messages = self._messages.setdefault(job_id, deque())
        if message not in messages:
            messages.append(message)
        if job_id not in self._under_way:
            self._ready[job_id] = None

    def _enqueue_instead(self, job_id: str, message: _Message, others: tuple[str, ...]) -> None:
        """Send a message in place of `others` that have not been sent yet: the last word counts."""
        messages = self._messages.setdefault(job_id, deque())
        sent = 1 if job_id in self._under_way and messages else 0
        kept = [each for index, each in enumerate(messages) if index < sent or each.method not in others]
        messages.clear()
        messages.extend([*kept, message])
        if not sent:
            self._ready[job_id] = None

    def _forget(self, job_id: str) -> None:
        self._messages.pop(job_id, None)
        self._ready.pop(job_id, None)
        self._under_way.pop(job_id, None)

    def _over(self, job_id: str) -> None:
        """The job's message that was under way was answered."""
        self._under_way.pop(job_id, None)
        self._may_be_there.discard(job_id)
        messages = self._messages.get(job_id)
        if messages:
            messages.popleft()
        if messages:
            self._ready[job_id] = None
        else:
            self._messages.pop(job_id, None)

    def _answered(self, job_id: str) -> Callable[[JobStatus | JobIdsParams], None]:
        def answered(result: JobStatus | JobIdsParams) -> None:
            self._over(job_id)
            if isinstance(result, JobStatus):  # else it is forgotten there, and its submit comes next
                self._jobs.receive(result)
            self._on_change()

        return answered

    def _failed(self, job_id: str, message: _Message) -> Callable[[ProtocolError], None]:
        def failed(error: ProtocolError) -> None:
            if error.code == GONE:
                return  # it stays, and is sent to the next server
            self._over(job_id)
            self._on_error(job_id, message, error)
            self._on_change()

        return failed

    def _on_error(self, job_id: str, message: _Message, error: ProtocolError) -> None:
        """Show the refusal as the job's problem, unless a cancel came too late."""
        status = self._jobs.get(job_id)
        if message.method in _TURNS:
            log.warning("The backend did not %s a job: %s", message.method, error.message)
        elif message.method == "cancel":
            if error.code == NO_SUCH_JOB:
                self._jobs.end(job_id, JobState.CANCELED)
            else:
                log.warning("The backend did not cancel a job: %s", error.message)
        elif message.method == "retry":
            if error.code == NO_SUCH_JOB and message.request is not None:
                self.submit(job_id, message.request)
            elif status is not None and status.state.ended:  # else it is under way since an earlier retry
                problem = _FORGOTTEN if error.code == NO_SUCH_JOB else problem_of(error)
                self._jobs.end(job_id, JobState.FAILED, problem)
        else:
            self._messages.pop(job_id, None)  # nothing more can be said of what never came to be
            self._ready.pop(job_id, None)
            self._jobs.end(job_id, JobState.FAILED, problem_of(error))


def problem_of(error: ProtocolError) -> Problem:
    """The Problem that a refusal carries; one made of its sentence if it carries none."""
    try:
        return from_json(Problem, error.details, "data")
    except ProtocolError:
        return Problem(ProblemKind.INTERNAL, error.message)
