"""Compares paths by the rules of their system, and tells what dates of folders are worth. It asks no disk.

Windows ignores case, knows drives and shares, and gives long paths a prefix. Only the disk could tell whether a drive's
letter stands for a share, so those two are never called the same.
"""

from __future__ import annotations

import os
import time
from types import ModuleType

STEP_NS = 2_500_000_000
"""A little more than the longest step, that of FAT: two seconds."""
_LONG_SHARE, _LONG = "\\\\?\\UNC\\", "\\\\?\\"


def plain(path: str, rules: ModuleType = os.path) -> str:
    """The path without Windows' prefix for long paths, from which no relative path can be made."""
    if rules.sep != "\\":
        return path
    if path[: len(_LONG_SHARE)].upper() == _LONG_SHARE:
        return "\\\\" + path[len(_LONG_SHARE) :]
    drive = path[len(_LONG) : len(_LONG) + 2]
    return path[len(_LONG) :] if path.startswith(_LONG) and drive[1:] == ":" else path


def are_same(one: str, other: str, rules: ModuleType = os.path) -> bool:
    """True if both absolute paths name the same place."""
    return bool(one) and bool(other) and _key(one, rules) == _key(other, rules)


def lies_in(path: str, folder: str, rules: ModuleType = os.path) -> bool:
    """True if the absolute `path` lies in `folder`, however deep."""
    if not path or not folder:
        return False
    inner, outer = _key(path, rules), _key(folder, rules)
    return inner != outer and inner.startswith(outer.rstrip(rules.sep) + rules.sep)


def missing(names: tuple[str, ...], there: list[str], rules: ModuleType = os.path) -> list[str]:
    """Those of `names` that are not among the files that are `there`."""
    found = {rules.normcase(name) for name in there}
    return [name for name in names if rules.normcase(name) not in found]


def is_settled(stamp_ns: int) -> bool:
    """True if a change from now on would give a folder another date than this one, in nanoseconds.

    Disks count time in steps: a change right after another leaves the date as it was. So does a clock that runs ahead
    of this one, as a server's may, for as long as it does.
    """
    return stamp_ns + STEP_NS < time.time_ns()


def shown(path: str) -> str:
    """The path as a sentence can hold it: some systems allow names that are no text, which Blender refuses to draw."""
    return path.encode("utf-8", "replace").decode()


def _key(path: str, rules: ModuleType) -> str:
    return str(rules.normcase(rules.normpath(plain(path, rules))))
