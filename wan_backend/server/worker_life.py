"""Manages the worker's life: it is started when needed, canceled or killed in time, and not restarted without end.

States: none, starting, ready, busy, broken. Single-threaded: all methods are called by the main thread.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from ..protocol import PROTOCOL_VERSION, ProtocolError
from ..protocol.conversion import from_json
from ..protocol.endpoint import Endpoint
from ..protocol.errors import GONE, LINE_TOO_LONG, REFUSED
from ..protocol.looks import MakeLookParams, MakeLookResult
from ..protocol.messages import (
    CANCELED,
    AliveParams,
    JobParams,
    Problem,
    ProblemKind,
    ProgressParams,
    ReadingParams,
    ReadyParams,
    RunParams,
    RunResult,
    WarmUpParams,
    WorkerState,
    WorkerStatus,
)
from ..protocol.methods import WORKER_EVENTS, WORKER_METHODS
from ..protocol.sentences import NO_SENTENCE, Sentence
from ..storage.disk_errors import reason
from . import process_exit
from .cluster_line import ClusterLine, FarWorker
from .inbox import Call, Inbox, WorkerExit, WorkerLine, WorkerLost, WorkerUnfit
from .worker_process import WorkerProcess
from .worker_pulse import Pulse, Signs, Timeouts, read_signs

log = logging.getLogger(__name__)

CANCEL_SECONDS = 1.5
"""Time that a worker has to stop a job by itself."""
QUICK_SECONDS = 30.0
MAX_REASON = 300
QUICK_DEATHS = 3
"""A worker that dies within QUICK_SECONDS of its start, or hangs, without an answer dies quickly; so many in a row are
enough."""
RELEASE_SECONDS = 1.0
STARTS = Sentence("The worker is starting.")
KILL_SECONDS = 10.0
"""A killed worker that is still there then, held by a driver or a disk, is left to the system."""


class Listener(Protocol):
    """Receives what happens to the worker and its job."""

    def worker_changed(self, status: WorkerStatus) -> None:
        """Follow the worker: one came up, ended, or may not be started any more."""

    def job_progressed(self, report: ProgressParams) -> None:
        """The worker's job went on."""

    def job_finished(self, job_id: str, result: RunResult) -> None:
        """The worker made the take."""

    def job_failed(self, job_id: str, problem: Problem) -> None:
        """The worker could not, or died."""

    def job_lost(self, job_id: str, how: Sentence) -> None:
        """The worker went with its machine, for which the job isn't to blame; `how` is a clause."""


