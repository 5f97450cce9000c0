"""Makes and removes the folders for rendered pictures. A file in each, its mark, names the job that it was made for.

Their paths come from a .blend, which may come from anybody. So a folder is removed only if its mark names the job that
it was made for, and if it lies in that job's own folder. Anything else that is there stays, and a sentence says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat

MARK = "wan-vse-made.json"
_MAX_BYTES = 4096


class FolderInTheWay(OSError):
    """Something is in the way that was not made for this job; the message is a sentence for a person."""

    def __init__(self, template: str, path: str) -> None:
        super().__init__(template.format(path))
        self.template, self.path = template, path


def make(folder: str, job_id: str) -> None:
    """Make the folder with only its mark in it, in place of one of an earlier attempt. Raises OSError."""
    clear(folder, job_id)
    for place in (os.path.dirname(folder), os.path.dirname(os.path.dirname(folder))):
        if _is_link(place):
            raise FolderInTheWay(
                "{} is a link to another place, where nothing is written: remove it, then press Retry.", place
            )
    os.makedirs(folder)
    with open(os.path.join(folder, MARK), "x", encoding="utf-8") as file:
        json.dump({"job": job_id}, file)


def clear(folder: str, job_id: str) -> None:
    """Remove the folder if it is there. Raises FolderInTheWay if it was not made for the job."""
    if not os.path.lexists(folder):
        return
    if not is_ours(folder, job_id):
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # nothing is lost with an empty one
            return
        raise FolderInTheWay(
            "{} is there already and was not made for this take: move it away, then press Retry.", folder
        )
    shutil.rmtree(folder)


def remove(folder: str, job_id: str) -> None:
    """Remove the folder if it was made for the job. Never raises."""
    if is_ours(folder, job_id):
        shutil.rmtree(folder, ignore_errors=True)


def is_ours(folder: str, job_id: str) -> bool:
    """Whether the folder was made for the job, and lies in the job's own folder."""
    folder = os.path.abspath(folder)
    mark = os.path.join(folder, MARK)
    if not job_id or os.path.basename(os.path.dirname(folder)) != job_id:
        return False
    if any(map(_is_link, (folder, os.path.dirname(folder), mark))):
        return False
    try:
        if not os.path.isfile(mark) or os.path.getsize(mark) > _MAX_BYTES:
            return False
        with open(mark, encoding="utf-8") as file:
            mark_content = json.load(file)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(mark_content, dict) and mark_content.get("job") == job_id


def _is_link(path: str) -> bool:
    """Whether the path is a link, or a junction of Windows, which Python doesn't call a link."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    junction = getattr(status, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(status.st_mode) or junction
