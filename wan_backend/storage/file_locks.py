"""Locks on files, which the system releases when the process that has one ends, however it ends."""

from __future__ import annotations

import contextlib
import sys
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def lock(file: BinaryIO) -> bool:
        """Lock the file; False if another process has."""
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(file: BinaryIO) -> None:
        """Take the lock back."""
        with contextlib.suppress(OSError):
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(file: BinaryIO) -> bool:
        """Lock the file; False if another process has. Raises OSError if the file system has no locks."""
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(file: BinaryIO) -> None:
        """Take the lock back."""
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
