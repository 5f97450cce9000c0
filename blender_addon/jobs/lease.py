"""Which Blenders live, by file locks that the system releases when a process ends, however it ends.

Each Blender holds one lock file for as long as it lives: a window that is busy for minutes, a laptop that slept or a
clock that was set is no sign of death. What a Blender has names the lock by its id.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ...wan_backend.protocol.plain_names import is_id
from ...wan_backend.storage import private_files
from ...wan_backend.storage.file_locks import lock, unlock

log = logging.getLogger(__name__)


class Lease:
    """This Blender's lock, taken when its id is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._id = ""
        self._file: BinaryIO | None = None

    @property
    def id(self) -> str:
        """The id of this Blender's lock; empty if the disk can't keep one."""
        if not self._id:
            self._take()
        return self._id

    def is_alive(self, owner: str) -> bool | None:
        """Whether the Blender of that id lives; None if that isn't known."""
        if owner == self._id and owner:
            return True
        if not is_id(owner):
            return None
        try:
            with self._path(owner).open("r+b") as file:
                if not lock(file):
                    return True
                unlock(file)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        with contextlib.suppress(OSError):
            self._path(owner).unlink()
        return False

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the lock for decisions about ownership; False if another Blender holds it."""
        try:
            file = private_files.opened(self._folder / "deciding.lock", "ab")
        except OSError:
            yield False
            return
        with file:
            try:
                mine = lock(file)
            except OSError:
                mine = False
            yield mine

    def release(self) -> None:
        """Release this Blender's lock, because it ends."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._path(self._id).unlink()
        self._file, self._id = None, ""

    def _take(self) -> None:
        made = uuid.uuid4().hex
        try:
            private_files.make_folder(self._folder)
            self._file = private_files.opened(self._path(made))
            if lock(self._file):
                self._id = made
        except OSError as error:
            log.warning("This Blender's lock can't be kept in %s: %s", self._folder, error)

    def _path(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"
