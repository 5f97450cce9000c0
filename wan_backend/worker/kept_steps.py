"""The newest finished step of a job, kept on disk by a thread of its own. May import pipelines and protocol.

The arithmetic never waits for the disk: where it is slower than the steps, only the newest is written. A disk that
takes nothing costs the steps, not the job. What waits for the disk brings all that it is written by: a job may begin
another try, and the next job its own, before its turn comes.
"""

from __future__ import annotations

import logging
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..pipelines.step_checkpoint import Checkpoint, remove_unfinished
from ..protocol.media import STEPS_FILE

log = logging.getLogger(__name__)

LAST_SECONDS = 1.0
"""So long the end of a job waits for what is still being written: less than a person waits for a cancel."""


@dataclass(frozen=True)
class _Made:
    """A finished step, and the fingerprint of the try that made it."""

    checkpoint: Checkpoint
    fingerprint: str


class KeptSteps:
    """`with KeptSteps(folder) as steps`: `find` what an earlier try kept, then `keep` each step."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is the job's own; None keeps the steps in memory alone."""
        self._folder, self._fingerprint = folder, ""
        self._newest: Checkpoint | None = None
        self._waiting: _Made | None = None
        self._busy = self._ends = self._removed = self._failed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="steps", daemon=True)

    def __enter__(self) -> KeptSteps:
        if self._folder is not None:
            remove_unfinished(self._folder / STEPS_FILE)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        with self._changed:
            self._ends = True
            self._changed.notify_all()

    def find(self, fingerprint: str) -> Checkpoint | None:
        """The last step of this try or of an earlier one at the same job; None where it is to begin anew."""
        if self._fingerprint != fingerprint:
            self._fingerprint = fingerprint
            self._newest = self._read()
        return self._newest

    def keep(self, made: Checkpoint) -> None:
        """Have `made` written soon, in place of the one before."""
        with self._changed:
            self._newest, self._waiting = made, _Made(made, self._fingerprint)
            self._changed.notify_all()

    def flush(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until the newest is on the disk, or has failed to get there, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._busy, seconds)

    def remove(self) -> None:
        """The take is whole: nothing of it is needed any more, and what a slow disk still writes goes as well."""
        self.flush()
        with self._changed:
            self._newest = self._waiting = None
            self._removed = True
        self._clear()

    def _clear(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> Checkpoint | None:
        if self._folder is None or not (self._folder / STEPS_FILE).exists():
            return None
        return Checkpoint.read(self._folder / STEPS_FILE, self._fingerprint)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ends)
                made, self._waiting = self._waiting, None
                if made is None:
                    return
                self._busy = True
            self._write(made)
            with self._changed:
                self._busy = False
                removed = self._removed
                self._changed.notify_all()
            if removed:
                self._clear()

    def _write(self, made: _Made) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            made.checkpoint.write(self._folder / STEPS_FILE, made.fingerprint)
        except OSError as error:
            if not self._failed and not self._removed:
                log.warning("finished steps can't be kept in %s: %s", self._folder, error)
            self._failed = True
