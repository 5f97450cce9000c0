"""Files that are either whole or not there, whatever is killed when."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

PART_SUFFIX = ".part"
"""Of a file that is being written; one that a kill left is worth nothing."""
SEAL_BYTES = 32
REPLACE_TRIES = 5
"""On Windows a virus scanner may hold a file for a moment."""


def write(file: Path, content: bytes | memoryview, flushed: bool = False, part: Path | None = None) -> None:
    """Put `content` into `file`: written beside it, renamed over it. Raises OSError, and leaves `file` as it was.

    `flushed`: it is on the disk before it has its name, so that a power cut does no harm either. `part` is where it
    is written, for a file that several processes may write at once.
    """
    part = part or file.with_name(file.name + PART_SUFFIX)
    try:
        with open(part, "wb") as stream:
            stream.write(content)
            if flushed:
                stream.flush()
                os.fsync(stream.fileno())
        replace(part, file)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def replace(source: Path, file: Path) -> None:
    """Rename `source` to `file`, in place of what is there; on Windows again where that is held. Raises OSError."""
    for attempt in range(REPLACE_TRIES):
        try:
            os.replace(source, file)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == REPLACE_TRIES - 1:
                raise
            time.sleep(0.02 * 2**attempt)


def sealed(content: bytes) -> bytes:
    """The content and its checksum, for a file that nothing else would tell from a damaged one."""
    return content + hashlib.sha256(content).digest()


def unsealed(content: bytes) -> bytes:
    """What was sealed. Raises ValueError where it's not all as it was."""
    kept, digest = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if hashlib.sha256(kept).digest() != digest:
        raise ValueError("it is not as it was written: its checksum is another one")
    return kept


def sync_folder(folder: Path) -> None:
    """See the names in `folder` onto the disk, where the system can: a rename then outlasts a power cut."""
    with contextlib.suppress(OSError):  # Windows opens no folders; some network disks sync none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
