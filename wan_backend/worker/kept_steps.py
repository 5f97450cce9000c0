"""The newest finished step of a job, kept on disk by a thread of its own. May import pipelines and protocol.

The arithmetic never waits for the disk: where it is slower than the steps, only the newest is written. A disk that
takes nothing costs the steps, not the job.
"""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path
from types import TracebackType

from ..pipelines.checkpoint import Checkpoint, Unusable
from ..protocol.media import STEPS_FILE

log = logging.getLogger(__name__)

LAST_SECONDS = 1.0
"""So long the end of a job waits for what is still being written: less than a person waits for a cancel."""


class KeptSteps:
    """`with KeptSteps(folder) as steps`: `find` what an earlier try kept, then `keep` each step."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is the job's own; None keeps the steps in memory alone."""
        self._folder, self._fingerprint = folder, ""
        self._newest: Checkpoint | None = None
        self._waiting: Checkpoint | None = None
        self._busy = self._ends = self._failed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="steps", daemon=True)

    def __enter__(self) -> KeptSteps:
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

    def keep(self, checkpoint: Checkpoint) -> None:
        """Have `checkpoint` written soon, in place of the one before."""
        with self._changed:
            self._newest = self._waiting = checkpoint
            self._changed.notify_all()

    def flush(self, seconds: float = LAST_SECONDS) -> None:
        """Wait until the newest is on the disk, or has failed to get there, or time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._busy, seconds)

    def remove(self) -> None:
        """The take is whole: nothing of it is needed any more."""
        self.flush()
        self._newest = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> Checkpoint | None:
        if self._folder is None or not (self._folder / STEPS_FILE).exists():
            return None
        try:
            return Checkpoint.read(self._folder / STEPS_FILE, self._fingerprint)
        except Unusable as why:
            log.info("the steps in %s are of no use, so the job begins anew: %s", self._folder, why)
            return None

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ends)
                checkpoint, self._waiting = self._waiting, None
                if checkpoint is None:
                    return
                self._busy = True
            self._write(checkpoint)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _write(self, checkpoint: Checkpoint) -> None:
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            checkpoint.write(self._folder / STEPS_FILE, self._fingerprint)
        except OSError as error:
            if not self._failed:
                log.warning("finished steps can't be kept in %s: %s", self._folder, error)
            self._failed = True
