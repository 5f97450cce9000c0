"""Folders of takes on the disk: told from all others, measured, moved into the trash and back, and removed.

It needs no Blender. Only what a worker makes is ever touched: a folder called after its job, no link, with that job's
own take.json. Of what is removed for good, only the files that a worker writes go.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ...wan_backend.protocol import bounds
from ...wan_backend.protocol.media import MOVIE_FILES, SETTINGS_FILE
from ...wan_backend.storage import whole_file
from .take_library import job_id_of

TRASH_FOLDER = "trash"
"""The folder in a media folder for takes that a person cleaned away."""
MARK = "wan-vse-trash.json"
"""In the trash: says that it is one."""
_OF_TAKE = re.compile(r"[0-9]{4,6}\.png|" + "|".join(map(re.escape, (SETTINGS_FILE, *MOVIE_FILES.values()))))


class NotOurs(OSError):
    """A folder doesn't carry our mark; nothing was done."""


def is_take_folder(folder: Path) -> bool:
    """Whether it is the folder of a take, with the name of a job and with its settings. A strip may name any folder."""
    settings = folder / SETTINGS_FILE
    return bool(job_id_of(folder.name)) and not _is_link(folder) and settings.is_file() and not settings.is_symlink()


def is_ours(folder: Path) -> bool:
    """Whether it is a take's folder whose settings name the job that it is called after."""
    if not is_take_folder(folder):
        return False
    try:
        settings = whole_file.read_json(folder / SETTINGS_FILE, bounds.MAX_JSON_CHARACTERS)
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and settings.get("job_id") == job_id_of(folder.name)


def files_of_take(folder: Path) -> list[str]:
    """The names of what a worker writes into a take's folder; whatever else lies there is left alone."""
    return [name for name in sorted(os.listdir(folder)) if _OF_TAKE.fullmatch(name) and _is_plain(folder / name)]


def size_bytes(folder: Path) -> int:
    """The bytes of all files in a take's folder; 0 if it can't be read."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def move_to_trash(folder: Path) -> Path:
    """Move a take into the trash of its media folder; returns its place there. Raises OSError."""
    if not is_ours(folder):
        raise NotOurs("it is not a take as Wan VSE makes them")
    trash = folder.parent / TRASH_FOLDER
    if _is_link(trash):
        raise NotOurs("its trash is a link to another place")
    trash.mkdir(exist_ok=True)
    mark = trash / MARK
    if not mark.is_file():
        mark.write_text(json.dumps({"wan_vse": "trash"}), encoding="ascii")
    place = trash / folder.name
    if os.path.lexists(place):
        raise FileExistsError("another is there already")
    folder.rename(place)
    return place


def bring_back(folder: Path) -> Path:
    """Move a take from the trash to where it was; returns its place. Raises OSError."""
    if not is_trashed(folder):
        raise NotOurs("it is not a take in the trash")
    place = folder.parent.parent / folder.name
    if os.path.lexists(place):
        raise FileExistsError("another is there already")
    folder.rename(place)
    return place


def is_trashed(folder: Path) -> bool:
    """Whether it is a take's folder in a trash that carries our mark."""
    trash = folder.parent
    mark = trash / MARK
    return (
        trash.name == TRASH_FOLDER
        and not _is_link(trash)
        and mark.is_file()
        and not mark.is_symlink()
        and is_ours(folder)
    )


def trashed(media_folder: str) -> list[Path]:
    """The takes in the trash of a media folder, by name. Only those that carry our mark."""
    trash = Path(media_folder, TRASH_FOLDER)
    try:
        names = sorted(os.listdir(trash))
    except OSError:
        return []
    return [trash / name for name in names if job_id_of(name) and is_trashed(trash / name)]


def remove_for_good(folder: Path) -> Iterator[None]:
    """Remove a take that lies in the trash, a file at a step; its settings go last. Raises OSError.

    A file that no worker writes stays, and its folder with it.
    """
    if not is_trashed(folder):
        raise NotOurs("it is not a take in the trash")
    names = [name for name in files_of_take(folder) if name != SETTINGS_FILE]
    for name in names:
        (folder / name).unlink()
        yield
    if set(os.listdir(folder)) <= {SETTINGS_FILE}:
        (folder / SETTINGS_FILE).unlink()
        folder.rmdir()
    yield


def _is_plain(file: Path) -> bool:
    """Whether it is a file: a link may lead elsewhere, and a read from a pipe would wait."""
    return stat.S_ISREG(file.lstat().st_mode)


def _is_link(path: Path) -> bool:
    """Whether it is a link, or a junction of Windows, which Python doesn't call a link."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    junction = getattr(status, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(status.st_mode) or junction
