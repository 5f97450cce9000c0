"""The page's line to the server: a client like any other, with the jobs as the server tells of them.

The server is joined by `serve --stay`, so whoever comes to it by that has the same queue. A line that breaks is begun
anew by itself (`relay.line`), and the jobs are asked for again.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import queue
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ..protocol import ProtocolError
from ..protocol.messages import (
    HelloResult,
    JobDetails,
    JobIdsParams,
    JobParams,
    JobState,
    JobStatus,
    ListParams,
    ListResult,
    ModelsResult,
    Nothing,
    ProgressParams,
)
from ..relay.line import Line
from ..server.inbox import Call, Inbox, WorkerExit, WorkerLine
from ..server.worker_process import environment

log = logging.getLogger(__name__)

NAME = "the server"
PROJECT = "wan-backend web"
"""What jobs of the page say in place of a project: no file of Blender's takes them for its own."""
LIST_SECONDS = 20.0
"""How often the jobs are asked for again: no event tells of those that another client forgot."""
ANSWER_SECONDS = 60.0


class ServerLine:
    """Has a thread of its own; everything may be called from any thread."""

    def __init__(self, state: Path, flags: Sequence[str]) -> None:
        """`flags` are those of `serve`, for the case that no server is there yet."""
        command = [sys.executable, "-m", "wan_backend", "serve", "--stay", "--state", str(state), *flags]
        self._inbox: Inbox = queue.SimpleQueue()
        self._line = Line(
            NAME, command, state / "logs", self._inbox, self._on_open, self._on_event, self._on_change,
            environment=environment(online=True),
        )  # fmt: skip
        self._lock = threading.Lock()
        self._jobs: dict[str, JobStatus] = {}
        self._details: dict[str, JobDetails] = {}
        self._asked_for: set[str] = set()
        self._models = ModelsResult([])
        self._version = 0
        self._listed: dict[str, JobStatus] | None = None
        self._list_at = 0.0
        self._leaving = False
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)

    def start(self) -> None:
        """Connect."""
        self._thread.start()

    def close(self) -> None:
        """Leave the server, which goes on while there is something to be made."""
        self._inbox.put(Call(self._leave))
        self._thread.join(5.0)

    # What is known

    @property
    def version(self) -> int:
        """Counts up whenever something has changed."""
        return self._version

    @property
    def models(self) -> ModelsResult:
        """The models, as far as the server has told of them."""
        return self._models

    @property
    def sentence(self) -> str:
        """Why there is no line, in a sentence; empty while there is one."""
        sentence = str(self._line.sentence)
        return sentence[:1].upper() + sentence[1:]

    def jobs(self) -> list[JobStatus]:
        """All jobs: those that have not ended by their turn, then the others, the newest first."""
        with self._lock:
            jobs = [*self._jobs.values()]
        waiting = sorted((job for job in jobs if not job.state.ended), key=lambda job: (job.turn, job.created))
        return waiting + sorted((job for job in jobs if job.state.ended), key=lambda job: -job.created)

    def job(self, job_id: str) -> JobStatus | None:
        """The job of that id, if there is one."""
        with self._lock:
            return self._jobs.get(job_id)

    def details(self, job_id: str) -> JobDetails | None:
        """The request and the plan of one of the page's jobs, once the server has told of them."""
        with self._lock:
            return self._details.get(job_id)

    def all_details(self) -> list[JobDetails] | None:
        """Those of all the page's jobs; None as long as one is missing."""
        with self._lock:
            mine = [job_id for job_id, job in self._jobs.items() if is_mine(job)]
            return [self._details[each] for each in mine] if all(each in self._details for each in mine) else None

    def forget(self, job_id: str) -> None:
        """The job was cleared, of which no event tells."""
        with self._lock:
            self._jobs.pop(job_id, None)
        self._changed()

    # What is asked

    def call(self, method: str, params: Any) -> Any:
        """The method's result; waits for the line, and for the answer. Raises ProtocolError with a sentence."""
        answer: Future[Any] = Future()
        self._inbox.put(Call(lambda: self._line.call(method, params, answer.set_result, answer.set_exception)))
        try:
            return answer.result(ANSWER_SECONDS)
        except TimeoutError:
            raise ProtocolError(0, self.sentence or "The server does not answer; try again in a minute.") from None

    # The thread

    def _run(self) -> None:
        while not self._leaving:
            try:
                event = self._inbox.get(timeout=self._line.seconds_to_deadline())
            except queue.Empty:
                event = None
            try:
                match event:
                    case WorkerLine():
                        self._line.on_line(event)
                    case WorkerExit():
                        self._line.on_exit(event)
                    case Call(do):
                        do()
                if not self._leaving:
                    self._line.tick()
                    self._list_if_due()
            except Exception:  # the edge: the page must outlive any one event
                log.exception("Something failed while handling %.200r", event)
        self._line.close()

    def _leave(self) -> None:
        self._leaving = True

    def _list_if_due(self) -> None:
        if self._line.is_open and time.monotonic() >= self._list_at:
            self._list()

    def _on_open(self, hello: HelloResult) -> None:
        log.info("The server is process %d", hello.pid)
        self._line.call("models", Nothing(), self._take_models)
        self._list()

    def _list(self) -> None:
        self._list_at = time.monotonic() + LIST_SECONDS
        self._listed = {}
        self._ask_page("")

    def _ask_page(self, after: str) -> None:
        listed = self._listed

        def answered(page: ListResult) -> None:
            if listed is None or listed is not self._listed:
                return  # another look has begun meanwhile
            for job in page.jobs:
                listed.setdefault(job.job_id, job)  # an event that came meanwhile is newer
            if page.next:
                self._ask_page(page.next)
                return
            self._listed = None
            with self._lock:
                changed = self._jobs != listed
                self._jobs = listed
                self._details = {job_id: told for job_id, told in self._details.items() if job_id in listed}
            self._ask_details()
            if changed:
                self._changed()

        self._line.call("list", ListParams(after), answered)

    def _on_event(self, name: str, message: Any) -> None:
        if name == "job":
            self._take_job(message)
        elif name == "progress":
            self._take_progress(message)
        elif name == "models":
            self._take_models(message)

    def _take_models(self, models: ModelsResult) -> None:
        self._models = models
        self._changed()

    def _take_job(self, status: JobStatus) -> None:
        if self._listed is not None:
            self._listed[status.job_id] = status
        if is_mine(status) and status.state is JobState.CANCELED:
            self._line.call("clear", JobIdsParams([status.job_id]))  # whoever canceled it wants no more of it
            self.forget(status.job_id)
            return
        with self._lock:
            self._jobs[status.job_id] = status
        self._ask_details()
        self._changed()

    def _take_progress(self, report: ProgressParams) -> None:
        with self._lock:
            status = self._jobs.get(report.job_id)
            if status is None:
                return
            told = {each.name: getattr(report, each.name) for each in dataclasses.fields(report)}
            status = self._jobs[report.job_id] = dataclasses.replace(status, **told)
        if self._listed is not None:
            self._listed[report.job_id] = status
        self._changed()

    def _ask_details(self) -> None:
        """Ask for what the page's jobs were asked for, once."""
        with self._lock:
            new = [job_id for job_id, job in self._jobs.items() if is_mine(job) and job_id not in self._details]
        for job_id in new:
            if job_id not in self._asked_for:
                self._asked_for.add(job_id)
                again = functools.partial(self._forget_asking, job_id)
                self._line.call("details", JobParams(job_id), self._take_details, again)

    def _take_details(self, details: JobDetails) -> None:
        self._asked_for.discard(details.job_id)
        with self._lock:
            self._details[details.job_id] = details
        self._changed()

    def _forget_asking(self, job_id: str, _error: ProtocolError) -> None:
        self._asked_for.discard(job_id)

    def _on_change(self) -> None:
        self._changed()

    def _changed(self) -> None:
        self._version += 1


def is_mine(job: JobStatus) -> bool:
    """Whether the job was asked for on the page."""
    return job.summary.origin.project_id == PROJECT
