"""Makes files and folders that nobody else on the machine may read.

The folder that the add-on and the server keep for themselves holds prompts, paths and pictures. What they make there is
theirs alone, whatever the person's umask; takes and models are made as the person's umask says. (On Windows, if it
lies in the person's own folders, the system sees to that.)
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, cast

from . import folder_trees

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_OTHERS = 0o077
_BINARY = os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0)
_FLAGS = {"wb": _BINARY | os.O_TRUNC, "ab": _BINARY | os.O_APPEND}
_VARIABLE = "WAN_VSE_UMASK"
"""Tells the children of a private process what the person's umask is."""


def begin() -> None:
    """From now on, whatever this process and its children make is private, but for what is opened up.

    In a child of such a process, the person's umask stays what it was before that.
    """
    before = os.umask(_OTHERS)
    if before != _OTHERS or not os.environ.get(_VARIABLE):
        os.environ[_VARIABLE] = f"{before:o}"


def end() -> None:
    """This process makes the person's files, as one that fetches models does: their umask holds again."""
    umask = _persons_umask()
    if umask is not None:
        os.umask(umask)


def open_up(path: Path) -> None:
    """Give a folder and all in it, made by a private process, the modes that the person's umask says. Raises OSError.

    In a folder that is private itself, it stays private.
    """
    umask = _persons_umask()
    if umask is not None and not _is_private(path.parent):
        for each in (path, *path.rglob("*")):
            if not each.is_symlink():
                each.chmod((0o777 if each.is_dir() else 0o666) & ~umask)


def make_open_folder(path: Path) -> None:
    """Make a folder of the person's, with those above it; private in a private one. Raises OSError."""
    missing = folder_trees.make(path)
    umask = _persons_umask()
    if umask is not None and not (missing and _is_private(missing[-1].parent)):
        for folder in missing:
            folder.chmod(0o777 & ~umask)


def make_folder(path: Path) -> None:
    """Make a private folder; one that is there is made private. Raises OSError if there is none then."""
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    _tighten(path)


def make_private(path: Path) -> None:
    """Make a file or folder private, as far as that can be done. Never raises."""
    _tighten(path)


def tighten(folder: Path) -> None:
    """Make a folder private and, if it was open to others, what lies right in it. Never raises."""
    if _tighten(folder):
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                _tighten(path)


def tighten_all(folder: Path) -> None:
    """Make all that lies in a folder private, however deep: seconds, if it holds ten thousand jobs. Never raises."""
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _tighten(Path(path, name))


def opened(path: Path, mode: str = "wb", buffering: int = -1) -> BinaryIO:
    """Open a private file for writing bytes; one that is there is made private. Raises OSError."""
    handle = os.open(path, _FLAGS[mode], FILE_MODE)
    _tighten(path)
    return cast(BinaryIO, os.fdopen(handle, mode, buffering))


def write_text(path: Path, text: str) -> None:
    """Write a private file. Raises OSError."""
    with opened(path) as stream:
        stream.write(text.encode("utf-8"))


def _tighten(path: Path) -> bool:
    """Close it to others; whether it was open to them."""
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & _OTHERS and os.name != "nt":
            path.chmod(stat.S_IMODE(mode) & ~_OTHERS)
            return True
    return False


def _is_private(folder: Path) -> bool:
    return not folder.stat().st_mode & _OTHERS


def _persons_umask() -> int | None:
    """None if this is no child of a private process: then nothing has to be undone."""
    try:
        return int(os.environ[_VARIABLE], 8) & 0o777
    except (KeyError, ValueError):
        return None
