"""The results of trying kernels on this machine, kept on the disk: how fast each is, and which of them fail.

Each result has a key that names the card and the versions, so that another card or a new torch is tried anew. A trial
is noted before it begins: if it takes the process down, the next process knows. What a disk fails to do says nothing
about a kernel. Several processes may write the file: one may lose what another has just found, which is tried anew.
They may be on several machines, or in containers, that share a home.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from ..storage import compiled_kernels, disk_errors, whole_file
from ..storage.byte_sizes import free_bytes_at

log = logging.getLogger(__name__)

FORMAT = 1
MAX_CRASHES = 2
"""No trial follows this many that ended with their process; a person may have ended one of them."""
TRYING, FAILED, SINCE, CRASHES, HOST = "trying", "failed", "since", "crashes", "host"
NOBODY = 0
"""In place of the number of a process: of one that is no more."""
NUMBERS = ("ms", "exact_ms", "torch_ms", "error")
"""What a finding may have been measured as; "ms" is in each."""
MAX_BYTES = 4_000_000
DISK_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENOLCK, getattr(errno, "ESTALE", errno.EIO))
"""The last two are of network disks."""
COMPILED_BYTES = 1 << 20
"""With less room than this, a disk takes no compiled kernel."""
CLOCK_SECONDS = 2.0
"""The clocks of processes and of files may differ by so much."""
ELSEWHERE_SECONDS = 600.0
"""A trial that was noted on another machine, whose processes nobody sees from here, is over after so long."""
KernelFinding = dict[str, Any]
_writing = threading.Lock()
"""Held while the file is read and written anew: kernels are also compiled in a thread."""


_begun: set[tuple[KernelTrials, str, int]] = set()
"""The trials that are being made, with how many crashes there were before."""


def forget_begun() -> None:
    """This process ends as it should: that it ends in the middle of a trial is no fault of the kernel."""
    for trials, key, crashes in list(_begun):
        trials.take_back(key, crashes)


class KernelUnavailable(Exception):
    """A kernel can't be had on this machine; the message says why."""


class TrialPostponed(Exception):
    """A trial can't be made at this moment, which says nothing about the kernel."""


def is_of_the_disk(error: BaseException) -> bool:
    """True if a disk is to blame: what a compiler makes couldn't be kept, or not be read.

    Compilers are programs of their own, whose failure says only that they failed: then a disk without room is.
    """
    if isinstance(error, OSError) and (disk_errors.is_full(error) or error.errno in DISK_ERRORS):
        return True
    try:
        return any(free_bytes_at(folder) < COMPILED_BYTES for folder in compiled_kernels.written_folders())
    except OSError:  # there isn't even a folder for temporary files
        return True


