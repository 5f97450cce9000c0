"""The open film's other media: which of its movies, pictures and sounds lie elsewhere, and where their copies go.

Linked scenes and data that is packed into the .blend need nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from ..timeline import compat, identity, path_rules, strip_columns, strip_media, take_strips
from . import project

FOLDER = "footage"
"""Beside the .blend."""
MAX_NAMES = 100_000
STAMP_NANOSECONDS = 2_000_000_000
"""Some disks keep the time of a file to two seconds."""


def folders_elsewhere() -> dict[Path, tuple[Path, list[str]]]:
    """Where each folder of footage outside of the film's own goes, and the names of its files that are used."""
    beside = os.path.dirname(project.path())
    used: dict[str, dict[str, None]] = {}
    for folder, names in _used():
        if folder and not path_rules.lies_in(os.path.join(folder, "x"), beside):
            used.setdefault(folder, {}).update(dict.fromkeys(names))
    places: dict[Path, tuple[Path, list[str]]] = {}
    taken: set[str] = set()
    for folder in sorted(used):
        names = sorted(used[folder])[:MAX_NAMES]
        name = _free_name(os.path.basename(folder) or "files", taken)
        while not _may_take(Path(beside, FOLDER, name), Path(folder), names):
            name = _free_name(os.path.basename(folder) or "files", taken)
        places[Path(folder)] = (Path(beside, FOLDER, name), names)
    return places


def is_copy(file: Path, source: Path) -> bool:
    """Whether a file is the copy of the other one, as far as size and time say."""
    try:
        copied, original = file.stat(), source.stat()
    except OSError:
        return False
    near = abs(copied.st_mtime_ns - original.st_mtime_ns) <= STAMP_NANOSECONDS
    return near and copied.st_size == original.st_size


def _may_take(target: Path, source: Path, names: list[str]) -> bool:
    """Whether these files can be copied there: what has their names is their copy, and not other footage."""
    taken = (name for name in names if os.path.lexists(target / name))
    return (target.is_dir() or not os.path.lexists(target)) and all(is_copy(target / n, source / n) for n in taken)


def point(moved: dict[str, str]) -> None:
    """Let strips and sounds use the copies of what was moved, where these are whole."""
    for strip in _strips():
        target = moved.get(strip_media.played_folder(strip) or "")
        if target and all(os.path.isfile(os.path.join(target, name)) for name in _names(strip)):
            strip_media.set_played_folder(strip, take_strips.path_in_strip(target))
    for sound in _sounds():
        folder, name = os.path.split(os.path.normpath(bpy.path.abspath(sound.filepath)))
        target = moved.get(folder)
        if target and os.path.isfile(os.path.join(target, name)):
            sound.filepath = os.path.join(take_strips.path_in_strip(target), name)


def missing() -> list[str]:
    """The files that the film uses and that are not there."""
    paths = (os.path.join(folder, name) for folder, names in _used() for name in names)
    return sorted({path for path in paths if not os.path.isfile(path)})


def _used() -> Iterator[tuple[str, list[str]]]:
    for strip in _strips():
        yield strip_media.played_folder(strip) or "", _names(strip)
    for sound in _sounds():
        folder, name = os.path.split(os.path.normpath(bpy.path.abspath(sound.filepath)))
        yield folder, [name]


def _strips() -> Iterator[compat.Strip]:
    for scene in bpy.data.scenes:
        if scene.library is None:
            for strip, _ in strip_columns.walk(scene):
                if strip.type in ("IMAGE", "MOVIE") and identity.role_of(strip) != identity.TAKE_ROLE:
                    yield strip


def _sounds() -> Iterator[Any]:
    return (sound for sound in bpy.data.sounds if sound.library is None and not sound.packed_file and sound.filepath)


def _names(strip: compat.Strip) -> list[str]:
    if strip.type == "MOVIE":
        return [os.path.basename(os.path.normpath(bpy.path.abspath(strip.filepath)))]
    return list(dict.fromkeys(strip_media.all_names(strip)))


def _free_name(name: str, taken: set[str]) -> str:
    """The name, or one with a number, that no other folder has: also where case doesn't count."""
    number, free = 1, name
    while free.lower() in taken:
        number += 1
        free = f"{name} {number}"
    taken.add(free.lower())
    return free
