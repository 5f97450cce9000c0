"""The file that `bench --json` asks for, which every form of the benchmark writes its figures to."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..storage import whole_file
from ..storage.disk_errors import reason

_lost: set[Path] = set()
"""The files that couldn't be written when they last were to be."""


def writable(path: str) -> Path:
    """The file as an argument; it is tried before minutes go into what it is for. Raises ArgumentTypeError.

    One that isn't there isn't left behind: a run that fails has no figures.
    """
    file = Path(path)
    try:
        if file.exists():
            with file.open("ab"):
                pass
        else:
            with file.open("xb"):
                pass
            file.unlink()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} can't be written: {error.strerror}") from error
    return file


def write(file: Path | None, found: dict[str, Any]) -> None:
    """Write what is known so far, if a file is asked for; whole, in place of what was known before.

    If it can't be written, that is said, and the measurement goes on: what it prints is still to be had.
    """
    if file is None:
        return
    content = (json.dumps(found, indent=2) + "\n").encode()
    try:
        if file.exists() and not file.is_file():  # a pipe, or /dev/null, is no place to rename to
            file.write_bytes(content)
        else:
            whole_file.write(file.resolve(), content)
    except OSError as error:
        _lost.add(file)
        sys.stderr.write(f"The figures can't be written to {file} ({reason(error)}).\n")
        return
    _lost.discard(file)


def is_lost(file: Path | None) -> bool:
    """Whether the last figures for that file couldn't be written."""
    return file in _lost