class KernelTrials:
    """Findings by key, in `file`; without a file they last as long as the object."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._findings: dict[str, KernelFinding] = {}

    def find_or_try(
        self, key: str, trial: Callable[[], KernelFinding], numbers: tuple[str, ...] = ("ms",)
    ) -> KernelFinding | None:
        """What is known under `key`, or what `trial()` finds now; None if it failed, now or before.

        `numbers` are those of NUMBERS that it finds; without one of them, what is known is of no use.
        Any exception of a trial but TrialPostponed, a disk's and interrupts is a failure, and so is its second crash.
        """
        known = self._findings.get(key) or self._read().get(key)
        if known is not None and not {TRYING, FAILED} & known.keys() and not known.keys() >= set(numbers):
            known = None
        crashes = 0
        if known is not None and TRYING in known:
            crashes = int(known.get(CRASHES, 0))
            if _is_being_made(known):
                return None
            crashes += 1
            if crashes >= MAX_CRASHES:
                known = {FAILED: "the process ended while it was tried"}
                self._write(key, known)
        if known is not None and TRYING not in known:
            self._findings[key] = known
            return None if FAILED in known else known
        self._write(key, {TRYING: os.getpid(), SINCE: time.time(), CRASHES: crashes, HOST: socket.gethostname()})
        begun = (self, key, crashes)
        _begun.add(begun)
        try:
            found = trial()
        except TrialPostponed:
            self._forget(key)
            return None
        except Exception as error:  # noqa: BLE001 - kernels of whatever package raise whatever they like
            log.info("%s: %s", key, error)
            if is_of_the_disk(error):
                self._forget(key)
                return None
            found = {FAILED: f"{type(error).__name__}: {error}"[:300]}
        except BaseException:
            self._forget(key)
            raise
        finally:
            _begun.discard(begun)
        self._write(key, found)
        return None if FAILED in found else found

    def knows(self, key: str) -> bool:
        """Whether `find_or_try` would answer without a trial."""
        known = self._findings.get(key) or self._read().get(key)
        return known is not None and TRYING not in known

    def knows_failure(self, key: str) -> bool:
        """Whether `find_or_try` would say without a trial that there is nothing to be had."""
        known = self._findings.get(key) or self._read().get(key)
        return known is not None and FAILED in known

    def record_failure(self, key: str, why: str) -> None:
        """Note that the kernel of `key` failed in use, so that it isn't tried again."""
        self._write(key, {FAILED: why[:300]})

    def record_failure_in_use(self, key: str, error: Exception) -> None:
        """Note that too for what a kernel raised; but for what a disk did, it is there again in the next process."""
        if not is_of_the_disk(error):
            self.record_failure(key, f"in use: {type(error).__name__}: {error}")

    def take_back(self, key: str, crashes: int) -> None:
        """Note that a trial is over without an answer; there were so many crashes before it."""
        if crashes:
            self._write(key, {TRYING: NOBODY, SINCE: 0.0, CRASHES: crashes - 1})
        else:
            self._forget(key)

    def _write(self, key: str, finding: KernelFinding) -> None:
        if TRYING not in finding:
            self._findings[key] = finding
        with _writing:
            self._save({**self._read(), key: finding})

    def _forget(self, key: str) -> None:
        with _writing:
            rest = self._read()
            rest.pop(key, None)
            self._save(rest)

    def _read(self) -> dict[str, KernelFinding]:
        if self._file is None:
            return {}
        try:
            content = whole_file.read_json(self._file, MAX_BYTES)
            findings = content["findings"] if content["format"] == FORMAT else {}
            return {key: found for key, found in findings.items() if _is_finding(found)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _save(self, findings: dict[str, KernelFinding]) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write_json(self._file, {"format": FORMAT, "findings": findings}, flushed=False)
        except (OSError, ValueError) as error:
            log.warning("the results of kernel trials can't be kept in %s: %s", self._file, error)


def _is_finding(value: Any) -> bool:
    """Whether that is one which this wrote, whatever else may have become of the file."""
    if not isinstance(value, dict):
        return False
    if TRYING in value:
        numbers = all(_is_number(value.get(name, 0)) for name in (TRYING, SINCE, CRASHES))
        return numbers and value[TRYING] < 1 << 31 and isinstance(value.get(HOST, ""), str)
    return FAILED in value or ("ms" in value and all(_is_number(value[name]) for name in NUMBERS if name in value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_being_made(noted: KernelFinding) -> bool:
    """True if the process that noted the trial may still be at it."""
    since = float(noted.get(SINCE, math.inf))
    if noted.get(HOST, socket.gethostname()) != socket.gethostname():
        return abs(time.time() - since) < ELSEWHERE_SECONDS
    return _is_running(noted[TRYING], since)


def _is_running(pid: Any, since: float) -> bool:
    """True if `pid` is that of another process that is running, and was by that time: systems give numbers again."""
    if not isinstance(pid, int) or pid == os.getpid() or not psutil.pid_exists(pid):
        return False
    try:
        return float(psutil.Process(pid).create_time()) <= since + CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # another user's, of which the system says nothing
        return True
