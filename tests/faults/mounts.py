"""Small and read-only disks for one server, in a mount namespace of its own (Linux, as root)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def can_mount() -> bool:
    """Whether a namespace with mounts of its own can be made here."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    trial = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def small_disk(folder: Path, kilobytes: int) -> tuple[str, ...]:
    """The prefix of a command that sees a disk of that size at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return _prefix(f'mount -t tmpfs -o size={kilobytes}k tmpfs "{folder}"')


def read_only(folder: Path) -> tuple[str, ...]:
    """The prefix of a command that can't write in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return _prefix(f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}"')


def seen_by(pid: int, folder: Path) -> Path:
    """The folder as the process sees it."""
    return Path(f"/proc/{pid}/root") / folder.relative_to("/")


def _prefix(mount: str) -> tuple[str, ...]:
    return ("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh")
