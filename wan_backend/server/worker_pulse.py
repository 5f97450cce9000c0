"""Judges when a worker hangs: how long it may be silent, and how long its job may take over each phase.

A worker shows that it lives by its messages, at least by its heartbeat. One whose interpreter is held by a library
sends none, but uses the processor, or waits for a disk; one that was stopped, or waits forever, does neither. These
signs are read from outside: on Linux in /proc, elsewhere by psutil. Nothing here ends a worker; worker_life does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..protocol.messages import AliveParams, JobState, ProgressParams, WorkerState
from ..protocol.sentences import Sentence

log = logging.getLogger(__name__)

PROC = Path("/proc")
AT_A_DISK = "D"
"""The state of a thread that waits for a disk, or for a driver, and can't be disturbed."""


@dataclass(frozen=True)
class Signs:
    """Use of processor and disks by a process and its children since they began."""

    cpu_seconds: float
    moved: int
    """Grows with whatever it reads from disks or writes to them; messages that it sends don't count."""
    at_disk: bool = False
    """One of its threads waits for a disk at this moment."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds that a worker may take."""

    look: float = 5.0
    """Interval at which it is looked at."""
    fresh: float = 10.0
    """A worker that has said nothing for longer gets no job before it says something."""
    silent: float = 30.0
    """No message, no use of the processor, nothing read: it is stopped, or waits forever."""
    loading_silent: float = 120.0
    """`silent` while a job loads: a virus scanner may hold the libraries that are read, and no sign shows that."""
    start_silent: float = 300.0
    """`silent` before it is ready: it imports torch, perhaps from a slow disk."""
    start: float = 1800.0
    """The whole time until it is ready."""
    at_disk: float = 300.0
    """`silent` if one of its threads waits for a disk: a share that doesn't answer mostly comes back."""
    unseen: float = 600.0
    """No message, if no signs can be read: a library may hold the interpreter so long."""
    loading: float = 1800.0
    """The job says nothing, and nothing is read or written, while it loads or reads its prompt and its sources."""
    first_step: float = 3600.0
    """The job says nothing while it makes its first step, of which nobody knows how long it takes."""
    step: float = 900.0
    step_times: float = 20.0
    """A later step may take `step` seconds or `step_times` the longest step of the job, whichever is more."""
    decoding: float = 1800.0
    """The job says nothing while it makes the pictures."""
    gap: float = 20.0
    """After such a gap between two looks, the server or the machine has slept: all times begin anew."""


ALIVE_SHARE = 0.01
"""A process that uses this share of one processor works; a deadlocked one, which only wakes up to wait, uses less."""
DOING = {
    JobState.LOADING: Sentence("it loaded the model"),
    JobState.ENCODING: Sentence("it read the prompt and the sources"),
    JobState.DENOISING: Sentence("it made step {step} of {steps}"),
    JobState.DECODING: Sentence("it made the pictures"),
}


