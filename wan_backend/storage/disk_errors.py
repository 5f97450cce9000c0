"""What the system's errors of reading and writing mean for a person: a full disk, a quota, no permission."""

from __future__ import annotations

import errno
from pathlib import Path

from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from .byte_sizes import free_bytes_at

QUOTA_ON_WINDOWS = 1295
ROOM_BYTES = 16 << 20
"""Where so much is free, it isn't for want of bytes that a small file can't be written."""


def reason(error: OSError) -> str:
    """The system's words for `error`, without its number and path."""
    return error.strerror or str(error)


def is_full(error: OSError) -> bool:
    """True if `error` says that there is no room left on the disk, or none for this user."""
    return error.errno == errno.ENOSPC or is_quota(error)


def is_quota(error: OSError) -> bool:
    """True if the disk may have room, but not for this user."""
    return error.errno == getattr(errno, "EDQUOT", None) or getattr(error, "winerror", None) == QUOTA_ON_WINDOWS


def _has_room(path: object) -> bool:
    """Whether the disk of a file, which need not be there, has bytes left."""
    try:
        return isinstance(path, str) and Path(path).is_absolute() and free_bytes_at(Path(path)) > ROOM_BYTES
    except (OSError, ValueError):
        return False


def write_problem(error: OSError, what: Sentence) -> Problem:
    """The problem that `error` is for who wrote something; `what` begins its sentence: "The job was not accepted"."""
    path = error.filename or Sentence("the state folder")
    if is_quota(error):
        sentence = Sentence(
            "{what}: your quota on the disk of {path} is used up; delete something of yours and try again.",
            what=what,
            path=path,
        )
        return Problem(ProblemKind.DISK_FULL, sentence)
    if is_full(error) and _has_room(error.filename):
        sentence = Sentence(
            "{what}: the disk of {path} has room, but holds as many files as it can; delete some there and try again.",
            what=what,
            path=path,
        )
        return Problem(ProblemKind.DISK_FULL, sentence)
    if is_full(error):
        return Problem(
            ProblemKind.DISK_FULL,
            Sentence("{what}: the disk of {path} is full; make room and try again.", what=what, path=path),
        )
    denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    advice = Sentence("make it writable") if denied else Sentence("check that disk and try again")
    return Problem(
        ProblemKind.FOLDER,
        Sentence(
            "{what}: {path} can't be written ({reason}); {advice}.",
            what=what,
            path=path,
            reason=reason(error),
            advice=advice,
        ),
    )
