"""Checks whether a take can be written to its media folder.

It changes nothing: a plan is asked for at every key press in the panel.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from ..protocol.messages import Problem, ProblemKind

QUOTA_ON_WINDOWS = 1295
RESERVE_BYTES = 16 << 20
"""Left free beside the take, for its settings, the queue and the logs."""


def check(folder: str, needed_bytes: int) -> Problem | None:
    """Why a take of `needed_bytes` can't be written under `folder`, or None."""
    not_a_path = f"The media folder '{_shown(folder)}' is not a full path; choose another in the preferences."
    if not folder or not os.path.isabs(folder):
        return _refuse(not_a_path)
    try:
        return _check_folder(Path(folder), needed_bytes)
    except ValueError:  # a zero in it, or half a character that no system has
        return _refuse(not_a_path)
    except OSError as error:
        return _refuse(f"The media folder {folder} can't be used ({reason(error)}); choose another in the preferences.")


def _shown(folder: str) -> str:
    return folder.replace("\0", "?").encode("utf-8", "replace").decode()


def reason(error: OSError) -> str:
    """The system's words for `error`, without its number and path."""
    return error.strerror or str(error)


def is_full(error: OSError) -> bool:
    """True if `error` says that there is no room left on the disk, or none for this user."""
    return error.errno == errno.ENOSPC or is_quota(error)


def is_quota(error: OSError) -> bool:
    """True if the disk may have room, but not for this user."""
    return error.errno == getattr(errno, "EDQUOT", None) or getattr(error, "winerror", None) == QUOTA_ON_WINDOWS


def write_problem(error: OSError, what: str) -> Problem:
    """The problem that `error` is for who wrote something; `what` begins its sentence: "The job was not accepted"."""
    path = error.filename or "the state folder"
    if is_quota(error):
        sentence = f"{what}: your quota on the disk of {path} is used up; delete something of yours and try again."
        return Problem(ProblemKind.DISK_FULL, sentence)
    if is_full(error):
        return Problem(ProblemKind.DISK_FULL, f"{what}: the disk of {path} is full; make room and try again.")
    denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    advice = "make it writable" if denied else "check that disk and try again"
    return _refuse(f"{what}: {path} can't be written ({reason(error)}); {advice}.")


def existing_ancestor(folder: Path) -> Path:
    """`folder`, or the nearest folder above it that is there; `folder` itself if none is, as on a missing drive."""
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def free_bytes_at(folder: Path) -> int:
    """Free bytes on the disk where `folder` is or would be. Raises OSError."""
    return shutil.disk_usage(existing_ancestor(folder)).free


def size_in_words(size_bytes: int) -> str:
    """A size for a person: "350 MB", "28.9 GB"."""
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{max(1, round(size_bytes / 1e6))} MB"


def _check_folder(folder: Path, needed_bytes: int) -> Problem | None:
    parent = folder
    while not _exists(parent):
        if parent.parent == parent:
            return _refuse(f"There is no drive or folder {parent}; choose another media folder in the preferences.")
        parent = parent.parent
    if not parent.is_dir():
        return _refuse(
            f"The media folder {folder} can't be created: {parent} is a file; "
            "rename that file or choose another folder."
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        return _refuse(
            f"The folder {parent} can't be written to; choose another media folder in the preferences "
            "or change the folder's permissions."
        )
    free_bytes = shutil.disk_usage(parent).free
    if free_bytes < needed_bytes + RESERVE_BYTES:
        return Problem(
            ProblemKind.DISK_FULL,
            f"The take needs about {size_in_words(needed_bytes + RESERVE_BYTES)} in {folder}, but only "
            f"{size_in_words(free_bytes)} are free; make room on that disk or choose another media folder.",
        )
    return None


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _refuse(sentence: str) -> Problem:
    return Problem(ProblemKind.FOLDER, sentence)
