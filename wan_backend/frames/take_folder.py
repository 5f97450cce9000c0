"""A take's folder: written aside, and there only when whole. whole_file, standard library and protocol only.

<media_folder>/<job_id>.partial/ becomes <media_folder>/<job_id>/ by one rename, after its settings are written.
Errors of the disk come through as OSError.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from ..protocol.media import PARTIAL_SUFFIX, SETTINGS_FILE
from ..storage import private_files, whole_file

REPLACED_SUFFIX = ".replaced"


class TakeFolder:
    """`with TakeFolder(...) as take:` write into `take.partial`, then `publish`; else nothing is left behind."""

    def __init__(self, media_folder: Path, job_id: str) -> None:
        self.partial = media_folder / (job_id + PARTIAL_SUFFIX)
        self.final = media_folder / job_id
        self._published = False

    def __enter__(self) -> TakeFolder:
        if self.partial.is_symlink():  # nobody here makes one, and nothing is to be written where it leads
            self.partial.unlink()
        elif self.partial.exists():  # of this job, before its worker died
            shutil.rmtree(self.partial)
        private_files.make_open_folder(self.partial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._published:
            shutil.rmtree(self.partial, ignore_errors=True)

    def publish(self, settings: dict[str, Any]) -> Path:
        """Write `settings` beside the media and give the folder its name; returns the folder.

        A take that this very job made before is replaced; until the new one is there, it stays. What is there and
        isn't called a take by its settings is nobody's to remove: it is renamed, and kept.
        """
        content = json.dumps(settings, indent=2).encode("ascii") + b"\n"
        whole_file.write(self.partial / SETTINGS_FILE, content, flushed=True)
        private_files.open_up(self.partial)
        whole_file.sync_folder(self.partial)
        was_take = (self.final / SETTINGS_FILE).is_file() and not self.final.is_symlink()
        replaced = self.final.with_name(self.final.name + REPLACED_SUFFIX) if was_take else self._kept()
        if os.path.lexists(self.final):
            if was_take:
                shutil.rmtree(replaced, ignore_errors=True)
            os.rename(self.final, replaced)
        try:
            os.rename(self.partial, self.final)
        except OSError:
            if replaced.exists():
                os.rename(replaced, self.final)
            raise
        self._published = True
        if was_take:
            shutil.rmtree(replaced, ignore_errors=True)
        whole_file.sync_folder(self.final.parent)
        return self.final

    def _kept(self) -> Path:
        """A name that is free for what is in the way."""
        number = 1
        while os.path.lexists(kept := self.final.with_name(f"{self.final.name}.kept-{number}")):
            number += 1
        return kept
