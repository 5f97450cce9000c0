"""Makes and removes folders however deep they lie: Python's own functions call themselves for each of the levels.

A media folder, a zip's names and what somebody left in a folder may be nested as deeply as a disk allows.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from ..protocol.sentences import Sentence


def make(folder: Path) -> list[Path]:
    """Make a folder with those above it, unless it is there; those that were missing, itself first. Raises OSError."""
    missing: list[Path] = []
    for each in (folder, *folder.parents):
        if each.exists():
            break
        missing.append(each)
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)  # says what stands in its place, if that is no folder
    return missing


def remove(folder: Path, ignore_errors: bool = False) -> None:
    """Remove a folder and all in it. Raises OSError, unless errors are ignored: then it may still be there."""
    try:
        shutil.rmtree(folder, ignore_errors)
    except RecursionError:
        if not ignore_errors:
            raise OSError(errno.ELOOP, Sentence("folders are nested too deeply in it"), str(folder)) from None
