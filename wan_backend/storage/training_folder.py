"""The folder of a training among a person's LoRAs, and what lies in it.

<folder of LoRAs>/<name>/
    <name>.safetensors              the finished one; a pair for a model with two experts
    step 000250/<name> 000250.safetensors ...
    samples/000250.jpg, without.jpg
    training.json                   whose it is, and its settings: no paths, no captions

Whose it is, its settings alone say. It gets its name by one rename with these in it, so of two trainings that begin at
the same moment none has the other's, and no folder or file of that name is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..protocol.media import PARTIAL_SUFFIX
from ..protocol.plain_names import is_name
from . import folder_trees, private_files, whole_file

SETTINGS_FILE, SAMPLES_FOLDER, WITHOUT_FILE = "training.json", "samples", "without.jpg"
NAME_TRIES = 1000
_STEP, _SAMPLE = re.compile(r"step [0-9]{6}"), re.compile(r"(?:without|[0-9]{6})\.jpg")
MAX_SETTINGS_BYTES = 1 << 20


def claim(loras_folder: Path, name: str, job_id: str, settings: Mapping[str, Any]) -> Path:
    """The training's folder with its settings: its own, or a new one of that name, or with a number. Raises OSError."""
    whose = {"format": 1, "job_id": job_id, **settings}
    own = find(loras_folder, name, job_id)
    if own is not None:
        whole_file.write_json(own / SETTINGS_FILE, whose)
        return own
    begun = loras_folder / (job_id + PARTIAL_SUFFIX)
    if begun.is_symlink():  # it's not ours, and nothing must be written where it leads
        begun.unlink()
    elif begun.exists():  # this training's, from a worker that died
        folder_trees.remove(begun)
    private_files.make_open_folder(begun)
    try:
        whole_file.write_json(begun / SETTINGS_FILE, whose)
        folder = _named(begun, name)
    except BaseException:
        folder_trees.remove(begun, ignore_errors=True)
        raise
    whole_file.sync_folder(loras_folder)
    return folder


def find(loras_folder: Path, name: str, job_id: str) -> Path | None:
    """The folder that the training has already; an empty `name` is any."""
    return next((folder for folder in _of_name(loras_folder, name) if is_of(folder, job_id)), None)


def is_of(folder: Path, job_id: str) -> bool:
    """Whether a folder is the training's."""
    if folder.is_symlink():
        return False
    with contextlib.suppress(OSError, ValueError):
        settings = whole_file.read_json(folder / SETTINGS_FILE, MAX_SETTINGS_BYTES)
        return isinstance(settings, dict) and settings.get("job_id") == job_id
    return False


def files_of(folder: Path) -> list[tuple[str, int]]:
    """What a training has written there: names as `is_file_name` has them, and sizes, in order. Never raises."""
    found = []
    for place in (folder, *_folders_in(folder)):
        for entry in _entries(place):
            name = entry.name if place == folder else f"{place.name}/{entry.name}"
            with contextlib.suppress(OSError):  # it may go meanwhile
                if is_file_name(name) and entry.is_file(follow_symlinks=False):
                    found.append((name, entry.stat(follow_symlinks=False).st_size))
    return sorted(found)


def is_file_name(name: str) -> bool:
    """Whether a training writes a file of that name into its folder, or into one in it, with a slash between."""
    place, _, file = name.rpartition("/")
    if not is_name(file, windows=True):
        return False
    if place == SAMPLES_FOLDER:
        return _SAMPLE.fullmatch(file) is not None
    if place and _STEP.fullmatch(place) is None:
        return False
    return file.endswith(".safetensors") or (name == SETTINGS_FILE)


def _folders_in(folder: Path) -> list[Path]:
    entries = [entry for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]
    return [folder / entry.name for entry in entries if entry.name == SAMPLES_FOLDER or _STEP.fullmatch(entry.name)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []


def _of_name(loras_folder: Path, name: str) -> Iterator[Path]:
    """Names are compared composed: some disks give them back with their marks apart."""
    called = re.compile(rf"{re.escape(_composed(name))}(?: [0-9]+)?" if name else r".*", re.DOTALL)
    with contextlib.suppress(FileNotFoundError):
        names = sorted(os.listdir(loras_folder))
        yield from (loras_folder / each for each in names if called.fullmatch(_composed(each)))


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _named(begun: Path, name: str) -> Path:
    for number in range(1, NAME_TRIES):
        folder = begun.with_name(name if number == 1 else f"{name} {number}")
        if os.path.lexists(folder):  # a link to nothing takes the name, too
            continue
        try:
            os.rename(begun, folder)  # a folder with something in it is never replaced
        except OSError:
            if not os.path.lexists(folder):
                raise
            continue  # another training has just taken the name
        return folder
    raise FileExistsError(errno.EEXIST, "Each name that was tried is taken", str(begun.with_name(name)))
