"""Sizes in bytes: in words for a person, and what a disk has free."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path


def size_in_words(size_bytes: int) -> str:
    """A size for a person: "350 MB", "28.9 GB"."""
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{max(1, round(size_bytes / 1e6))} MB"


def existing_ancestor(folder: Path, exists: Callable[[Path], bool] = Path.exists) -> Path:
    """`folder`, or the nearest folder above it that is there; `folder` itself if none is, as on a missing drive.

    `exists` says what counts as there; what it raises is raised.
    """
    return next((place for place in (folder, *folder.parents) if exists(place)), folder)


def free_bytes_at(folder: Path) -> int:
    """Free bytes on the disk where `folder` is or would be. Raises OSError."""
    return shutil.disk_usage(existing_ancestor(folder)).free
