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
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..protocol.media import PARTIAL_SUFFIX
from . import private_files, whole_file

SETTINGS_FILE, SAMPLES_FOLDER, WITHOUT_FILE = "training.json", "samples", "without.jpg"
NAME_TRIES = 1000
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
        shutil.rmtree(begun)
    private_files.make_open_folder(begun)
    try:
        whole_file.write_json(begun / SETTINGS_FILE, whose)
        folder = _named(begun, name)
    except BaseException:
        shutil.rmtree(begun, ignore_errors=True)
        raise
    whole_file.sync_folder(loras_folder)
    return folder


def find(loras_folder: Path, name: str, job_id: str) -> Path | None:
    """The folder that the training has already."""
    return next((folder for folder in _of_name(loras_folder, name) if is_of(folder, job_id)), None)


def is_of(folder: Path, job_id: str) -> bool:
    """Whether a folder is the training's."""
    if folder.is_symlink():
        return False
    with contextlib.suppress(OSError, ValueError):
        settings = whole_file.read_json(folder / SETTINGS_FILE, MAX_SETTINGS_BYTES)
        return isinstance(settings, dict) and settings.get("job_id") == job_id
    return False


def _of_name(loras_folder: Path, name: str) -> Iterator[Path]:
    called = re.compile(rf"{re.escape(name)}(?: [0-9]+)?")
    with contextlib.suppress(FileNotFoundError):
        yield from (loras_folder / each for each in sorted(os.listdir(loras_folder)) if called.fullmatch(each))


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
