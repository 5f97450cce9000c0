"""Records which live server owns which jobs, by locks that the system gives up when a process dies, however it dies.

Several servers may share a state folder (two windows of Blender). Each holds servers/<its id>.lock as long as it
lives; a job names its owner, and is left alone while that owner lives. Who takes over from a dead one writes
servers/<dead id>.heir with its own id, once for all the dead one's jobs: writing each job anew would take minutes on
a slow disk.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import uuid
from collections.abc import Container, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..storage import whole_file

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 0.5
"""Others hold these locks for a moment; the server must answer within a second of its start."""
ADOPT_TIMEOUT_SECONDS = 60.0
"""Another server may read ten thousand jobs meanwhile; this is waited for by a thread of its own."""
_ID = re.compile(r"[0-9a-z]{1,64}")


class Owner:
    """This server's own mark in the state folder."""

    def __init__(self, state_folder: Path) -> None:
        """Take the lock. Raises OSError if the folder can't be written."""
        self.id = uuid.uuid4().hex
        self._folder = state_folder / "servers"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._file(self.id))
        self._lock.acquire(timeout=LOCK_TIMEOUT_SECONDS)

    @contextlib.contextmanager
    def adopting(self) -> Iterator[None]:
        """While this is held, no other server decides whose jobs are whose. Raises Timeout if one hangs at it."""
        lock = FileLock(self._folder / "adopt.lock", timeout=ADOPT_TIMEOUT_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise
        except OSError as error:  # better that two servers show the same jobs than none
            log.warning("%s can't be locked: %s", lock.lock_file, error)
        try:
            yield
        finally:
            lock.release()

    def is_alive(self, owner_id: str) -> bool:
        """Whether another server of that id lives; its lock file is removed if it doesn't.

        One whose file can't be locked at all, as it is another user's, is taken to live: its jobs are left alone.
        """
        if owner_id == self.id:
            return False
        file = self._file(owner_id)
        if not _ID.fullmatch(owner_id) or not file.is_file():
            return False
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError as error:
            log.warning("Whether the server of %s lives is not known: %s", file, error)
            return True
        if sys.platform != "win32":  # there, an open file can't be removed
            _remove(file)
        lock.release()
        _remove(file)
        return False

    def heir(self, owner_id: str) -> str:
        """The id of the server that took over from that dead server; empty: nobody yet."""
        file = self._heir_file(owner_id)
        if not _ID.fullmatch(owner_id) or not file.is_file():
            return ""
        try:
            written = file.read_text("ascii").strip()
        except (OSError, ValueError):
            return ""
        return written if _ID.fullmatch(written) else ""

    def inherit(self, owner_id: str) -> None:
        """Take over from that dead server; to be called while `adopting`. Raises OSError."""
        if _ID.fullmatch(owner_id):
            whole_file.write(self._heir_file(owner_id), self.id.encode("ascii"))

    def forget_heirs(self, needed: Container[str]) -> None:
        """Remove what says who took over from servers that no job names any more; to be called while `adopting`."""
        for file in self._folder.glob("*.heir"):
            if file.stem not in needed:
                _remove(file)

    def others_alive(self) -> bool:
        """Whether any other server lives on this state folder."""
        ids = [file.stem for file in self._folder.glob("*.lock") if file.stem not in ("adopt", self.id)]
        return any([self.is_alive(owner_id) for owner_id in ids])

    def release(self) -> None:
        """Give the lock up: this server leaves."""
        if sys.platform != "win32":
            _remove(self._file(self.id))
        self._lock.release()
        _remove(self._file(self.id))

    def _file(self, owner_id: str) -> Path:
        return self._folder / f"{owner_id}.lock"

    def _heir_file(self, owner_id: str) -> Path:
        return self._folder / f"{owner_id}.heir"


def is_owner_id(text: str) -> bool:
    """Whether that may be the id of a server."""
    return _ID.fullmatch(text) is not None


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
