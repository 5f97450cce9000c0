"""Reads people's own files and folders safely.

Anything may lie on a disk: an unreadable file, one that has gone meanwhile, a pipe under a model's name, JSON with
1e999 in it. It costs that one file, which is refused with a sentence, and never the reading of the others.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..protocol import shallow_json
from ..protocol.sentences import Sentence
from .disk_errors import reason

log = logging.getLogger(__name__)

MAX_JSON_BYTES = 25_000_000
"""Limit for a configuration, an index or the head of a file; those of the largest models are a few megabytes."""


NO_MEMORY = {8, 14, 1450, 1455}
"""Windows' numbers for it; the last is said where RAM and paging file together are too small to map a file."""
NO_MEMORY_ELSEWHERE = {1450, 1455, errno.ENOMEM}
Stamp = tuple[int, int]
"""A file's bytes, and when it was changed, in nanoseconds: they tell it from another one under its name."""
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)|(?:WinError |error code: <)(\d+)")
"""Finds the system's number in messages of Rust, Python and torch, whose words are in the system's language."""


class UnusableFile(Exception):
    """A file or folder can't be used; the message is a clause that says why, to follow "because"."""

    def __init__(self, why: Sentence) -> None:
        super().__init__(why)
        self.why = why


IT = Sentence("it {complaint}")
"""The words of `guard` where nothing else is meant."""


@contextmanager
def guard(kind: type[UnusableFile] = UnusableFile, subject: Sentence = IT) -> Iterator[None]:
    """Raise whatever goes wrong inside as a `kind`, in the words of `subject`; an UnusableFile passes as it is."""
    try:
        yield
    except UnusableFile:
        raise
    except Exception as error:  # the edge: nobody knows what a stranger's file holds
        if not isinstance(error, OSError):
            log.info("Something that was looked at makes no sense: %r", error)
        raise kind(subject.with_values(complaint=complaint(error))) from error


def is_out_of_memory(error: BaseException | None) -> bool:
    """True if a system, or a library in a system's words, says that the machine's memory is spent."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and (error.errno == errno.ENOMEM or getattr(error, "winerror", None) in NO_MEMORY):
        return True
    found = _SYSTEM_ERROR.search(str(error)) if isinstance(error, Exception) else None
    numbers = NO_MEMORY if sys.platform == "win32" else NO_MEMORY_ELSEWHERE
    return found is not None and int(found[1] or found[2]) in numbers


def complaint(error: Exception) -> Sentence:
    """The clause for an error of reading: "can't be read (Permission denied)"."""
    if is_out_of_memory(error):
        return Sentence("can't be read now because this machine's memory is full")
    if isinstance(error, OSError):
        return Sentence("can't be read ({reason})", reason=reason(error))
    return Sentence("is damaged")


def stamp(path: Path) -> Stamp:
    """The stamp of a file or folder; that of a link is of what it leads to. Raises OSError."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def regular_stamp(file: str | Path) -> Stamp:
    """The stamp of a regular file. Raises OSError, also if it's a pipe, a device or a folder."""
    found = os.stat(file)
    _check_regular(found, file)
    return found.st_size, found.st_mtime_ns


def opened(file: str | Path) -> BinaryIO:
    """A regular file, to be read. Raises OSError; never waits for whoever may be at the other end of a pipe."""
    _check_regular(os.stat(file), file)  # before it is opened, for to some devices that is an order
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(os.fstat(handle), file)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_json(file: str | Path) -> Any:
    """The JSON value in a regular file of a sensible size. Raises OSError, ValueError."""
    with opened(file) as stream:
        return parsed(stream.read(MAX_JSON_BYTES + 1))


def parsed(text: bytes) -> Any:
    """The JSON value of `text`. Raises ValueError, whatever is wrong with it."""
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(Sentence("it has more than {most} bytes", most=f"{MAX_JSON_BYTES:,}"))
    return shallow_json.parsed(text)


def encodable(sentence: Sentence) -> Sentence:
    """It without the half characters that a file's name may hold: no window and no terminal can show them."""
    values = {
        name: encodable(value) if isinstance(value, Sentence) else _encodable(value)
        for name, value in sentence.values.items()
    }
    return Sentence(_encodable(sentence.template), **values)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _check_regular(found: os.stat_result, file: str | Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, Sentence("it is not a regular file"), str(file))
