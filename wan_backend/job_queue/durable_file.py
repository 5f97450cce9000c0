"""Files that are either whole or not there, whatever is killed when. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".tmp"
"""Of a file that is being written; one that a kill left is worth nothing."""
REPLACE_TRIES = 5
"""On Windows a virus scanner may hold a file for a moment."""


def write_json(file: Path, value: Any) -> None:
    """Put `value` into `file`: a temporary file, flushed to the disk, renamed over it. Raises OSError."""
    handle, temporary = tempfile.mkstemp(prefix=file.name + ".", suffix=TEMPORARY_SUFFIX, dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(json.dumps(value, indent=1, allow_nan=False).encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())
        _replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(file.parent)


def read_json(file: Path) -> Any:
    """The value in `file`; raises OSError or ValueError."""
    try:
        return json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError(f"{file} is nested too deeply") from None


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlast a power cut, where the system has a way to ask for that."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems can't
            os.fsync(handle)
    finally:
        os.close(handle)


def _replace(temporary: str, file: Path) -> None:
    for attempt in range(REPLACE_TRIES):
        try:
            os.replace(temporary, file)
            return
        except PermissionError:
            if sys.platform != "win32" or attempt == REPLACE_TRIES - 1:
                raise
            time.sleep(0.02 * 2**attempt)
