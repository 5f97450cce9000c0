"""JSON files that are whole or not there, also after a power cut."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from ..protocol.bounds import json_values
from . import whole_file

TEMPORARY_SUFFIX = ".tmp"
"""Of a file that is being written; one that a kill left is worth nothing."""
MAX_BYTES = 64 << 20
"""No file of the queue or of a take comes near it; a larger one is none of them, and must not fill the memory."""


def write_json(file: Path, value: Any, flushed: bool = True) -> None:
    """Put `value` into `file`, which nobody else may read. Raises OSError.

    Not `flushed`, it is whole after any kill, but a power cut may cost it.
    """
    content = json.dumps(value, indent=1, allow_nan=False).encode("ascii")
    handle, temporary = tempfile.mkstemp(prefix=file.name + ".", suffix=TEMPORARY_SUFFIX, dir=file.parent)
    os.close(handle)
    whole_file.write(file, content, flushed=flushed, part=Path(temporary))
    if flushed:
        whole_file.sync_folder(file.parent)


def read_json(file: Path, most_bytes: int = MAX_BYTES) -> Any:
    """The value in `file`, whose numbers are all finite; raises OSError or ValueError."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:  # O_NONBLOCK: a named pipe in the place of a file would be waited for, for ever
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(f"{file} is not a plain file")
        with open(handle, "rb", closefd=False) as stream:
            content = stream.read(most_bytes + 1)
    finally:
        os.close(handle)
    if len(content) > most_bytes:
        raise ValueError(f"{file} has more than {most_bytes:,} bytes")
    return json_values(content)
