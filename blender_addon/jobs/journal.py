"""Jobs whose sources are still being rendered, on the disk: they outlive a Blender that ends. No bpy.

One file a job. Its owner touches it now and then; one that nobody has touched for a while is an orphan's.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...wan_backend.protocol.conversion import from_json, to_json
from ...wan_backend.protocol.errors import ProtocolError
from ...wan_backend.protocol.messages import TakeRequest

log = logging.getLogger(__name__)

TOUCH_SECONDS = 5.0
ORPHANED_SECONDS = 20.0


class Journal:
    """The files of one folder; those of this Blender are `mine`."""

    def __init__(self, folder: Path) -> None:
        self.mine: set[str] = set()
        self._folder = folder
        self._next_touch = 0.0

    def keep(self, job_id: str, request: TakeRequest, asked: str) -> None:
        """`asked` is what the placeholder remembers (timeline.provenance)."""
        entry = json.dumps({"request": to_json(request), "asked": asked})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file(job_id).with_suffix(".new").write_text(entry, encoding="utf-8")
            self._file(job_id).with_suffix(".new").replace(self._file(job_id))
        except OSError as error:
            log.warning("Job %s is not in the journal: %s", job_id, error)
            return
        self.mine.add(job_id)

    def drop(self, job_id: str) -> None:
        """The job is safe elsewhere, or of no more interest."""
        if job_id in self.mine:
            self.mine.discard(job_id)
            with contextlib.suppress(OSError):
                self._file(job_id).unlink()

    def touch(self) -> bool:
        """Say that the owner lives, if that is due; True where it was."""
        now = time.monotonic()
        if now < self._next_touch:
            return False
        self._next_touch = now + TOUCH_SECONDS
        for job_id in self.mine:
            with contextlib.suppress(OSError):
                os.utime(self._file(job_id))
        return True

    def orphans(self) -> Iterator[tuple[str, TakeRequest, str]]:
        """The jobs whose owner ended; they are mine from now on."""
        try:
            files = sorted(self._folder.glob("*.json"))
        except OSError:
            return
        for file in files:
            if file.stem in self.mine:
                continue
            try:
                if abs(time.time() - file.stat().st_mtime) < ORPHANED_SECONDS:  # a clock may be set back, too
                    continue
                entry = json.loads(file.read_text(encoding="utf-8"))
                request, asked = from_json(TakeRequest, entry["request"], "request"), str(entry["asked"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError, ProtocolError):
                continue
            self.mine.add(file.stem)
            yield file.stem, request, asked

    def _file(self, job_id: str) -> Path:
        return self._folder / f"{job_id}.json"
