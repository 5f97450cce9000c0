"""Keeps jobs whose sources are still being rendered on the disk, so that they outlive a Blender that ends.

One file a job, which names its owner: the Blender that is rendering for it (lease). When that one is dead, one of the
others takes the job over. A file that names none is an orphan once nobody has touched it for a while.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.messages import TakeRequest
from ...wan_backend.protocol.plain_names import is_id
from ...wan_backend.storage import private_files, whole_file
from .lease import Lease

log = logging.getLogger(__name__)

TOUCH_SECONDS = 5.0
ORPHANED_SECONDS = 20.0
"""An entry without an owner, whose disk has no locks, is an orphan if it was not touched for so long."""


class Journal:
    """The jobs in the files of one folder; `mine` are those of this Blender."""

    def __init__(self, folder: Path) -> None:
        self.mine: set[str] = set()
        self._folder = folder
        self._lease = Lease(folder / "owners")
        self._next_touch = 0.0
        whole_file.prune(folder)

    def keep(self, job_id: str, request: TakeRequest, provenance_text: str) -> None:
        """Write the job to the disk; if that fails, a warning is logged. `provenance_text`: see timeline.provenance."""
        entry = {"request": to_json(request), "asked": provenance_text}
        try:
            private_files.make_folder(self._folder)
            self._write(job_id, entry)
        except (OSError, ValueError) as error:
            log.warning("Job %s is not in the journal: %s", job_id, error)
            return
        self.mine.add(job_id)

    def drop(self, job_id: str) -> None:
        """Remove the job: the server has it, or nobody needs it."""
        if job_id in self.mine:
            self.mine.discard(job_id)
            with contextlib.suppress(OSError):
                self._file(job_id).unlink()

    def touch(self) -> bool:
        """Mark the files as used, if that is due; True if it was."""
        now = time.monotonic()
        if now < self._next_touch:
            return False
        self._next_touch = now + TOUCH_SECONDS
        for job_id in self.mine:
            with contextlib.suppress(OSError):
                os.utime(self._file(job_id))
        return True

    def orphans(self) -> Iterator[tuple[str, TakeRequest, str]]:
        """Take over the jobs whose owner ended; yields job id, request and provenance text."""
        try:
            files = sorted(self._folder.glob("*.json"))
        except OSError:
            return
        files = [file for file in files if file.stem not in self.mine and is_id(file.stem)]
        if not any(self._is_orphan(file) for file in files):
            return
        with self._lease.alone() as alone:  # two Blenders that see it both must not both have it
            for file in files if alone else ():
                found = self._taken_over(file)
                if found is not None:
                    yield file.stem, *found

    def held_elsewhere(self, job_id: str) -> bool:
        """Whether another Blender that lives is rendering for the job."""
        if job_id in self.mine or not is_id(job_id) or not self._file(job_id).is_file():
            return False
        return not self._is_orphan(self._file(job_id))

    def release(self) -> None:
        """Leave the jobs to other Blenders, because this one ends."""
        self._lease.release()

    def _taken_over(self, file: Path) -> tuple[TakeRequest, str] | None:
        try:
            if not self._is_orphan(file):
                return None
            entry = _read(file)
            request, provenance_text = from_json(TakeRequest, entry["request"], "request"), str(entry["asked"])
            self._write(file.stem, entry)
        except (OSError, ValueError, KeyError, TypeError, ProtocolError):
            return None
        self.mine.add(file.stem)
        return request, provenance_text

    def _is_orphan(self, file: Path) -> bool:
        try:
            alive = self._lease.is_alive(str(_read(file).get("owner", "")))
            if alive is not None:
                return not alive
            return abs(time.time() - file.stat().st_mtime) >= ORPHANED_SECONDS  # a clock may be set back, too
        except (OSError, ValueError):
            return False

    def _write(self, job_id: str, entry: dict[str, Any]) -> None:
        whole_file.write_json(self._file(job_id), {**entry, "owner": self._lease.id}, flushed=False)

    def _file(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"


def _read(file: Path) -> dict[str, Any]:
    """The entry in `file`. Raises OSError and ValueError."""
    if file.stat().st_size > 4 * bounds.MAX_JSON_CHARACTERS:
        raise ValueError("too long")
    entry = bounds.json_values(file.read_text(encoding="utf-8"))
    if not isinstance(entry, dict):
        raise ValueError("no entry")
    return entry
