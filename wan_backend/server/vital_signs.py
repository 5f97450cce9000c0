"""Whether a process does anything, seen from outside: what it has used of the processor and moved to and from disks.

A worker whose interpreter is held by a library says nothing, but uses the processor, or waits for a disk; one that was
stopped, or waits for ever, does neither. Linux tells it in /proc, psutil elsewhere. Standard library and psutil only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
AT_A_DISK = "D"
"""The state of a thread that waits for a disk, or for a driver, and can't be disturbed."""


@dataclass(frozen=True)
class Signs:
    """Of a process and its children, since they began."""

    cpu_seconds: float
    moved: int
    """Grows with whatever it reads from disks or writes to them; messages that it sends don't count."""
    at_disk: bool = False
    """One of its threads waits for a disk at this moment."""


def read(pid: int) -> Signs | None:
    """The signs of a process; None where it is gone, or nothing here can tell."""
    return _from_proc(pid) if sys.platform == "linux" else _from_psutil(pid)


def _from_proc(pid: int) -> Signs | None:
    found = [signs for signs in map(_of_one, _family(pid)) if signs is not None]
    if not found:
        return None
    return Signs(
        sum(signs.cpu_seconds for signs in found),
        sum(signs.moved for signs in found),
        any(signs.at_disk for signs in found),
    )


def _family(pid: int) -> list[int]:
    """The process and all that it started and that still run; without the latter where the kernel doesn't tell."""
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


def _of_one(pid: int) -> Signs | None:
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
    return Signs(ticks / os.sysconf("SC_CLK_TCK"), moved, any(map(_waits_for_a_disk, _threads(pid))))


def _waits_for_a_disk(thread: Path) -> bool:
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
