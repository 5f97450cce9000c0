"""Stores the job folders: jobs/<job_id>/{request.json,plan.json,state.json,work}.

A job's folder appears and goes by one rename, and its state changes by one rename, so a kill at any moment leaves each
job whole. Every function may be called from any thread; the caller sees to it that only one is at a job. `reading`
parses the files.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..protocol.conversion import to_json
from ..protocol.media import WORK_FOLDER
from ..protocol.messages import Plan, TakeRequest
from ..storage import folder_trees, whole_file
from ..storage.guarded_files import Stamp
from ..storage.guarded_files import stamp as stamp_of
from ..storage.whole_file import TEMPORARY_SUFFIX, write_json
from .job import Job

FORMAT = 2
"""Format of state.json. In format 1 (of version 0.1.0), `status` holds the plan and no summary."""
REQUEST_FORMAT = 1
JOB_ID = re.compile(r"[0-9a-f]{32}")
REQUEST_FILE, PLAN_FILE, STATE_FILE = "request.json", "plan.json", "state.json"
SETTLED_FILE = "settled"
"""This file is there if a server that doesn't hold the job learned that a saved project knows how it ended."""


class JobStore:
    """Writes job folders."""

    def __init__(self, state_folder: Path) -> None:
        """Make the folder. Raises OSError."""
        self._folder = state_folder / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)

    def ids(self) -> list[str]:
        """The ids of all jobs on disk. Raises OSError."""
        return [name for name in os.listdir(self._folder) if JOB_ID.fullmatch(name)]

    def stamp(self) -> Stamp | None:
        """A stamp that changes when a job comes or goes; None if the folder can't be read."""
        try:
            return stamp_of(self._folder)
        except OSError:
            return None

    def folder(self, job_id: str) -> Path:
        """The job's folder."""
        return self._folder / job_id

    def create(self, job_id: str, owner: str, state: dict[str, Any], request: TakeRequest, plan: Plan) -> None:
        """Put a new job on the disk, whole. Raises OSError, and leaves nothing then."""
        target = self._folder / job_id
        fresh = target.with_name(f".{target.name}.{owner}.new")
        try:
            fresh.mkdir()
            write_json(fresh / PLAN_FILE, to_json(plan), flushed=False)  # it is made again when the job's turn comes
            write_json(fresh / REQUEST_FILE, {"format": REQUEST_FORMAT, "request": to_json(request)})
            write_json(fresh / STATE_FILE, state)
            os.rename(fresh, target)
        except BaseException:
            folder_trees.remove(fresh, ignore_errors=True)
            raise
        whole_file.sync_folder(self._folder)

    def save(self, job_id: str, state: dict[str, Any]) -> None:
        """Write the job's state. Raises OSError."""
        write_json(self._folder / job_id / STATE_FILE, state)

    def save_plan(self, job_id: str, plan: Plan) -> None:
        """Write what is done for the job now. Raises OSError."""
        write_json(self._folder / job_id / PLAN_FILE, to_json(plan), flushed=False)

    def upgrade(self, job_id: str, state: dict[str, Any], plan: Any) -> None:
        """Keep a job that another version wrote as this one does, so that it is read quickly. Raises OSError."""
        if plan is not None and not (self._folder / job_id / PLAN_FILE).exists():
            write_json(self._folder / job_id / PLAN_FILE, plan, flushed=False)
        write_json(self._folder / job_id / STATE_FILE, state, flushed=False)

    def remove(self, job_id: str, owner: str) -> None:
        """Take the job's folder away. Raises OSError."""
        folder = self._folder / job_id
        gone = folder.with_name(f".{folder.name}.{owner}.gone")
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, gone)
        _remove_whatever(gone)

    def remove_leftovers(self, owner_is_alive: Callable[[str], bool]) -> None:
        """Remove what servers left that died while they made or removed a job. Raises OSError."""
        for name in os.listdir(self._folder):
            pieces = name.split(".")
            if len(pieces) == 4 and not pieces[0] and not owner_is_alive(pieces[2]):
                _remove_whatever(self._folder / name)

    def mark_settled(self, job_id: str) -> None:
        """Say of a job that another server holds that it's settled, in a file beside its state. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            (self._folder / job_id / SETTLED_FILE).touch(exist_ok=False)

    def work_folder(self, job_id: str) -> Path:
        """The folder where a worker keeps the job's finished steps."""
        return self._folder / job_id / WORK_FOLDER

    def remove_work(self, job_id: str) -> None:
        """Remove what a worker kept of the job: its take is whole."""
        _remove_whatever(self.work_folder(job_id))

    def remove_temporaries(self, job_id: str) -> None:
        """Remove what its server left in a job's folder when it was killed while it wrote there."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self._folder / job_id):
                if name.endswith(TEMPORARY_SUFFIX):
                    (self._folder / job_id / name).unlink()


def state_of(job: Job) -> dict[str, Any]:
    """The contents of state.json for the job."""
    return {
        "format": FORMAT,
        "owner": job.owner,
        "order": job.order,
        "queued_at": job.queued_at,
        "media_folder": job.media_folder,
        "status": to_json(job.status),
    }


def _remove_whatever(path: Path) -> None:
    """A folder, or what stands in the place of one: rmtree would wait at a named pipe, for ever."""
    if path.is_dir() and not path.is_symlink():
        folder_trees.remove(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
