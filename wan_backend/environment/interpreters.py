"""Finds a Python that the backend's environment can be made with. Standard library only.

Not tied to the running one: Blender's own Python may be too new for torch, or lack venv (as Debian's does).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
PREFERRED = ("3.11", "3.12", "3.13")
"""In this order: the tests run the backend on 3.11."""

_QUESTION = (
    "import sys, {needed};"
    "print(sys.version_info[0], sys.version_info[1], getattr(sys, '_base_executable', sys.executable))"
)
_FOR_PIP, _FOR_UV = "venv, ensurepip, platform", "platform"
"""What an environment is made with; uv needs nothing of a Python, so Debian's and Blender's own do as well."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that an environment can be made with."""

    path: str
    version: tuple[int, int]


def find(versions: tuple[str, ...] = PREFERRED, bare: bool = False) -> Interpreter | None:
    """The first Python of one of `versions` (in their order) that can make an environment, or None.

    `bare`: uv makes it, so the Python needs neither venv nor ensurepip.
    """
    wanted = [tuple(int(part) for part in version.split(".")) for version in versions]
    seen: dict[str, Interpreter | None] = {}
    for version in versions:
        for path in _candidates(version):
            if path not in seen:
                seen[path] = ask(path, bare)
            found = seen[path]
            if found and found.version == tuple(int(part) for part in version.split(".")):
                return found
    fitting = [found for found in seen.values() if found and found.version in wanted]
    return fitting[0] if fitting else None


def ask(path: str, bare: bool = False) -> Interpreter | None:
    """What the Python at `path` is; None if it does not start or can't make environments (see `find`)."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    try:
        answer = subprocess.run(
            [path, "-I", "-c", _QUESTION.format(needed=_FOR_UV if bare else _FOR_PIP)],
            capture_output=True,
            text=True,
            timeout=20,
            env=environment,
            check=True,
        )
        major, minor, base = answer.stdout.strip().split(" ", 2)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(base if Path(base).exists() else path, (int(major), int(minor)))


def _candidates(version: str) -> Iterator[str]:
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        yield sys.executable
    for name in (f"python{version}", "python3", "python"):
        found = shutil.which(name)
        if found:
            yield found
    launcher = shutil.which("py")
    if launcher:
        found = _ask_launcher(launcher, version)
        if found:
            yield found
    home = Path(os.path.expanduser("~"))  # which stays "~" where the person has no home
    roots = (home / ".pyenv" / "versions", home / ".local" / "share" / "uv" / "python")
    for root in roots if home.is_absolute() else ():
        for folder in sorted(root.glob(f"*{version}*"), reverse=True):
            for name in ("bin/python3", "python.exe"):
                if (folder / name).exists():
                    yield str(folder / name)


def _ask_launcher(launcher: str, version: str) -> str:
    """The path of `version` as the Windows launcher knows it, or an empty string."""
    try:
        answer = subprocess.run(
            [launcher, f"-{version}", "-c", "import sys; print(sys.executable)"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
