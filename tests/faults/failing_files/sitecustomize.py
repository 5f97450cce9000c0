"""Has one file operation of a process fail: which one, and how, says the file WAN_FAIL_ORDER.

Python imports it at its start where its folder is on PYTHONPATH. WAN_FAIL_WHO is a word of the command that is meant,
WAN_FAIL_UNDER are the folders below which operations count. An order is a line: a name, the number of the operation,
the error. With each new order the counting begins anew. Beside it lie NAME.count, a byte for each operation since, and
NAME.said: what failed.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

OPERATIONS = (
    "open", "mkdir", "rename", "replace", "link", "symlink", "unlink", "remove", "rmdir", "listdir", "scandir", "stat",
    "lstat", "utime", "chmod", "truncate", "statvfs",
)  # fmt: skip
WRITES = "wax+"

_plainly = {name: getattr(os, name) for name in (*OPERATIONS, "read", "write", "close", "fsync")}
_counting = threading.Lock()
_order = ""
_count = 0


def _is_meant(path: object) -> bool:
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError:
        return False
    return any(text == place or text.startswith(place + os.sep) for place in _UNDER)


def _put(suffix: str, content: bytes) -> None:
    place = os.path.join(os.path.dirname(_ORDER_FILE), _order.split()[0] + suffix)
    handle = _plainly["open"](place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    _plainly["write"](handle, content)
    _plainly["close"](handle)


def _ordered() -> str:
    try:
        handle = _plainly["open"](_ORDER_FILE, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return str(_plainly["read"](handle, 200).decode())
    finally:
        _plainly["close"](handle)


def _count_one(what: str, path: object) -> None:
    global _order, _count
    with _counting:
        ordered = _ordered()
        if ordered != _order:
            _order, _count = ordered, 0
        if not _order:
            return
        _count += 1
        _put(".count", b".")
        _, at, error = _order.split()
        if _count != int(at):
            return
        _put(".said", f"{what} {path!r}\n".encode())
    raise OSError(int(error), os.strerror(int(error)), path if isinstance(path, str) else None)


def _wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def do(*given: Any, **more: Any) -> Any:
        if given and _is_meant(given[0]):
            _count_one(name, given[0])
        return real(*given, **more)

    return do


def _on_handle(name: str) -> Callable[..., Any]:
    """One that is given an open file."""

    def do(handle: int, *given: Any) -> Any:
        if _is_meant_handle(handle):
            _count_one(name, None)
        return _plainly[name](handle, *given)

    return do


def _is_meant_handle(handle: int) -> bool:
    try:
        return _is_meant(os.readlink(f"/proc/self/fd/{handle}"))
    except OSError:
        return False


class _Failing(io.FileIO):
    """A file of which a write or the closing may fail; what Python has buffered is written by these, too."""

    def write(self, content: Any) -> Any:
        _count_one("write", self.name)
        return super().write(content)


def _opened(
    file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None, newline: Any = None,
    closefd: bool = True, opener: Any = None,
) -> Any:  # fmt: skip
    if _is_meant(file):
        _count_one("open", file)
        if opener is None and any(kind in mode for kind in WRITES):
            return _opened_to_write(file, mode, buffering, encoding, errors, newline)
    return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)


def _opened_to_write(file: Any, mode: str, buffering: int, encoding: Any, errors: Any, newline: Any) -> Any:
    raw: Any = _Failing(file, mode.replace("b", "").replace("t", ""))
    if buffering == 0:
        return raw
    buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


_open = open
if os.environ.get("WAN_FAIL_WHO", "\0") in " ".join(sys.orig_argv[:4]):
    _UNDER = os.environ["WAN_FAIL_UNDER"].split(os.pathsep)
    _ORDER_FILE = os.environ["WAN_FAIL_ORDER"]
    for _name in OPERATIONS:
        setattr(os, _name, _wrapped(_name, getattr(os, _name)))
    for _name in ("write", "fsync"):
        setattr(os, _name, _on_handle(_name))
    builtins.open = io.open = _opened  # type: ignore[assignment]
