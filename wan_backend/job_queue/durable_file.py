"""JSON files that are either whole or not there, also after a power cut. whole_file and standard library only."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from .. import whole_file

TEMPORARY_SUFFIX = ".tmp"
"""Of a file that is being written; one that a kill left is worth nothing."""


def write_json(file: Path, value: Any) -> None:
    """Put `value` into `file`, which nobody else may read. Raises OSError."""
    content = json.dumps(value, indent=1, allow_nan=False).encode("ascii")
    handle, temporary = tempfile.mkstemp(prefix=file.name + ".", suffix=TEMPORARY_SUFFIX, dir=file.parent)
    os.close(handle)
    whole_file.write(file, content, flushed=True, part=Path(temporary))
    whole_file.sync_folder(file.parent)


def read_json(file: Path) -> Any:
    """The value in `file`; raises OSError or ValueError."""
    try:
        return json.loads(file.read_bytes())
    except RecursionError:
        raise ValueError(f"{file} is nested too deeply") from None
