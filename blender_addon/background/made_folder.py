"""Folders that we make for rendered pictures, and may remove: each holds a mark that says so. Standard library only.

Where they lie comes from a .blend, which may come from anybody. So a folder goes only if its mark names the job that it
was made for and it lies in that job's own folder; whatever else is there stays, and what was to be done is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat

MARK = "wan-vse-made.json"
_MOST_BYTES = 4096


class NotOurs(OSError):
    """Something is in the way that was not made for this job; the message is a sentence."""


def make(folder: str, job_id: str) -> None:
    """Make the folder, empty but for its mark; one that is there of an earlier try goes first. Raises OSError."""
    clear(folder, job_id)
    for place in (os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
        if _is_link(place):
            raise NotOurs(f"{place} is a link to another place, where nothing is made: remove it, then press Retry.")
    os.makedirs(folder)
    with open(os.path.join(folder, MARK), "x", encoding="utf-8") as file:
        json.dump({"job": job_id}, file)


def clear(folder: str, job_id: str) -> None:
    """Make sure that nothing is there. Raises NotOurs where something is that we did not make for the job."""
    if not os.path.lexists(folder):
        return
    if not is_ours(folder, job_id):
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # nothing is lost with an empty one
            return
        raise NotOurs(f"{folder} is there already and was not made for this take: move it away, then press Retry.")
    shutil.rmtree(folder)


def remove(folder: str, job_id: str) -> None:
    """Remove the folder, if it is ours. Never raises."""
    if is_ours(folder, job_id):
        shutil.rmtree(folder, ignore_errors=True)


def is_ours(folder: str, job_id: str) -> bool:
    """Whether it is a folder that was made for the job, in the job's own."""
    folder = os.path.abspath(folder)
    mark = os.path.join(folder, MARK)
    if not job_id or os.path.basename(os.path.dirname(folder)) != job_id:
        return False
    if any(map(_is_link, (folder, os.path.dirname(folder), mark))):
        return False
    try:
        if not os.path.isfile(mark) or os.path.getsize(mark) > _MOST_BYTES:
            return False
        with open(mark, encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("job") == job_id


def _is_link(path: str) -> bool:
    """Also what Windows calls a junction, which leads elsewhere and is no link to Python."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    junction = getattr(status, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(status.st_mode) or junction
