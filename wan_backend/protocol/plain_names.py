"""Checks ids, file names and folders that may come from a stranger.

A .blend, a take.json or a request may come from anybody. A path that is built from one must be one name in one folder
on each system, so the rules of Windows are here beside those of the others, and can be applied anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

ON_WINDOWS = os.name == "nt"
MAX_NAME_CHARACTERS = 255
MAX_PATH_CHARACTERS = 4096
_ID = re.compile(r"[0-9a-f]{32}")
_NO_WINDOWS_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]|[. ]\Z')  # a colon begins an alternate stream
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
)


def is_id(value: object) -> bool:
    """Whether it is an id as this project makes them (of jobs, strips, projects): 32 hexadecimal digits."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_name(value: object, windows: bool = ON_WINDOWS) -> bool:
    """Whether it names one file or folder right inside another, and nothing else: no path, no device, no stream."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME_CHARACTERS or value in (".", ".."):
        return False
    if "/" in value or "\0" in value or not is_encodable(value):
        return False
    return not windows or not (_NO_WINDOWS_NAME.search(value) or _is_device(value))


def is_encodable(text: str, errors: str = "surrogateescape" if not ON_WINDOWS else "surrogatepass") -> bool:
    """Whether the system can have it in a name; with "strict" as `errors`, whether any system can."""
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def is_folder(value: object, windows: bool = ON_WINDOWS) -> bool:
    """Whether it is an absolute path, said plainly: without `..`, a device's name, or a way past the system's rules."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_PATH_CHARACTERS:
        return False
    components = _components(value, windows)
    return components is not None and all(is_name(part, windows) for part in components[1:])


def is_below(path: str, roots: Iterable[str], windows: bool = ON_WINDOWS) -> bool:
    """Whether the plain folder `path` is one of the folders `roots`, or lies in one. Links are not followed."""
    if not is_folder(path, windows):
        return False
    components = _folded(path, windows)
    for root in roots:
        if is_folder(root, windows):
            folded = _folded(root, windows)
            if components[: len(folded)] == folded:
                return True
    return False


def _components(path: str, windows: bool) -> list[str] | None:
    """The drive or share, then the names; None if it is no absolute path."""
    if not windows:
        return None if not path.startswith("/") or path.startswith("//") else ["/", *_names(path)]
    path = path.replace("/", "\\")
    if path.startswith("\\\\"):
        names = path[2:].split("\\")
        if len(names) < 2 or names[0] in ("?", ".") or not all(is_name(name, True) for name in names[:2]):
            return None
        return ["\\\\" + "\\".join(names[:2]), *_names("\\".join(names[2:]), "\\")]
    if not re.match(r"[A-Za-z]:\\", path):
        return None  # relative, or relative to a drive's own folder ("C:wan")
    return [path[:2], *_names(path[2:], "\\")]


def _names(path: str, separator: str = "/") -> list[str]:
    return [name for name in path.split(separator) if name]


def _folded(path: str, windows: bool) -> list[str]:
    components = _components(path, windows) or []
    return ["".join(map(_fold, part)) for part in components] if windows else components


def _fold(character: str) -> str:
    """Fold a character like NTFS does, one to one; other characters that text folds (Kelvin to K) stay as they are."""
    upper = character.upper()
    return upper if len(upper) == 1 and upper.lower() == character.lower() else character


def _is_device(name: str) -> bool:
    """Windows takes NUL for the device wherever it stands, also as `nul.txt` and `NUL .png`."""
    return name.split(".")[0].rstrip(" ").upper() in _DEVICES
