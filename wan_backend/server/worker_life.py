"""The worker's life: started when wanted, cancelled or killed in time, not respawned without end. Protocol only.

States: none, starting, ready, busy, broken. Single-threaded: all methods are called by the main thread.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Protocol

from ..protocol import PROTOCOL_VERSION, OverlongLine, ProtocolError
from ..protocol.conversion import from_json, to_json
from ..protocol.envelope import Message, Notification, Request, Response, parse_line
from ..protocol.errors import INTERNAL_ERROR, REFUSED
from ..protocol.messages import (
    JobParams,
    Problem,
    ProblemKind,
    ProgressParams,
    ReadyParams,
    RunParams,
    RunResult,
    WorkerState,
    WorkerStatus,
)
from . import death
from .inbox import Call, Inbox, WorkerExit, WorkerLine
from .worker_process import WorkerProcess

log = logging.getLogger(__name__)

CANCEL_SECONDS = 1.5
"""How long a worker has to stop a job by itself."""
START_SECONDS = 300.0
"""How long a worker has to say that it is ready; importing torch from a slow disk takes its time."""
QUICK_SECONDS = 30.0
QUICK_DEATHS = 3
"""A worker that dies within QUICK_SECONDS of its start without an answer dies quickly; so many in a row are enough."""
RELEASE_SECONDS = 1.0


class Listener(Protocol):
    """Who hears of what the worker does."""

    def worker_changed(self, status: WorkerStatus) -> None:
        """The worker's life changed."""

    def job_progressed(self, report: ProgressParams) -> None:
        """The worker's job went on."""

    def job_finished(self, job_id: str, result: RunResult) -> None:
        """The worker made the take."""

    def job_failed(self, job_id: str, problem: Problem) -> None:
        """The worker could not, or died."""


