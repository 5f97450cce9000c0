"""The results of trying kernels on this machine, kept on the disk: how fast each is, and which of them fail.

Each result has a key that names the card and the versions, so that another card or a new torch is tried anew. A trial
is noted before it begins: if it takes the process down, the next process knows.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from ..storage import whole_file

log = logging.getLogger(__name__)

FORMAT = 1
MAX_CRASHES = 2
"""No trial follows this many that ended with their process; a person may have ended one of them."""
TRYING, FAILED = "trying", "failed"
KernelFinding = dict[str, Any]


class KernelUnavailable(Exception):
    """A kernel can't be had on this machine; the message says why."""


class TrialPostponed(Exception):
    """A trial can't be made at this moment, which says nothing about the kernel."""


class KernelTrials:
    """Findings by key, in `file`; without a file they last as long as the object."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._findings: dict[str, KernelFinding] = {}

    def find_or_try(self, key: str, trial: Callable[[], KernelFinding]) -> KernelFinding | None:
        """What is known under `key`, or what `trial()` finds now; None if it failed, now or before.

        Any exception of a trial but TrialPostponed and interrupts is a failure, and so is its second crash.
        """
        known = self._findings.get(key) or self._read().get(key)
        crashes = 0
        if known is not None and TRYING in known:
            crashes = int(known.get("crashes", 0))
            if _is_running(known[TRYING]):
                return None
            crashes += 1
            if crashes >= MAX_CRASHES:
                known = {FAILED: "the process ended while it was tried"}
                self._write(key, known)
        if known is not None and TRYING not in known:
            self._findings[key] = known
            return None if FAILED in known else known
        self._write(key, {TRYING: os.getpid(), "crashes": crashes})
        try:
            found = trial()
        except TrialPostponed:
            self._forget(key)
            return None
        except Exception as error:  # noqa: BLE001 - kernels of whatever package raise whatever they like
            log.info("%s: %s", key, error)
            found = {FAILED: f"{type(error).__name__}: {error}"[:300]}
        except BaseException:
            self._forget(key)
            raise
        self._write(key, found)
        return None if FAILED in found else found

    def knows(self, key: str) -> bool:
        """Whether `find_or_try` would answer without a trial."""
        known = self._findings.get(key) or self._read().get(key)
        return known is not None and TRYING not in known

    def record_failure(self, key: str, why: str) -> None:
        """Note that the kernel of `key` failed in use, so that it isn't tried again."""
        self._write(key, {FAILED: why[:300]})

    def _write(self, key: str, finding: KernelFinding) -> None:
        if TRYING not in finding:
            self._findings[key] = finding
        self._save({**self._read(), key: finding})

    def _forget(self, key: str) -> None:
        rest = self._read()
        rest.pop(key, None)
        self._save(rest)

    def _read(self) -> dict[str, KernelFinding]:
        if self._file is None:
            return {}
        try:
            content = json.loads(self._file.read_text("utf-8"))
            findings = content["findings"] if content["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {key: found for key, found in findings.items() if isinstance(found, dict)}

    def _save(self, findings: dict[str, KernelFinding]) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(self._file, json.dumps({"format": FORMAT, "findings": findings}, indent=1).encode())
        except OSError as error:
            log.warning("the results of kernel trials can't be kept in %s: %s", self._file, error)


def _is_running(pid: Any) -> bool:
    """True if `pid` is that of another process that is running."""
    return isinstance(pid, int) and pid != os.getpid() and psutil.pid_exists(pid)
