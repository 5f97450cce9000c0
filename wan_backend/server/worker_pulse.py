"""When a worker counts as hung: how long it may be silent at what it does.

A worker lives by its messages, of which the heartbeat is the least; where none come, by the signs that can be read
from outside (vital_signs). And the job that it has must get on, each phase in its own time. Nothing here ends a worker;
worker_life does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.messages import AliveParams, JobState, ProgressParams, WorkerState
from .vital_signs import Signs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """Seconds that a worker is given."""

    look: float = 5.0
    """So often it is looked at."""
    fresh: float = 10.0
    """A worker that has said nothing for longer gets no job before it says something."""
    silent: float = 30.0
    """No message, no use of the processor, nothing read: it is stopped, or waits for ever."""
    loading_silent: float = 120.0
    """The same while a job loads: libraries come from a disk that a virus scanner may hold, with nothing to be seen."""
    start_silent: float = 300.0
    """The same before it is ready: importing torch from a slow disk."""
    start: float = 1800.0
    """In all until it is ready."""
    at_disk: float = 300.0
    """The same where one of its threads waits for a disk: a share that doesn't answer comes back, mostly."""
    unseen: float = 600.0
    """No message, where no signs can be read: a library may hold the interpreter so long."""
    loading: float = 1800.0
    """The job says nothing, and nothing is read or written, while it loads or reads its prompt and its sources."""
    first_step: float = 3600.0
    """The job says nothing while it makes its first step, of which nobody knows how long it takes."""
    step: float = 900.0
    step_times: float = 20.0
    """The same for a later step: so long, or so many times the longest step of the job, whichever is more."""
    decoding: float = 1800.0
    """The job says nothing while it makes the pictures."""
    gap: float = 20.0
    """Where the server itself did not look for so long, it or the machine slept: all patience begins anew."""


ALIVE_SHARE = 0.01
"""A process that uses so much of one processor works; one that deadlocks uses less, in waking up to wait again."""
DOING = {
    JobState.LOADING: "it loaded the model",
    JobState.ENCODING: "it read the prompt and the sources",
    JobState.DENOISING: "it made step {step} of {steps}",
    JobState.DECODING: "it made the pictures",
}


class Pulse:
    """Judges one worker process; all times are of one clock, given by the caller."""

    def __init__(self, patience: Patience, read: Callable[[], Signs | None], now: float) -> None:
        """`read` gives the process's signs."""
        self._patience, self._read = patience, read
        self._signs: Signs | None = None
        self._looked_at = now
        self._cpu_at = self._moved_at = now
        self._heard_at = now
        self._beat_cpu_seconds, self._beat_at = 0.0, now
        self._on_cpu = False
        self._spoke_at = now
        self._report: ProgressParams | None = None
        self._step_at: float | None = None
        self._longest_step = 0.0

    def begin(self, now: float, on_cpu: bool) -> None:
        """A job begins; `on_cpu`: its arithmetic is done by the processor, so that its use is a sign of the job."""
        self._on_cpu = on_cpu
        self._spoke_at = now
        self._report = self._step_at = None
        self._longest_step = 0.0

    def spoke(self, report: ProgressParams, now: float) -> None:
        """The job said how far it is."""
        self._spoke_at = now
        if report.state is not JobState.DENOISING:
            self._step_at = None
        elif self._step_at is None or self._report is None or report.step != self._report.step:
            if self._step_at is not None and self._report is not None and report.step > self._report.step:
                made = report.step - self._report.step
                self._longest_step = max(self._longest_step, (now - self._step_at) / made)
            self._step_at = now
        self._report = report

    def beat(self, alive: AliveParams, now: float) -> None:
        """The worker says when its job last said something, and what it has used of the processor."""
        if alive.busy_seconds:
            self._spoke_at = max(self._spoke_at, now - alive.busy_seconds)
        since, used = now - self._beat_at, alive.cpu_seconds - self._beat_cpu_seconds
        self._beat_cpu_seconds, self._beat_at = alive.cpu_seconds, now
        if self._signs is None and _works(used, since):  # else what is seen from outside counts, and that of children
            self._cpu_at = now

    def forgive(self, now: float) -> None:
        """The server, or the machine, slept: the worker gets as much time as if it had done something now."""
        self._looked_at = self._cpu_at = self._moved_at = self._heard_at = self._spoke_at = now
        self._step_at = None  # a night is no step

    def fresh(self, heard_at: float, now: float) -> bool:
        """Whether it said something just now, so that it can be given a job."""
        return now - max(heard_at, self._heard_at) <= self._patience.fresh

    def is_hung(self, state: WorkerState, heard_at: float, now: float) -> bool:
        """Look at the process. `heard_at`: when its last message came."""
        self._look(now)
        self._heard_at = max(self._heard_at, heard_at)
        return self._silent_too_long(state, now) or (state is WorkerState.BUSY and self._job_too_long(now))

    @property
    def doing(self) -> str:
        """What the job was at, as a clause."""
        if self._report is None:
            return "it began the take"
        report = self._report
        return DOING.get(report.state, "it worked").format(step=min(report.step + 1, report.steps), steps=report.steps)

    def _look(self, now: float) -> None:
        before, self._signs = self._signs, self._read()
        since, self._looked_at = now - self._looked_at, now
        if before is None or self._signs is None:
            return
        if _works(self._signs.cpu_seconds - before.cpu_seconds, since):
            self._cpu_at = now
        if self._signs.moved > before.moved:
            self._moved_at = now

    def _silent_too_long(self, state: WorkerState, now: float) -> bool:
        patience = self._patience
        if self._signs is None:
            limit = patience.unseen
        elif state is WorkerState.STARTING:
            limit = patience.start_silent
        elif self._signs.at_disk:
            limit = patience.at_disk
        elif state is WorkerState.BUSY and self._loads:
            limit = patience.loading_silent
        else:
            limit = patience.silent
        silent = now - max(self._heard_at, self._cpu_at, self._moved_at)
        if silent > limit:
            log.warning("No sign of life for %.1f s (at most %.1f): %s", silent, limit, self._signs)
        return silent > limit

    @property
    def _loads(self) -> bool:
        return self._report is None or self._report.state is JobState.LOADING

    def _job_too_long(self, now: float) -> bool:
        """The process lives, but its job does not get on."""
        patience, state = self._patience, JobState.LOADING if self._report is None else self._report.state
        got_on = [self._spoke_at]
        if self._on_cpu:
            got_on.append(self._cpu_at)
        if state in (JobState.LOADING, JobState.ENCODING):
            limit = patience.loading
            got_on.append(self._moved_at)
        elif state is JobState.DECODING:
            limit = patience.decoding
        elif self._longest_step:
            limit = max(patience.step, patience.step_times * self._longest_step)
        else:
            limit = patience.first_step
        silent = now - max(got_on)
        if silent > limit:
            log.warning("The job said nothing for %.1f s (at most %.1f) while %s", silent, limit, self.doing)
        return silent > limit


def _works(used_seconds: float, since_seconds: float) -> bool:
    return used_seconds > 0 and used_seconds >= ALIVE_SHARE * since_seconds
