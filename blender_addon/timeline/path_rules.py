"""Which folder lies in which, by the rules of the system whose paths they are. No disk is asked. Standard library only.

Windows takes upper and lower case for the same, knows drives and shares, and writes long paths with a prefix. Whether a
drive's letter stands for a share only the disk could tell, so such two are never called the same.
"""

from __future__ import annotations

import os
from types import ModuleType

_LONG_SHARE, _LONG = "\\\\?\\UNC\\", "\\\\?\\"


def plain(path: str, rules: ModuleType = os.path) -> str:
    """The path as people write it: without Windows' prefix for long ones, which no relative path can be made from."""
    if rules.sep != "\\":
        return path
    if path[: len(_LONG_SHARE)].upper() == _LONG_SHARE:
        return "\\\\" + path[len(_LONG_SHARE) :]
    drive = path[len(_LONG) : len(_LONG) + 2]
    return path[len(_LONG) :] if path.startswith(_LONG) and drive[1:] == ":" else path


def are_same(one: str, other: str, rules: ModuleType = os.path) -> bool:
    """True where both absolute paths are the same place."""
    return bool(one) and bool(other) and _key(one, rules) == _key(other, rules)


def lies_in(path: str, folder: str, rules: ModuleType = os.path) -> bool:
    """True where the absolute `path` is something in `folder`, however deep."""
    if not path or not folder:
        return False
    inner, outer = _key(path, rules), _key(folder, rules)
    return inner != outer and inner.startswith(outer.rstrip(rules.sep) + rules.sep)


def missing(names: tuple[str, ...], there: list[str], rules: ModuleType = os.path) -> list[str]:
    """Those of the names that no file that is there has."""
    found = {rules.normcase(name) for name in there}
    return [name for name in names if rules.normcase(name) not in found]


def _key(path: str, rules: ModuleType) -> str:
    return str(rules.normcase(rules.normpath(plain(path, rules))))