class WorkerLife:
    """At most one worker, and whether there may be another."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        logs: Path,
        inbox: Inbox,
        timeouts: Timeouts | None = None,
        read_signs: Callable[[int], Signs | None] = read_signs,
        numbers: Iterator[int] | None = None,
        cluster: ClusterLine | None = None,
    ) -> None:
        """`read_signs` reads the signs of a process; `numbers` are given to one worker after the next, and to those of
        the other lives that share the inbox. With a `cluster`, the workers are there, and `command` isn't used."""
        self._command, self._environment, self._logs, self._inbox = command, environment, logs, inbox
        self._timeouts, self._read_signs = timeouts or Timeouts(), read_signs
        self.listener: Listener
        self.status = WorkerStatus(WorkerState.NONE)
        self._cluster = cluster
        self._process: WorkerProcess | FarWorker | None = None
        self._endpoint = self._new_endpoint()
        self._pulse = Pulse(self._timeouts, lambda: None, time.monotonic())
        self._numbers, self._started = numbers or itertools.count(1), 0
        self._started_at = 0.0
        self._answered = False
        self._quick_deaths = 0
        self._replaced = False
        """This worker, or one before it that answered nothing either, came in place of one that hung while idle."""
        self._job_id = ""
        self._warming: set[object] = set()
        """What the worker does beside jobs: what it gets ready, and looks. What goes wrong there hurts no job."""
        self._may_warm_up = True
        self._idle_since: float | None = None
        self._ready_at = 0.0
        self._canceled = False
        self._unsent = False
        """The job is being handed over: what fails now never left this process."""
        self._deadline: float | None = None
        self._looks_at = self._ticked_at = time.monotonic()
        self._expected_end = self._killed = False
        self._killed_because = NO_SENTENCE
        self._hung_while, self._reading = NO_SENTENCE, ""

    @property
    def busy_with(self) -> str:
        """The job that the worker has, or empty."""
        return self._job_id

    @property
    def can_take_a_job(self) -> bool:
        """Whether `run` may be called: it is ready, and sent a message just now."""
        ready = self.status.state is WorkerState.READY and self._process is not None and not self._killed
        return ready and self._pulse.is_fresh(self._message_at, time.monotonic())

    @property
    def number(self) -> int:
        """Tells one worker from the next."""
        return self._started

    @property
    def is_far(self) -> bool:
        """Whether the worker takes a place of others on a cluster, so that it is there only while it is needed."""
        return self._cluster is not None

    @property
    def turn_is_over(self) -> bool:
        """Whether the worker made takes at its place on a cluster for so long that others come first now."""
        turn = 0.0 if self._cluster is None else self._cluster.turn_seconds
        return self._answered and 0 < turn <= time.monotonic() - self._ready_at

    @property
    def waits_for(self) -> Sentence:
        """What the worker waits for before it can start; empty if it doesn't."""
        process = self._process
        return process.words if isinstance(process, FarWorker) and process.waits else NO_SENTENCE

    @property
    def node(self) -> str:
        """The machine of the cluster that the worker is on; empty where it is on none."""
        return self._process.node if isinstance(self._process, FarWorker) else ""

    @property
    def shared(self) -> int:
        """How many workers share the memory of that machine, at most."""
        return self._process.shared if isinstance(self._process, FarWorker) else 1

    @property
    def can_warm_up(self) -> bool:
        """Whether `warm_up` may be called, and no worker has died of it."""
        return self.can_take_a_job and self._may_warm_up

    @property
    def may_warm_up(self) -> bool:
        """False if a worker has died of a warm-up or a look, and none has done a job since."""
        return self._may_warm_up

    @property
    def idle_seconds(self) -> float:
        """Time since the worker last had anything to do; 0 where it never had, or has now."""
        resting = self.status.state is WorkerState.READY and not self._warming
        return time.monotonic() - self._idle_since if resting and self._idle_since is not None else 0.0

    def want(self) -> None:
        """Have a worker, unless there is one or none may be started."""
        if self._process is not None or self.status.state is WorkerState.BROKEN:
            return
        self._started = next(self._numbers)
        self._answered = self._expected_end = self._killed = False
        self._idle_since = None
        self._warming.clear()
        self._killed_because = self._hung_while = NO_SENTENCE
        self._started_at = self._ticked_at = time.monotonic()
        try:
            process = self._new_process()
        except OSError as error:
            self._died(Sentence("could not be started ({reason})", reason=reason(error)), None)
            self._inbox.put(Call(lambda: None))  # no thread will tell of its end, and a job may wait for the next try
            return
        self._process = process
        self._endpoint = self._new_endpoint()
        self._pulse = Pulse(self._timeouts, lambda: self._signs_of(process), self._started_at)
        log.info("Worker %d started: process %d", self._started, process.pid)
        self._deadline = self._started_at + self._timeouts.start
        self._looks_at = self._started_at + self._timeouts.look
        self._set(WorkerStatus(WorkerState.STARTING, sentence=self.waits_for or STARTS))

    def _new_process(self) -> WorkerProcess | FarWorker:
        if self._cluster is not None:
            return self._cluster.start(self._started)
        return WorkerProcess(self._started, self._command, self._environment, self._logs, self._inbox)

    def _signs_of(self, process: WorkerProcess | FarWorker) -> Signs | None:
        return process.signs() if isinstance(process, FarWorker) else self._read_signs(process.pid)

    def run(self, params: RunParams) -> None:
        """Give the worker a job; one that can't be handed over fails at once."""
        assert self._process is not None and self.status.state is WorkerState.READY
        job_id = self._job_id = params.job_id
        self._canceled, self._reading = False, ""
        self._warming.clear()
        on_cpu = params.device == "cpu" or self.status.device.startswith("cpu")
        self._pulse.begin_job(time.monotonic(), on_cpu)
        self._set_state(WorkerState.BUSY, Sentence("A take is being made."))
        self._unsent = True
        self._endpoint.call(
            "run",
            params,
            lambda result: self._on_answer(job_id, result),
            lambda error: self._on_answer(job_id, error),
        )
        self._unsent = False

    def warm_up(self, params: WarmUpParams) -> None:
        """Have the idle worker get something ready; it may be given a job at any time."""

        def over(answer: object) -> None:
            if isinstance(answer, ProtocolError) and answer.code != GONE:
                log.info("Nothing was warmed up: %s", answer.message)

        self._do_aside("warm", params, over)

    def look(self, params: MakeLookParams, over: Callable[[MakeLookResult | ProtocolError], None]) -> None:
        """Have the idle worker make a look; it may be given a job at any time."""
        self._do_aside("look", params, over)

    def _do_aside(self, method: str, params: Any, over: Callable[[Any], None]) -> None:
        assert self.can_warm_up
        this = object()

        def ended(answer: Any) -> None:
            gone = isinstance(answer, ProtocolError) and answer.code == GONE
            if this in self._warming and not gone:  # else `_died` has yet to see of what
                self._warming.remove(this)
                self._idle_since = time.monotonic()
            over(answer)

        self._warming.add(this)
        self._endpoint.call(method, params, ended, ended)

    def make_way(self) -> None:
        """End what the worker does beside jobs."""
        if self._warming and self._process is not None:
            self._endpoint.call("make_way")

    def cancel(self, job_id: str) -> None:
        """Stop the worker's job; it is killed if it doesn't answer in time."""
        if job_id != self._job_id or self._canceled or self._process is None:
            return
        self._canceled = True
        if not self._killed:
            self._deadline = time.monotonic() + CANCEL_SECONDS
            self._endpoint.call("cancel", JobParams(job_id))

    def release(self) -> None:
        """End an idle worker, and forgive those that died."""
        self.reset()
        self.withdraw()

    def withdraw(self) -> None:
        """End an idle worker, also one that still waits for its place."""
        if self._process is not None and not self._job_id:
            self._expected_end = True
            self._process.close()
            self._deadline = time.monotonic() + RELEASE_SECONDS
            self._set(WorkerStatus(WorkerState.NONE, sentence=Sentence("The card is free.")))

    def reset(self) -> None:
        """Forgive those that died: a person wants to try again."""
        self._quick_deaths, self._may_warm_up, self._replaced = 0, True, False
        if self._cluster is not None:
            self._cluster.try_anew()
        if self.status.state is WorkerState.BROKEN:
            self._set(WorkerStatus(WorkerState.NONE))

    def give_up(self, sentence: Sentence) -> None:
        """End the worker, and start none until `reset`: none can do anything here."""
        if self._process is not None:
            self._expected_end = True
            self._process.kill()
            self._forget_process()
        self._set(WorkerStatus(WorkerState.BROKEN, sentence=sentence))

    def stop(self, timeout_seconds: float) -> None:
        """End the worker at once, and wait for that: the server leaves."""
        self.kill()
        self.wait_for_end(timeout_seconds)

    def kill(self) -> None:
        """End the worker at once."""
        if self._process is not None:
            self._expected_end = True
            self._process.kill()

    def wait_for_end(self, timeout_seconds: float) -> float:
        """Wait for the end of a worker that was killed; how many seconds that took."""
        begun = time.monotonic()
        if self._process is not None:
            self._process.wait(max(0.0, timeout_seconds))
        return time.monotonic() - begun

    def seconds_to_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._process is None:
            return None
        due = self._looks_at if self._deadline is None else min(self._looks_at, self._deadline)
        return max(0.0, due - time.monotonic())

    def tick(self) -> None:
        """Kill the worker where its time is up, or it hangs."""
        now = time.monotonic()
        slept, self._ticked_at = now - self._ticked_at, now
        if self._process is None:
            return
        if slept > self._timeouts.gap:
            log.info("Nothing was looked at for %.0f s; the worker gets new patience", slept)
            self._pulse.reset(now)
            if self._deadline is not None:
                self._deadline += slept
        if self.status.state is WorkerState.STARTING and not self._killed:
            self._follow_start(now)
        if self._deadline is not None and now >= self._deadline:
            self._time_is_up()
        elif now >= self._looks_at and not self._killed and not self._expected_end:
            self._looks_at = now + self._timeouts.look
            if self._pulse.is_hung(self.status.state, self._message_at, now):
                self._hangs()

    def _follow_start(self, now: float) -> None:
        """Say what the worker waits for; until it has its place, its time doesn't run."""
        if self.waits_for:
            self._started_at, self._deadline = now, now + self._timeouts.start
        self._set_state(WorkerState.STARTING, self.waits_for or STARTS)

    def on_lost(self, event: WorkerLost) -> None:
        """The worker went with its machine, or was taken away there."""
        process = self._process
        if process is None or event.worker != process.number:
            return
        if self._killed or self._expected_end or not event.innocent:
            self._ended(self._killed_because or event.how)
            return
        log.warning("Worker %d %s", process.number, event.how)
        self._forget_process()
        job_id, self._job_id = self._job_id, ""
        self._set(WorkerStatus(WorkerState.NONE, sentence=Sentence("The worker {how}.", how=event.how)))
        if job_id and self._canceled:
            self.listener.job_failed(job_id, CANCELED)
        elif job_id:
            self.listener.job_lost(job_id, event.how)

    def on_unfit(self, event: WorkerUnfit) -> None:
        """None can be started."""
        if self._process is not None and event.worker == self._process.number:
            self.give_up(event.why)

    def on_line(self, event: WorkerLine) -> None:
        """The worker sent a line; one that can't be understood is logged and ignored."""
        if self._process is not None and event.worker == self._process.number:
            self._endpoint.take(event.line)

    def on_exit(self, event: WorkerExit) -> None:
        """The worker ended."""
        process = self._process
        if process is not None and event.worker == process.number:
            how = self._killed_because or process_exit.in_words(event.code, process.log_file)
            self._ended(Sentence("{how} (node {node})", how=how, node=self.node) if self.node else how)

    @property
    def _message_at(self) -> float:
        return self._process.message_at if self._process is not None else 0.0

    def _new_endpoint(self) -> Endpoint:
        return Endpoint(
            self._send,
            calls=WORKER_METHODS,
            receives=WORKER_EVENTS,
            on_event=self._on_event,
            peer=f"Worker {self._started}" if self._process else "the worker",
        )

    def _send(self, line: bytes) -> None:
        if self._process is not None:
            self._process.send(line)

    def _time_is_up(self) -> None:
        assert self._process is not None
        if self._killed:
            log.error("Worker %d was killed and is still there; it is left to the system", self._process.number)
            self._ended(self._killed_because)
            return
        starting = self.status.state is WorkerState.STARTING
        self._kill(Sentence("did not get ready in time") if starting else Sentence("did not stop in time"))

    def _hangs(self) -> None:
        assert self._process is not None
        if self.status.state is WorkerState.READY:
            log.warning("Worker %d hangs with nothing to do; it is ended", self._process.number)
            self._may_warm_up = self._may_warm_up and not self._warming
            self._process.kill()
            self._forget_process()
            self._set(WorkerStatus(WorkerState.NONE, sentence=Sentence("The next take starts the worker.")))
            if not self._replaced and not self.is_far:
                self._replaced = True
                self.want()
            return
        if self._job_id:
            self._hung_while = self._pulse.doing
        self._kill(Sentence("stopped responding"))

    def _kill(self, because: Sentence) -> None:
        """Kill the worker; `on_exit` follows, or never comes."""
        assert self._process is not None
        self._killed, self._killed_because = True, because
        log.warning("Worker %d %s and is killed", self._process.number, because)
        self._deadline = time.monotonic() + KILL_SECONDS
        self._process.kill()

    def _forget_process(self) -> None:
        self._process = self._deadline = None
        self._endpoint.lost("The worker is gone.")

    def _ended(self, how: Sentence) -> None:
        """The process is gone, or given up."""
        assert self._process is not None
        log_file, number = self._process.log_file, self._process.number
        self._forget_process()
        if self._expected_end:
            log.info("Worker %d ended", number)
        else:
            self._died(how, log_file)

    def _on_event(self, method: str, message: Any) -> None:
        if isinstance(message, ReadyParams):
            self._on_ready(message)
        elif isinstance(message, AliveParams):
            self._pulse.on_heartbeat(message, time.monotonic())
        elif isinstance(message, ReadingParams):
            self._reading = message.file
        elif isinstance(message, ProgressParams) and message.job_id == self._job_id and not self._canceled:
            self._pulse.on_progress(message, time.monotonic())
            self.listener.job_progressed(message)

    def _on_ready(self, ready: ReadyParams) -> None:
        if self.status.state is not WorkerState.STARTING or self._process is None or self._killed:
            return
        if ready.protocol != PROTOCOL_VERSION:
            log.error("The worker speaks version %d of the protocol", ready.protocol)
            self._kill(Sentence("speaks another version of the protocol; set up the backend again"))
            return
        self._deadline, self._ready_at = None, time.monotonic()
        if self.is_far:
            self._idle_since = self._ready_at  # it was wanted for a job, which may have been canceled
        sizes = (ready.device_bytes, ready.host_bytes)
        self._set(WorkerStatus(WorkerState.READY, ready.device, ready.torch, Sentence("The worker is ready."), *sizes))

    def _on_answer(self, job_id: str, answer: RunResult | ProtocolError) -> None:
        gone = isinstance(answer, ProtocolError) and answer.code == GONE
        if job_id != self._job_id or gone:  # of its end `_died` tells
            return
        self._job_id, self._idle_since = "", time.monotonic()
        if not self._killed:
            self._deadline = None
            self._set_state(WorkerState.READY, Sentence("The worker is ready."))
        if isinstance(answer, ProtocolError):
            if not self._unsent:
                self._lives()
            self.listener.job_failed(job_id, self._problem_of(answer))
        else:
            self._lives()
            self.listener.job_finished(job_id, answer)

    def _lives(self) -> None:
        """The worker answered: those before it that died are forgiven."""
        self._answered = self._may_warm_up = True
        self._quick_deaths, self._replaced = 0, False

    def _problem_of(self, error: ProtocolError) -> Problem:
        if error.code == REFUSED:
            try:
                return from_json(Problem, error.details, "data")
            except ProtocolError as wrong:
                log.warning("The worker refused without saying why: %s", wrong.message)
        log_file = str(self._process.log_file) if self._process else ""
        if error.code == LINE_TOO_LONG and self._unsent:
            sentence = Sentence(
                "The take can't be made because its sources have too many file names; use fewer, or a "
                "movie file instead of pictures."
            )
            return Problem(ProblemKind.TOO_LARGE, sentence)
        if error.code == LINE_TOO_LONG:
            sentence = Sentence(
                "The worker's answer was longer than a message can be, so it is not known how the take "
                "ended; press Retry: a finished take is placed at once."
            )
            return Problem(ProblemKind.INTERNAL, sentence, log=log_file)
        reason = error.message.within(MAX_REASON).unended() if error.message else Sentence("it did not say why")
        return Problem(
            ProblemKind.INTERNAL,
            Sentence("The worker failed ({reason}); retry, or read its log.", reason=reason),
            log=log_file,
        )

    def _died(self, how: Sentence, log_file: Path | None) -> None:
        log.error("Worker %d %s", self._started, how)
        job_id, self._job_id = self._job_id, ""
        canceled = bool(job_id) and self._canceled
        lived = time.monotonic() - self._started_at
        quick = lived < QUICK_SECONDS or self.status.state is WorkerState.STARTING or bool(self._hung_while)
        if self._warming and not job_id:
            log.warning("That was in a warm-up; there is none any more until a job runs")
            self._may_warm_up = False
            self._set(WorkerStatus(WorkerState.NONE, sentence=Sentence("The next take starts the worker.")))
            return
        self._quick_deaths = self._quick_deaths + 1 if quick and not self._answered and not canceled else 0
        if self._quick_deaths >= QUICK_DEATHS:
            sentence = Sentence(
                "The worker died {count} times in a row, so it is not started again by itself; "
                "the last one {how}. Fix that, then retry a job.",
                count=QUICK_DEATHS,
                how=how,
            )
            self._set(WorkerStatus(WorkerState.BROKEN, sentence=sentence))
        else:
            self._set(WorkerStatus(WorkerState.NONE, sentence=Sentence("The worker {how}.", how=how)))
        if canceled:
            self.listener.job_failed(job_id, CANCELED)
            self.want()  # as it would be, had it stopped by itself
        elif job_id:
            self.listener.job_failed(job_id, self._end_of_job(how, str(log_file or "")))

    def _end_of_job(self, how: Sentence, log_file: str) -> Problem:
        if self._hung_while:
            sentence = Sentence(
                "The worker stopped responding while {doing}{file} and was ended; press "
                "Retry, and the take resumes from its last step.",
                doing=self._hung_while,
                file=self._of_which_file(),
            )
            return Problem(ProblemKind.INTERRUPTED, sentence, log=log_file)
        sentence = Sentence("The worker {how}; retry the job, or read its log.", how=how)
        if self._reading:
            sentence = Sentence(
                "The worker {how} while it read {file}; retry the job; if it happens again, get that "
                "file again or choose another.",
                how=how,
                file=self._reading,
            )
        return Problem(ProblemKind.WORKER_DIED, sentence, log=log_file)

    def _of_which_file(self) -> str:
        return f" ({self._reading})" if self._reading else ""

    def _set_state(self, state: WorkerState, sentence: Sentence) -> None:
        self._set(dataclasses.replace(self.status, state=state, sentence=sentence))

    def _set(self, status: WorkerStatus) -> None:
        if status != self.status:
            self.status = status
            self.listener.worker_changed(status)
