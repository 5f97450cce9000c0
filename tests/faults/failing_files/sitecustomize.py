"""Has one file operation of a process fail: the WAN_FAIL_AT-th below WAN_FAIL_UNDER, with the error WAN_FAIL_WITH.

Python imports it at its start where its folder is on PYTHONPATH. WAN_FAIL_WHO is a word of the command that is meant;
WAN_FAIL_COUNT a file that gets a byte for each operation, so that its length is how many there were.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

OPERATIONS = ("open", "mkdir", "rename", "replace", "unlink", "remove", "rmdir", "listdir", "scandir", "utime")

_open_plainly, _fsync = os.open, os.fsync
_counting = threading.Lock()
_count = 0


def _is_meant(path: object) -> bool:
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        return False
    return any(text == place or text.startswith(place + os.sep) for place in _UNDER)


def _count_one(what: str, path: object) -> None:
    global _count
    with _counting:
        _count += 1
        now = _count
        handle = _open_plainly(_COUNT_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, b".")
        os.close(handle)
    if now == _AT:
        with _counting:
            handle = _open_plainly(_COUNT_FILE + ".said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(handle, f"{what} {path!r}".encode())
            os.close(handle)
        raise OSError(_WITH, os.strerror(_WITH), path if isinstance(path, str) else None)


def _wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def do(*given: Any, **more: Any) -> Any:
        if given and _is_meant(given[0]):
            _count_one(name, given[0])
        return real(*given, **more)

    return do


def _flushed(handle: int) -> None:
    _count_one("fsync", None)
    _fsync(handle)


if os.environ.get("WAN_FAIL_WHO", "\0") in " ".join(sys.orig_argv[:4]):
    _UNDER = os.environ["WAN_FAIL_UNDER"].split(os.pathsep)
    _AT, _WITH = int(os.environ["WAN_FAIL_AT"]), int(os.environ["WAN_FAIL_WITH"])
    _COUNT_FILE = os.environ["WAN_FAIL_COUNT"]
    for _name in OPERATIONS:
        setattr(os, _name, _wrapped(_name, getattr(os, _name)))
    os.fsync = _flushed
    builtins.open = io.open = _wrapped("open", open)  # type: ignore[assignment]
