"""What was found of this machine's kernels, kept on the disk: which is how quick, which fails, and which must not be
tried again. Standard library and psutil.

Each finding stands under a key that names card and versions, so that a new driver's torch or another card is looked at
anew. A trial is noted before it begins: one that takes the process with it is so known to the next one.
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
DEADLY_TRIALS = 2
"""So many trials must have ended with their process before there are no more: one may have been ended by a person."""
TRYING, FAILED = "trying", "failed"
Finding = dict[str, Any]


class NotNow(Exception):
    """A trial can't be made at this moment, which says nothing of what was to be tried."""


class KernelBook:
    """Findings by key. Without a file, they last as long as the process."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._own: dict[str, Finding] = {}

    def find(self, key: str, trial: Callable[[], Finding]) -> Finding | None:
        """What is known under `key`, or what `trial()` finds now; None where it failed, here or before.

        Whatever a trial raises, but for NotNow and interrupts, is a failure; so is the second death of a process at it.
        """
        known = self._own.get(key) or self._read().get(key)
        deaths = 0
        if known is not None and TRYING in known:
            deaths = int(known.get("deaths", 0))
            if _lives(known[TRYING]):
                return None
            deaths += 1
            if deaths >= DEADLY_TRIALS:
                known = {FAILED: "the process ended while it was tried"}
                self._write(key, known)
        if known is not None and TRYING not in known:
            self._own[key] = known
            return None if FAILED in known else known
        self._write(key, {TRYING: os.getpid(), "deaths": deaths})
        try:
            found = trial()
        except NotNow:
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

    def give_up(self, key: str, why: str) -> None:
        """What is known under `key` failed in use; it isn't to be tried again."""
        self._write(key, {FAILED: why[:300]})

    def _write(self, key: str, finding: Finding) -> None:
        if TRYING not in finding:
            self._own[key] = finding
        self._save({**self._read(), key: finding})

    def _forget(self, key: str) -> None:
        rest = self._read()
        rest.pop(key, None)
        self._save(rest)

    def _read(self) -> dict[str, Finding]:
        if self._file is None:
            return {}
        try:
            said = json.loads(self._file.read_text("utf-8"))
            findings = said["findings"] if said["format"] == FORMAT else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        return {key: found for key, found in findings.items() if isinstance(found, dict)}

    def _save(self, findings: dict[str, Finding]) -> None:
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            whole_file.write(self._file, json.dumps({"format": FORMAT, "findings": findings}, indent=1).encode())
        except OSError as error:
            log.warning("what was found of kernels can't be kept in %s: %s", self._file, error)


def _lives(pid: Any) -> bool:
    """True for another process that is there."""
    return isinstance(pid, int) and pid != os.getpid() and psutil.pid_exists(pid)