class WorkerLife:
    """At most one worker, and whether there may be another."""

    def __init__(self, command: list[str], environment: dict[str, str], logs: Path, inbox: Inbox) -> None:
        self._command, self._environment, self._logs, self._inbox = command, environment, logs, inbox
        self.listener: Listener
        self.status = WorkerStatus(WorkerState.NONE)
        self._process: WorkerProcess | None = None
        self._started = 0
        self._started_at = 0.0
        self._answered = False
        self._quick_deaths = 0
        self._job_id = ""
        self._job_request = 0
        self._cancelled = False
        self._deadline: float | None = None
        self._expected_end = False
        self._killed_because = ""

    @property
    def busy_with(self) -> str:
        """The job that the worker has, or empty."""
        return self._job_id

    @property
    def can_take_a_job(self) -> bool:
        """Whether `run` may be called."""
        return self.status.state == "ready"

    def want(self) -> None:
        """Have a worker, unless there is one or none may be started."""
        if self._process is not None or self.status.state == "broken":
            return
        self._started += 1
        self._answered = self._expected_end = False
        self._killed_because = ""
        self._started_at = time.monotonic()
        try:
            self._process = WorkerProcess(self._started, self._command, self._environment, self._logs, self._inbox)
        except OSError as error:
            self._died(f"could not be started ({error.strerror or error})", None)
            self._inbox.put(Call(lambda: None))  # no thread will tell of its end, and a job may wait for the next try
            return
        log.info("Worker %d started: process %d", self._started, self._process.pid)
        self._deadline = self._started_at + START_SECONDS
        self._set(WorkerStatus(WorkerState.STARTING, sentence="The worker is starting."))

    def run(self, params: RunParams) -> None:
        """Give the worker a job."""
        assert self._process is not None and self.can_take_a_job
        self._job_id, self._cancelled = params.job_id, False
        self._job_request += 1
        self._process.send(Request(self._job_request, "run", to_json(params)).line())
        self._set_state("busy", "A take is being made.")

    def cancel(self, job_id: str) -> None:
        """Stop the worker's job; it is killed if it doesn't answer in time."""
        if job_id != self._job_id or self._cancelled or self._process is None:
            return
        self._cancelled = True
        self._deadline = time.monotonic() + CANCEL_SECONDS
        self._process.send(Request(f"cancel-{self._job_request}", "cancel", to_json(JobParams(job_id))).line())

    def release(self) -> None:
        """End an idle worker, and forgive those that died."""
        self.reset()
        if self._process is not None and not self._job_id:
            self._expected_end = True
            self._process.close()
            self._deadline = time.monotonic() + RELEASE_SECONDS
            self._set(WorkerStatus(WorkerState.NONE, sentence="The card is free."))

    def reset(self) -> None:
        """Forgive those that died: a person wants to try again."""
        self._quick_deaths = 0
        if self.status.state == "broken":
            self._set(WorkerStatus(WorkerState.NONE))

    def stop(self, timeout_seconds: float) -> None:
        """End the worker at once: the server leaves."""
        if self._process is not None:
            self._expected_end = True
            self._process.kill()
            self._process.wait(timeout_seconds)

    def seconds_to_deadline(self) -> float | None:
        """When `tick` has something to do."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def tick(self) -> None:
        """Kill the worker where its time is up."""
        if self._process is not None and self._deadline is not None and time.monotonic() >= self._deadline:
            self._killed_because = (
                "did not get ready in time" if self.status.state == "starting" else "did not stop in time"
            )
            log.warning("Worker %d %s and is killed", self._process.number, self._killed_because)
            self._deadline = None
            self._process.kill()

    def on_line(self, event: WorkerLine) -> None:
        """The worker said something; what can't be understood is logged and passed over."""
        if self._process is None or event.worker != self._process.number:
            return
        try:
            if isinstance(event.line, OverlongLine):
                raise ProtocolError(INTERNAL_ERROR, "The line was too long.")
            self._on_message(parse_line(event.line))
        except ProtocolError as error:
            log.warning("Worker %d said what can't be understood: %s", event.worker, error.message)

    def on_exit(self, event: WorkerExit) -> None:
        """The worker ended."""
        process = self._process
        if process is None or event.worker != process.number:
            return
        self._process = None
        self._deadline = None
        if self._expected_end:
            log.info("Worker %d ended", event.worker)
            return
        self._died(self._killed_because or death.in_words(event.code, process.log_file), process.log_file)

    def _on_message(self, message: Message) -> None:
        if isinstance(message, Response):
            if message.id == self._job_request and self._job_id:
                self._on_answer(message)
        elif isinstance(message, Notification) and message.method == "ready":
            self._on_ready(from_json(ReadyParams, message.params))
        elif isinstance(message, Notification) and message.method == "progress":
            report = from_json(ProgressParams, message.params)
            if report.job_id == self._job_id and not self._cancelled:
                self.listener.job_progressed(report)

    def _on_ready(self, ready: ReadyParams) -> None:
        if self.status.state != "starting" or self._process is None:
            return
        if ready.protocol != PROTOCOL_VERSION:
            log.error("The worker speaks version %d of the protocol", ready.protocol)
            self._process.kill()
            return
        self._deadline = None
        sizes = (ready.device_bytes, ready.host_bytes)
        self._set(WorkerStatus(WorkerState.READY, ready.device, ready.torch, "The worker is ready.", *sizes))

    def _on_answer(self, answer: Response) -> None:
        job_id, self._job_id = self._job_id, ""
        self._deadline = None
        self._answered = True
        self._quick_deaths = 0
        self._set_state("ready", "The worker is ready.")
        if answer.error is not None:
            self.listener.job_failed(job_id, self._problem_of(answer.error))
            return
        try:
            self.listener.job_finished(job_id, from_json(RunResult, answer.result, "result"))
        except ProtocolError as error:
            self.listener.job_failed(job_id, self._problem_of({"message": error.message}))

    def _problem_of(self, error: dict[str, object]) -> Problem:
        if error.get("code") == REFUSED:
            try:
                return from_json(Problem, error.get("data"), "data")
            except ProtocolError as wrong:
                log.warning("The worker refused without saying why: %s", wrong.message)
        said = str(error.get("message") or "it did not say why")[:300].rstrip(".")
        log_file = str(self._process.log_file) if self._process else ""
        return Problem(ProblemKind.INTERNAL, f"The worker failed ({said}); retry, or look in its log.", log=log_file)

    def _died(self, how: str, log_file: Path | None) -> None:
        log.error("Worker %d %s", self._started, how)
        job_id, self._job_id = self._job_id, ""
        shown = str(log_file or "")
        quick = time.monotonic() - self._started_at < QUICK_SECONDS or self.status.state == "starting"
        cancelled = bool(job_id) and self._cancelled
        self._quick_deaths = self._quick_deaths + 1 if quick and not self._answered and not cancelled else 0
        if self._quick_deaths >= QUICK_DEATHS:
            sentence = (
                f"The worker died {QUICK_DEATHS} times in a row, so it is not started again by itself; the last one "
                f"{how}. Mend that, then retry a job."
            )
            self._set(WorkerStatus(WorkerState.BROKEN, sentence=sentence))
        else:
            self._set(WorkerStatus(WorkerState.NONE, sentence=f"The worker {how}."))
        if cancelled:
            self.listener.job_failed(job_id, Problem(ProblemKind.CANCELLED, "Cancelled."))
            self.want()  # as it would be, had it stopped by itself
        elif job_id:
            problem = Problem(
                ProblemKind.WORKER_DIED, f"The worker {how}; retry the job, or look in its log.", log=shown
            )
            self.listener.job_failed(job_id, problem)

    def _set_state(self, state: str, sentence: str) -> None:
        self._set(dataclasses.replace(self.status, state=state, sentence=sentence))

    def _set(self, status: WorkerStatus) -> None:
        if status != self.status:
            self.status = status
            self.listener.worker_changed(status)
