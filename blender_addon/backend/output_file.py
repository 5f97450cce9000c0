"""The file that a child writes to and the add-on reads as it grows; what was read is given back to the disk.

A pipe would need no file, but its buffer is soon full while Blender renders or a dialog is open: the child would wait.

What was read can't be cut off: between a look at the file's length and the cut, the child may write on, and that line
would be lost. So the bytes stay counted and their room alone is given back, as a hole. Linux, macOS and Windows each
have a call for that, on the usual file systems; on any other, the file grows until the child ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ...wan_backend.storage import private_files

log = logging.getLogger(__name__)

CHUNK_BYTES = 65536
HOLE_BYTES = 1 << 20
"""The file is made sparse in pieces of this size, a whole number of any file system's blocks."""
MIN_FREE_BYTES = 1 << 16
"""With less free space than this, the child is taken to be unable to write."""


class OutputFile:
    """The output of one child, which begins empty. Raises OSError if it can't be created."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.for_child: BinaryIO = private_files.opened(path, buffering=0)
        """The end that the child writes to; to be closed here once the child has it."""
        self._file = path.open("r+b", buffering=0)
        self._read = self._freed = 0
        self._punch: Callable[[BinaryIO, int, int], None] | None = _punch_hole
        with contextlib.suppress(OSError):
            _prepare(self._file)

    def read(self) -> bytes:
        """The output since the last read, at most `CHUNK_BYTES`; empty if there is no more for now."""
        if self._file.closed:
            return b""
        chunk = self._file.read(CHUNK_BYTES) or b""
        self._read += len(chunk)
        if self._read - self._freed >= 2 * HOLE_BYTES:  # the last piece stays, as only whole blocks are freed
            self._free_read_part()
        return chunk

    @property
    def is_disk_full(self) -> bool:
        """True if the disk is full, so that the child can't write."""
        try:
            return shutil.disk_usage(self.path.parent).free < MIN_FREE_BYTES
        except OSError:
            return False

    def remove(self) -> None:
        """Close and delete the file, because the child is gone."""
        for file in (self.for_child, self._file):
            with contextlib.suppress(OSError):
                file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _free_read_part(self) -> None:
        until = self._read // HOLE_BYTES * HOLE_BYTES
        try:
            if self._punch is not None:
                self._punch(self._file, self._freed, until - self._freed)
        except (OSError, AttributeError) as error:
            self._punch = None
            log.info("%s grows until its backend ends: %s", self.path, error)
        self._freed = until


if sys.platform == "win32":
    import msvcrt

    _SET_SPARSE, _SET_ZERO_DATA = 0x000900C4, 0x000980C8  # FSCTL_SET_SPARSE and FSCTL_SET_ZERO_DATA of <winioctl.h>

    def _control(file: BinaryIO, code: int, values: bytes) -> None:
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(file.fileno()))
        given, returned = ctypes.create_string_buffer(values, max(1, len(values))), ctypes.c_ulong()
        size = ctypes.c_ulong(len(values))
        control = ctypes.windll.kernel32.DeviceIoControl
        if not control(handle, ctypes.c_ulong(code), given, size, None, 0, ctypes.byref(returned), None):
            raise ctypes.WinError()

    def _prepare(file: BinaryIO) -> None:
        _control(file, _SET_SPARSE, b"")

    def _punch_hole(file: BinaryIO, start: int, length: int) -> None:
        _control(file, _SET_ZERO_DATA, struct.pack("=qq", start, start + length))

elif sys.platform == "darwin":
    import fcntl

    _F_PUNCHHOLE = 99  # of <sys/fcntl.h>

    def _prepare(file: BinaryIO) -> None:
        pass

    def _punch_hole(file: BinaryIO, start: int, length: int) -> None:
        fcntl.fcntl(file.fileno(), _F_PUNCHHOLE, struct.pack("=IIqq", 0, 0, start, length))

else:
    _KEEP_SIZE_AND_PUNCH = 3  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE of <linux/falloc.h>

    def _prepare(file: BinaryIO) -> None:
        pass

    def _punch_hole(file: BinaryIO, start: int, length: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        fallocate = getattr(libc, "fallocate64", None) or libc.fallocate
        place = (ctypes.c_int64(start), ctypes.c_int64(length))
        if fallocate(file.fileno(), _KEEP_SIZE_AND_PUNCH, *place) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
