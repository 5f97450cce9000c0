"""A take's folder, which appears only when it's whole.

<media_folder>/<job_id>.partial/ gets a name that a person can read (protocol.take_names) by one rename, after its
settings are written. Errors of the disk are raised as OSError.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ..protocol import bounds, take_names
from ..protocol.media import MOVIE_FILES, PARTIAL_SUFFIX, SETTINGS_FILE, TRASH_FOLDER
from . import folder_trees, private_files, whole_file

REPLACED_SUFFIX = ".replaced"
OF_TAKE = re.compile(r"[0-9]{4,6}\.png|" + "|".join(map(re.escape, (SETTINGS_FILE, *MOVIE_FILES.values()))))
"""What a worker writes into a take's folder."""
NAME_TRIES = 20
"""So often another worker may take the name that was free a moment ago."""


class TakeFolder:
    """Used as `with TakeFolder(...) as take`: write into `take.partial`, then `publish`; else nothing is left."""

    def __init__(self, media_folder: Path, job_id: str, title: str) -> None:
        """`title` is what the folder is called behind its number (protocol.take_names)."""
        self.partial = media_folder / (job_id + PARTIAL_SUFFIX)
        self._media_folder = media_folder
        self._job_id = job_id
        self._title = title
        self._published = False

    def __enter__(self) -> TakeFolder:
        if self.partial.is_symlink():  # it's not ours, and nothing must be written where it leads
            self.partial.unlink()
        elif self.partial.exists():  # this job's, from a worker that died
            folder_trees.remove(self.partial)
        private_files.make_open_folder(self.partial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._published:
            folder_trees.remove(self.partial, ignore_errors=True)

    def publish(self, settings_for: Callable[[Path], dict[str, Any]]) -> Path:
        """Write the settings beside the media and give the folder its name; returns the folder.

        `settings_for` makes the settings for the folder that the take will be in. A take that this job made before is
        replaced once the new one is there, and its name is used again. No other folder is touched.
        """
        self._bring_back_replaced()
        before = self._made_before()
        if before is not None:
            self._write_settings(settings_for(before))
            self._replace(before)
            return self._done(before)
        for _ in range(NAME_TRIES):
            final = self._free()
            self._write_settings(settings_for(final))
            if not os.path.lexists(final) and self._rename(final):
                return self._done(final)
        raise FileExistsError(errno.EEXIST, "Another take got each name that was free", str(self._media_folder))

    def _done(self, final: Path) -> Path:
        self._published = True
        whole_file.sync_folder(final.parent)
        return final

    def _write_settings(self, settings: dict[str, Any]) -> None:
        content = json.dumps({**settings, take_names.TITLE_KEY: self._title}, indent=2).encode("ascii") + b"\n"
        whole_file.write(self.partial / SETTINGS_FILE, content, flushed=True)
        private_files.open_up(self.partial)
        whole_file.sync_folder(self.partial)

    def _rename(self, final: Path) -> bool:
        """False if another worker has just taken the name."""
        try:
            os.rename(self.partial, final)
        except OSError:
            if os.path.lexists(final) and self.partial.is_dir():
                return False
            raise
        return True

    def _replace(self, before: Path) -> None:
        replaced = self._replaced(before.name)
        folder_trees.remove(replaced, ignore_errors=True)
        os.rename(before, replaced)
        try:
            os.rename(self.partial, before)
        except OSError:
            os.rename(replaced, before)
            raise
        for name in os.listdir(replaced):
            if OF_TAKE.fullmatch(name) is None and not os.path.lexists(before / name):
                os.rename(replaced / name, before / name)  # a person's
        folder_trees.remove(replaced, ignore_errors=True)

    def _replaced(self, name: str) -> Path:
        """Where a take lies while the new one gets its name. The job's id is in it: no other folder is called so."""
        return self._media_folder / f"{name}.{self._job_id}{REPLACED_SUFFIX}"

    def _bring_back_replaced(self) -> None:
        """Where a worker died between two names, the take has none: give it back its own."""
        suffix = f".{self._job_id}{REPLACED_SUFFIX}"
        for name in os.listdir(self._media_folder):
            before = self._media_folder / name.removesuffix(suffix)
            if name.endswith(suffix) and not os.path.lexists(before):
                os.rename(self._media_folder / name, before)

    def _made_before(self) -> Path | None:
        """The folder in which this job's take lies already, as where its end was not written down; None if none is."""
        names = [name for name in os.listdir(self._media_folder) if take_names.title_of(name) == self._title]
        for folder in (self._media_folder / name for name in (self._job_id, *sorted(names))):
            if not folder.is_symlink() and self._is_this_jobs(folder / SETTINGS_FILE):
                return folder
        return None

    def _is_this_jobs(self, file: Path) -> bool:
        try:
            settings = whole_file.read_json(file, bounds.MAX_JSON_CHARACTERS)
        except (OSError, ValueError):
            return False
        return isinstance(settings, dict) and settings.get("job_id") == self._job_id

    def _free(self) -> Path:
        """A name that no take has, here or in the trash, from which it may come back; the job's where none is left."""
        names = os.listdir(self._media_folder)
        with suppress(OSError):
            names += os.listdir(self._media_folder / TRASH_FOLDER)
        number = take_names.next_number(names)
        return self._media_folder / (take_names.numbered(number, self._title) if number else self._job_id)
