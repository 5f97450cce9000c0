"""Writes files, JSON among them, that are either whole or not there, whatever is killed when."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..protocol.bounds import json_values
from ..protocol.sentences import Sentence

UNFINISHED_SUFFIX = ".part"
TEMPORARY_SUFFIX = ".tmp"
"""The endings of files that are being written: in one place, or in one of its own for each writer. Those that a kill
left are worth nothing."""
MAX_OWN_JSON_BYTES = 64 << 20
"""No file of the queue or of a take comes near it; a larger one is none of them, and must not fill the memory."""
LEFT_SECONDS = 3600.0
"""A file that was begun so long ago isn't being written any more."""
SEAL_BYTES = 32
_TEMPORARY = re.compile(r"\.json\.[a-z0-9_]{8}" + re.escape(TEMPORARY_SUFFIX) + "$")
REPLACE_TRIES = 5
"""On Windows a virus scanner may hold a file for a moment."""


def write(file: Path, content: bytes | memoryview, flushed: bool = False, unfinished: Path | None = None) -> None:
    """Put `content` into `file`: written beside it, renamed over it. Raises OSError, and leaves `file` as it was.

    `flushed`: it is on the disk before it has its name, so that a power cut does no harm either. `unfinished` is
    where it is written, for a file that several processes may write at once.
    """
    unfinished = unfinished or file.with_name(file.name + UNFINISHED_SUFFIX)
    try:
        with open(unfinished, "wb") as stream:
            stream.write(content)
            if flushed:
                stream.flush()
                os.fsync(stream.fileno())
        replace(unfinished, file)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise


def replace(source: Path, file: Path) -> None:
    """Rename `source` to `file`, in place of what is there; on Windows again if that is held. Raises OSError."""
    for attempt in range(REPLACE_TRIES):
        try:
            os.replace(source, file)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == REPLACE_TRIES - 1:
                raise
            time.sleep(0.02 * 2**attempt)


def write_json(file: Path, value: Any, flushed: bool = True) -> None:
    """Put `value` into `file`, which nobody else may read. Raises OSError.

    Not `flushed`, it is whole after any kill, but a power cut may cost it.
    """
    content = json.dumps(value, indent=1, allow_nan=False).encode("ascii")
    handle, temporary = tempfile.mkstemp(prefix=file.name + ".", suffix=TEMPORARY_SUFFIX, dir=file.parent)
    os.close(handle)
    write(file, content, flushed=flushed, unfinished=Path(temporary))
    if flushed:
        sync_folder(file.parent)


def prune(folder: Path) -> None:
    """Remove what writers of JSON left right in `folder` when they were killed long ago. Never raises."""
    with contextlib.suppress(OSError):
        for place in os.scandir(folder):
            with contextlib.suppress(OSError):  # as of one that another server has renamed meanwhile
                if _TEMPORARY.search(place.name) and time.time() - place.stat().st_mtime > LEFT_SECONDS:
                    os.unlink(place.path)


def read_json(file: Path, max_bytes: int = MAX_OWN_JSON_BYTES) -> Any:
    """The value in `file`, whose numbers are all finite; raises OSError or ValueError."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:  # O_NONBLOCK: a named pipe in the place of a file would be waited for, for ever
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(Sentence("{file} is not a plain file", file=file))
        with open(handle, "rb", closefd=False) as stream:
            content = stream.read(max_bytes + 1)
    finally:
        os.close(handle)
    if len(content) > max_bytes:
        raise ValueError(Sentence("{file} has more than {most} bytes", file=file, most=f"{max_bytes:,}"))
    return json_values(content)


def sealed(content: bytes) -> bytes:
    """The content and its checksum, for a file that nothing else would tell from a damaged one."""
    return content + hashlib.sha256(content).digest()


def unsealed(content: bytes) -> bytes:
    """The content that was sealed. Raises ValueError if it is not unchanged."""
    kept, digest = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if hashlib.sha256(kept).digest() != digest:
        raise ValueError(Sentence("it is not as it was written: its checksum is another one"))
    return kept


def sync_folder(folder: Path) -> None:
    """See the names in `folder` onto the disk, if the system can: a rename then outlasts a power cut."""
    with contextlib.suppress(OSError):  # Windows opens no folders; some network disks sync none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
