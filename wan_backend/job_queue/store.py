"""The job folders on disk: jobs/<job_id>/{request.json,state.json,work}. Standard library and protocol only.

A job's folder appears and goes by one rename, its state changes by one rename, so that a kill at any moment leaves
each job whole. A damaged file costs only its own job, and that job says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import whole_file
from ..protocol import ProtocolError
from ..protocol.conversion import from_json, to_json
from ..protocol.media import WORK_FOLDER
from ..protocol.messages import FrameRate, JobState, JobStatus, Problem, ProblemKind, TakeRequest
from .durable_file import TEMPORARY_SUFFIX, read_json, write_json

log = logging.getLogger(__name__)

FORMAT = 1
JOB_ID = re.compile(r"[0-9a-f]{32}")
REQUEST_FILE, STATE_FILE = "request.json", "state.json"


@dataclass
class Job:
    """A job as the queue holds it: what clients see, and what they don't."""

    status: JobStatus
    owner: str
    order: int
    """Its place in the queue: smaller comes first."""
    queued_at: float = 0.0
    """Seconds since 1970 (UTC); when it was last queued."""
    broken: bool = False
    """Its request can't be read any more."""
    unsaved: bool = False
    """The disk has an older state than this."""


class JobStore:
    """Reads and writes job folders."""

    def __init__(self, state_folder: Path) -> None:
        """Make the folder. Raises OSError."""
        self._folder = state_folder / "jobs"
        self._folder.mkdir(parents=True, exist_ok=True)

    def ids(self) -> list[str]:
        """The ids of all jobs on disk."""
        return sorted(child.name for child in self._folder.iterdir() if JOB_ID.fullmatch(child.name))

    def create(self, job: Job) -> None:
        """Put a new job on the disk, whole. Raises OSError, and leaves nothing then."""
        target = self._folder / job.status.job_id
        fresh = target.with_name(f".{target.name}.{job.owner}.new")
        try:
            fresh.mkdir()
            write_json(fresh / REQUEST_FILE, {"format": FORMAT, "request": to_json(job.status.request)})
            write_json(fresh / STATE_FILE, _state_of(job))
            os.rename(fresh, target)
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        whole_file.sync_folder(self._folder)

    def save(self, job: Job) -> None:
        """Write the job's state. Raises OSError."""
        write_json(self._folder / job.status.job_id / STATE_FILE, _state_of(job))

    def remove(self, job: Job) -> None:
        """Take the job's folder away. Raises OSError."""
        folder = self._folder / job.status.job_id
        gone = folder.with_name(f".{folder.name}.{job.owner}.gone")
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def remove_leftovers(self, owner_is_alive: Callable[[str], bool]) -> None:
        """Remove what servers left that died while they made or removed a job."""
        for child in self._folder.glob(".*.*.*"):
            if not owner_is_alive(child.name.split(".")[2]):
                shutil.rmtree(child, ignore_errors=True)

    def work_folder(self, job_id: str) -> Path:
        """Where a worker keeps what it has of the job so far."""
        return self._folder / job_id / WORK_FOLDER

    def remove_work(self, job_id: str) -> None:
        """Remove what a worker kept of the job: its take is whole."""
        shutil.rmtree(self.work_folder(job_id), ignore_errors=True)

    def remove_temporaries(self, job_id: str) -> None:
        """Remove what its server left in a job's folder when it was killed while it wrote there."""
        for file in (self._folder / job_id).glob("*" + TEMPORARY_SUFFIX):
            with contextlib.suppress(OSError):
                file.unlink()

    def load(self, job_id: str) -> Job:
        """The job of that id, marked as broken where its files are damaged; never raises for their content."""
        folder = self._folder / job_id
        state = _read(folder / STATE_FILE)
        try:
            request = from_json(TakeRequest, _read(folder / REQUEST_FILE)["request"], REQUEST_FILE)
        except (ProtocolError, KeyError) as error:
            log.error("The request of job %s can't be read: %s", job_id, error)
            return _broken_job(job_id, state, folder)
        status = _read_status(job_id, state, request)
        owner, order, queued_at = state.get("owner"), state.get("order"), state.get("queued_at")
        return Job(
            status,
            owner if isinstance(owner, str) else "",
            order if isinstance(order, int) else int(status.created * 1e9),
            queued_at if isinstance(queued_at, int | float) else status.created,
        )


def _state_of(job: Job) -> dict[str, Any]:
    status = to_json(job.status)
    del status["request"]  # it lies beside, and never changes
    return {
        "format": FORMAT,
        "owner": job.owner,
        "order": job.order,
        "queued_at": job.queued_at,
        "status": status,
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        value = read_json(file)
    except (OSError, ValueError) as error:
        log.error("%s can't be read: %s", file, error)
        return {}
    return value if isinstance(value, dict) else {}


def _read_status(job_id: str, state: dict[str, Any], request: TakeRequest) -> JobStatus:
    written = state.get("status")
    if isinstance(written, dict):
        known = {**written, "job_id": job_id, "request": to_json(request)}
        try:
            return from_json(JobStatus, known, STATE_FILE)
        except ProtocolError as error:
            log.error("The state of job %s can't be read: %s", job_id, error)
    newer = (isinstance(state.get("format"), int) and state["format"] > FORMAT) or isinstance(written, dict)
    why = "was kept by another version of the backend" if newer else "is damaged on disk"
    problem = Problem(ProblemKind.INTERRUPTED, f"How far this job came {why}; retry it, or clear it from the list.")
    return JobStatus(job_id, JobState.INTERRUPTED, request, problem=problem, sentence=problem.sentence)


def _broken_job(job_id: str, state: dict[str, Any], folder: Path) -> Job:
    nothing = TakeRequest("", "", 1, 1, 1, FrameRate(24), 0, "")
    sentence = f"The file {folder / REQUEST_FILE} is damaged, so this job can't be made again; clear it from the list."
    status = JobStatus(
        job_id, JobState.FAILED, nothing, problem=Problem(ProblemKind.INTERNAL, sentence), sentence=sentence
    )
    written, owner = state.get("status"), state.get("owner")
    created = written.get("created") if isinstance(written, dict) else None
    if isinstance(created, int | float):
        status = dataclasses.replace(status, created=float(created))
    return Job(status, owner if isinstance(owner, str) else "", int(status.created * 1e9), broken=True)
