"""Finds, removes and renames the files of a job's take in its media folder."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from ..protocol import ProtocolError, take_names
from ..protocol.bounds import is_sane_take
from ..protocol.conversion import from_json
from ..protocol.media import MOVIE_FILES, PARTIAL_SUFFIX, SETTINGS_FILE, frame_file
from ..protocol.messages import MediaFormat, Take
from ..protocol.plain_names import is_id
from ..storage import folder_trees
from ..storage.whole_file import read_json

log = logging.getLogger(__name__)

NEWEST_TAKES = 20
"""So many of a folder are looked at: a take that was finished unheard is among the last that were made."""


def folder_of(media_folder: str, job_id: str) -> Path:
    """The folder of the job's take, once that is complete. Raises ValueError if no job has one there."""
    if not os.path.isabs(media_folder) or not is_id(job_id):
        raise ValueError("a media folder is absolute, and a take's folder is called as its job")
    return Path(media_folder) / job_id


def find_take(media_folder: str, job_id: str) -> Take | None:
    """The job's take if it is on the disk with all its files; a worker may have finished it unheard.

    It is looked for under the job's id, as earlier versions called it, and among the newest of the folder.
    """
    try:
        own = folder_of(media_folder, job_id)
        numbered = sorted(filter(take_names.title_of, os.listdir(media_folder)), key=_number, reverse=True)
    except (OSError, ValueError):
        return None
    folders = [own, *(own.with_name(name) for name in numbered[:NEWEST_TAKES])]
    return next((take for folder in folders if (take := _whole_take(folder, job_id)) is not None), None)


def _number(name: str) -> int:
    """That in front of a take's name."""
    return int(name.partition(" ")[0])


def _whole_take(folder: Path, job_id: str) -> Take | None:
    """The take in a folder, if it is the job's and whole."""
    try:
        written = read_json(folder / SETTINGS_FILE)
        if folder.name != job_id and written["job_id"] != job_id:
            return None
        take = dataclasses.replace(from_json(Take, written["take"], "take"), folder=str(folder))
        names: Iterable[str] = (frame_file(index) for index in range(take.frames))  # none made before `is_sane_take`
        if take.media_format is not MediaFormat.PNG:
            names = [MOVIE_FILES[take.media_format]]
        is_complete = is_sane_take(take) and all((folder / name).stat().st_size > 0 for name in names)
    except (OSError, ValueError, KeyError, TypeError, ProtocolError):
        return None
    return take if is_complete else None


def remove_partial(media_folder: str, job_id: str) -> None:
    """Remove the half-made take of a job that no worker has any more."""
    try:
        partial = folder_of(media_folder, job_id).with_name(job_id + PARTIAL_SUFFIX)
        if partial.is_dir() and not partial.is_symlink():
            folder_trees.remove(partial)
    except (OSError, ValueError) as error:
        log.warning("What a worker left in %r could not be removed: %s", media_folder, error)


def set_aside(media_folder: str, job_id: str) -> None:
    """Rename a take's folder that lost some of its files, so that the take can be made again in its place."""
    try:
        folder = folder_of(media_folder, job_id)
        number = 1
        while folder.is_dir():
            aside = folder.with_name(f"{job_id}.damaged-{number}")
            number += 1
            if not aside.exists():
                folder.rename(aside)
                log.warning("%s was not whole and is now %s", folder, aside)
    except (OSError, ValueError) as error:
        log.warning("A take in %r could not be set aside: %s", media_folder, error)
