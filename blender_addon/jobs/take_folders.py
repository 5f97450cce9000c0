"""Folders of takes on the disk: told from all others, measured, moved into the trash and back, and removed.

It needs no Blender. Only what a worker makes is ever touched: a folder, no link, with a number in front of its name or
called after its job, whose own take.json names job and title (protocol.take_names). Of what is removed for good, only
the files that a worker writes go.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Container, Iterator
from functools import lru_cache
from pathlib import Path

from ...wan_backend.protocol import bounds, take_names
from ...wan_backend.protocol.media import MOVIE_FILES, SETTINGS_FILE, TRASH_FOLDER
from ...wan_backend.protocol.plain_names import is_id
from ...wan_backend.storage import whole_file
from ..timeline import path_rules
from .take_library import job_in

MARK = "wan-vse-trash.json"
"""In the trash: says that it is one."""
_OF_TAKE = re.compile(r"[0-9]{4,6}\.png|" + "|".join(map(re.escape, (SETTINGS_FILE, *MOVIE_FILES.values()))))


class NotOurs(OSError):
    """A folder doesn't carry our mark; nothing was done."""


def is_take_folder(folder: Path) -> bool:
    """Whether it may be the folder of a take, by its name, with settings in it. A strip may name any folder."""
    settings = folder / SETTINGS_FILE
    return (
        take_names.may_be_take(folder.name)
        and not _is_link(folder)
        and settings.is_file()
        and not settings.is_symlink()
    )


def is_ours(folder: Path) -> bool:
    """Whether it is a take's folder whose settings name the job that it is called after, or a job and a title."""
    return bool(job_of(folder))


def job_of(folder: Path) -> str:
    """The job whose take the folder holds; empty if it is none of ours."""
    if not is_take_folder(folder):
        return ""
    try:
        settings = whole_file.read_json(folder / SETTINGS_FILE, bounds.MAX_JSON_CHARACTERS)
    except (OSError, ValueError):
        return ""
    job_id = job_in(settings, folder.name)
    return job_id if isinstance(settings, dict) and settings.get("job_id") == job_id else ""


def job_played(folder: Path) -> str:
    """The job whose take lies in the folder, or did until it was moved into the trash; empty if none does."""
    if is_id(folder.name):
        return folder.name
    if not take_names.may_be_take(folder.name):
        return ""
    try:
        stamp = os.stat(folder).st_mtime_ns
        return _job_since(folder, stamp) if path_rules.is_settled(stamp) else job_of(folder)
    except (OSError, ValueError):
        return job_of(folder.parent / TRASH_FOLDER / folder.name)


@lru_cache(maxsize=1 << 13)
def _job_since(folder: Path, stamp: int) -> str:
    """The folder's job, read once for as long as nothing is added or removed there: a film plays thousands of them."""
    return job_of(folder)


def find(place: Path, job_id: str, title: str) -> Path | None:
    """The folder of a job's take in a media folder, by the words that it was given; None if there is none.

    Quick where thousands of takes are. `each_take` finds it by other words.
    """
    if is_id(job_id) and is_take_folder(place / job_id):
        return place / job_id
    folders = (place / name for name in _named(place, title))
    return next((folder for folder in folders if job_of(folder) == job_id), None)


def each_take(place: Path) -> Iterator[tuple[Path, str]]:
    """The folders in a media folder with the jobs that their settings name, or "": a step reads one's settings.

    Takes may be played from there, whatever a person has called the folders; `is_ours` says what may be moved.
    """
    for folder in (place / name for name in sorted(_names_in(place))):
        job_id: object = None
        if not _is_link(folder) and folder.is_dir():
            with contextlib.suppress(OSError, ValueError):
                settings = whole_file.read_json(folder / SETTINGS_FILE, bounds.MAX_JSON_CHARACTERS)
                job_id = settings.get("job_id") if isinstance(settings, dict) else None
        yield folder, job_id if isinstance(job_id, str) and is_id(job_id) else ""


_listed: dict[Path, tuple[int, dict[str, list[str]]]] = {}
"""Of some media folders, when they were changed last, and the names in them by title."""
MAX_LISTED = 8


def _named(place: Path, title: str) -> list[str]:
    """The names in a media folder that have the title; it is listed again only once it has changed."""
    try:
        stamp = os.stat(place).st_mtime_ns
        if place not in _listed or _listed[place][0] != stamp:
            by_title: dict[str, list[str]] = {}
            for name in sorted(os.listdir(place)):
                if found := take_names.title_of(name):
                    by_title.setdefault(found, []).append(name)
            if len(_listed) >= MAX_LISTED:
                _listed.clear()
            _listed[place] = stamp if path_rules.is_settled(stamp) else -1, by_title
    except (OSError, ValueError):
        return []
    return _listed[place][1].get(title, [])


def place_for(source: Path, target: Path, taken: Container[Path] = ()) -> Path:
    """Where in the media folder `target` a copy of the take in `source` belongs: where it lies already, if it does.

    Its name there is the same, with another number if another take has it, or is to have one of `taken`.
    """
    job_id, title = job_of(source), take_names.title_of(source.name) or _title_given(source)
    place = target / source.name
    if not title or not job_id:
        return place
    there = find(target, job_id, title)
    if there is not None:
        return there
    names = _names_in(target) + _names_in(target / TRASH_FOLDER)
    number = take_names.next_number(names)
    while os.path.lexists(place) or place in taken:
        place = target / take_names.numbered(number, title)
        number += 1
    return place


def _title_given(folder: Path) -> str:
    """The title that a take's folder was given, where a person changed its words since; empty if it never had one."""
    if is_id(folder.name) or not take_names.may_be_take(folder.name):
        return ""
    try:
        settings = whole_file.read_json(folder / SETTINGS_FILE, bounds.MAX_JSON_CHARACTERS)
    except (OSError, ValueError):
        return ""
    title = settings.get(take_names.TITLE_KEY) if isinstance(settings, dict) else None
    return title if isinstance(title, str) and take_names.title_of(take_names.numbered(1, title)) == title else ""


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):
        return []


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
    return [trash / name for name in names if take_names.may_be_take(name) and is_trashed(trash / name)]


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