class Pulse:
    """Judges one worker process; all times are of one clock, given by the caller."""

    def __init__(self, timeouts: Timeouts, read: Callable[[], Signs | None], now: float) -> None:
        """`read` returns the process's signs."""
        self._timeouts, self._read = timeouts, read
        self._signs: Signs | None = None
        self._looked_at = now
        self._cpu_at = self._moved_at = now
        self._message_at = now
        self._heartbeat_cpu_seconds, self._heartbeat_at = 0.0, now
        self._is_on_cpu = False
        self._progress_at = now
        self._report: ProgressParams | None = None
        self._step_at: float | None = None
        self._longest_step = 0.0

    def begin_job(self, now: float, on_cpu: bool) -> None:
        """A job begins. `on_cpu`: the processor does its arithmetic, so its use shows that the job gets on."""
        self._is_on_cpu = on_cpu
        self._progress_at = now
        self._report = self._step_at = None
        self._longest_step = 0.0

    def on_progress(self, report: ProgressParams, now: float) -> None:
        """The job reported its progress."""
        self._progress_at = now
        if report.state is not JobState.DENOISING:
            self._step_at = None
        elif self._step_at is None or self._report is None or report.step != self._report.step:
            if self._step_at is not None and self._report is not None and report.step > self._report.step:
                made = report.step - self._report.step
                self._longest_step = max(self._longest_step, (now - self._step_at) / made)
            self._step_at = now
        self._report = report

    def on_heartbeat(self, alive: AliveParams, now: float) -> None:
        """The worker sent its heartbeat: when its job last reported, and how much of the processor it has used."""
        if alive.busy_seconds:
            self._progress_at = max(self._progress_at, now - alive.busy_seconds)
        since, used = now - self._heartbeat_at, alive.cpu_seconds - self._heartbeat_cpu_seconds
        self._heartbeat_cpu_seconds, self._heartbeat_at = alive.cpu_seconds, now
        if self._signs is None and _is_working(used, since):  # else the signs from outside count
            self._cpu_at = now

    def reset(self, now: float) -> None:
        """Begin all patience anew, after the server or the machine slept."""
        self._looked_at = self._cpu_at = self._moved_at = self._message_at = self._progress_at = now
        self._step_at = None  # a night is no step

    def is_fresh(self, message_at: float, now: float) -> bool:
        """Whether it sent a message just now, so that it can be given a job."""
        return now - max(message_at, self._message_at) <= self._timeouts.fresh

    def is_hung(self, state: WorkerState, message_at: float, now: float) -> bool:
        """Look at the process and say whether it hangs. `message_at`: when its last message came."""
        self._look(now)
        self._message_at = max(self._message_at, message_at)
        return self._is_silent_too_long(state, now) or (state is WorkerState.BUSY and self._is_job_too_long(now))

    @property
    def doing(self) -> Sentence:
        """The activity of the job, as a clause."""
        if self._report is None:
            return Sentence("it began the take")
        report = self._report
        return DOING.get(report.state, Sentence("it worked")).with_values(
            step=min(report.step + 1, report.steps), steps=report.steps
        )

    def _look(self, now: float) -> None:
        before, self._signs = self._signs, self._read()
        since, self._looked_at = now - self._looked_at, now
        if before is None or self._signs is None:
            return
        if _is_working(self._signs.cpu_seconds - before.cpu_seconds, since):
            self._cpu_at = now
        if self._signs.moved > before.moved:
            self._moved_at = now

    def _is_silent_too_long(self, state: WorkerState, now: float) -> bool:
        timeouts = self._timeouts
        if self._signs is None:
            limit = timeouts.unseen
        elif state is WorkerState.STARTING:
            limit = timeouts.start_silent
        elif self._signs.at_disk:
            limit = timeouts.at_disk
        elif state is WorkerState.BUSY and self._is_loading:
            limit = timeouts.loading_silent
        else:
            limit = timeouts.silent
        silent = now - max(self._message_at, self._cpu_at, self._moved_at)
        if silent > limit:
            log.warning("No sign of life for %.1f s (at most %.1f): %s", silent, limit, self._signs)
        return silent > limit

    @property
    def _is_loading(self) -> bool:
        return self._report is None or self._report.state is JobState.LOADING

    def _is_job_too_long(self, now: float) -> bool:
        """The process lives, but its job does not get on."""
        timeouts, state = self._timeouts, JobState.LOADING if self._report is None else self._report.state
        got_on = [self._progress_at]
        if self._is_on_cpu:
            got_on.append(self._cpu_at)
        if state in (JobState.LOADING, JobState.ENCODING):
            limit = timeouts.loading
            got_on.append(self._moved_at)
        elif state is JobState.DECODING:
            limit = timeouts.decoding
        elif self._longest_step:
            limit = max(timeouts.step, timeouts.step_times * self._longest_step)
        else:
            limit = timeouts.first_step
        silent = now - max(got_on)
        if silent > limit:
            log.warning("The job said nothing for %.1f s (at most %.1f) while %s", silent, limit, self.doing)
        return silent > limit


def _is_working(used_seconds: float, since_seconds: float) -> bool:
    return used_seconds > 0 and used_seconds >= ALIVE_SHARE * since_seconds


def read_signs(pid: int) -> Signs | None:
    """The signs of a process; None if it is gone, or if this system doesn't show them."""
    return _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)


def _from_proc(pid: int) -> Signs | None:
    found = [signs for signs in map(_signs_of_one, _family(pid)) if signs is not None]
    if not found:
        return None
    return Signs(
        sum(signs.cpu_seconds for signs in found),
        sum(signs.moved for signs in found),
        any(signs.at_disk for signs in found),
    )


def _family(pid: int) -> list[int]:
    """The process and all that it started and that still run; without the latter if the kernel doesn't tell."""
    found, unseen = [], [pid]
    while unseen:
        found.append(unseen.pop())
        for thread in _threads(found[-1]):
            with contextlib.suppress(OSError, ValueError):
                unseen += [int(word) for word in (thread / "children").read_text().split()]
    return found


def _threads(pid: int) -> list[Path]:
    try:
        return list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _signs_of_one(pid: int) -> Signs | None:
    try:
        fields = _stat(PROC / str(pid))
        major_faults = int(fields[9])
        ticks = sum(int(field) for field in fields[11:15])  # its own, and those of children that have ended
    except (OSError, ValueError, IndexError):
        return None
    moved = major_faults
    with contextlib.suppress(OSError, ValueError, KeyError):  # of another user's process the system doesn't tell it
        rows = (PROC / str(pid) / "io").read_text().split("\n")
        io = dict(row.split(": ") for row in rows if row)
        moved += int(io["rchar"]) + int(io["read_bytes"]) + int(io["write_bytes"])
    return Signs(ticks / os.sysconf("SC_CLK_TCK"), moved, any(map(_is_waiting_for_disk, _threads(pid))))


def _is_waiting_for_disk(thread: Path) -> bool:
    try:
        return _stat(thread)[0] == AT_A_DISK
    except (OSError, IndexError):
        return False


def _stat(process: Path) -> list[str]:
    """The fields after the name, which may have spaces and brackets in it."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()


def _from_psutil(pid: int) -> Signs | None:
    try:
        import psutil
    except ImportError:
        return None
    cpu, moved = 0.0, 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            cpu += times.user + times.system
            moved += int(getattr(each.memory_info(), "pageins", 0))
            if hasattr(each, "io_counters"):
                io = each.io_counters()
                moved += io.read_bytes + getattr(io, "read_chars", 0)
    except (psutil.Error, OSError):
        return None
    return Signs(cpu, moved)
