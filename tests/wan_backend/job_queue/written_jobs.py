"""Job folders as a dead server left them, for tests; and a queue's answers."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wan_backend.job_queue.job import Job
from wan_backend.job_queue.queue import JobQueue
from wan_backend.job_queue.store import PLAN_FILE, REQUEST_FILE, REQUEST_FORMAT, STATE_FILE, state_of
from wan_backend.protocol import ProtocolError
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.endpoint import Later
from wan_backend.protocol.messages import (
    FrameRate,
    JobState,
    JobStatus,
    JobSummary,
    ListParams,
    Plan,
    Sampler,
    TakeRequest,
)

DEAD = "deadbeef"
"""The server that left the jobs."""


def take_request(media: Path | str = "/nowhere/media", **changes: Any) -> TakeRequest:
    """A request for the embedded model."""
    values: dict[str, Any] = {
        "prompt": "fog", "model": "embedded", "width": 144, "height": 96, "length_frames": 5,
        "frame_rate": FrameRate(24), "seed": 1, "media_folder": str(media),
    }  # fmt: skip
    return TakeRequest(**{**values, **changes})


def take_plan() -> Plan:
    """What would be done for it."""
    return Plan("embedded", 144, 96, 5, FrameRate(16), 5, 4, 1.0, 3.0, Sampler.EULER)


def write_job(
    state_folder: Path,
    job_id: str,
    state: str = "queued",
    media: Path | str = "/nowhere",
    *,
    request: TakeRequest | None = None,
    owner: str = DEAD,
    **more: Any,
) -> Path:
    """Write the job's folder; where it is. Its number says when it was made."""
    number = int(job_id, 16) % 10_000_000
    request = request or take_request(media)
    status = JobStatus(job_id, JobState(state), JobSummary.of(request), created=float(number), **more)
    job = Job(status, owner, number, float(number), request.media_folder)
    return _write(state_folder, job, {"format": REQUEST_FORMAT, "request": to_json(request)}, to_json(take_plan()))


def write_jobs(
    state_folder: Path, states: Iterable[str], request: TakeRequest | None = None, first: int = 0, **more: Any
) -> list[str]:
    """One job in each of the states, the oldest first, as quickly as the disk takes them; their ids.

    Nothing is flushed, and all have one request and one plan: links to the first job's files.
    """
    request = request or take_request()
    asked, plan = {"format": REQUEST_FORMAT, "request": to_json(request)}, to_json(take_plan())
    pattern = Job(JobStatus("", JobState.DONE, JobSummary.of(request), **more), DEAD, 0, 0.0, request.media_folder)
    ids: list[str] = []
    pattern_folder: Path | None = None
    for number, state in enumerate(states, first):
        ids.append(f"{number:032x}")
        status = dataclasses.replace(
            pattern.status, job_id=ids[-1], state=JobState(state), created=float(number), sentence=f"Job {number}."
        )
        job = dataclasses.replace(pattern, status=status, order=number, queued_at=float(number))
        pattern_folder = _write(state_folder, job, asked, plan, pattern_folder)
    return ids


def write_old_job(state_folder: Path, job_id: str, state: str = "queued", media: Path | str = "/nowhere") -> Path:
    """The job's folder as version 0.1.0 wrote it: the plan within the state, and no summary."""
    folder = write_job(state_folder, job_id, state, media)
    kept = json.loads((folder / STATE_FILE).read_bytes())
    status = {key: value for key, value in kept["status"].items() if key != "summary"}
    status["plan"] = json.loads((folder / PLAN_FILE).read_bytes())
    (folder / PLAN_FILE).unlink()
    old = {"format": 1, "owner": kept["owner"], "order": kept["order"], "queued_at": kept["queued_at"]}
    (folder / STATE_FILE).write_text(json.dumps({**old, "status": status}))
    return folder


def answered(later: Later) -> Any:
    """What a queue without threads answers; raises the ProtocolError where that is the answer."""
    answers: list[Any] = []
    later.start(answers.append)
    (answer,) = answers
    if isinstance(answer, ProtocolError):
        raise answer
    return answer


def every(queue: JobQueue) -> list[JobStatus]:
    """All jobs of a queue, page by page."""
    found: list[JobStatus] = []
    page = queue.page(ListParams())
    cursors = set()
    while page.next:
        found += page.jobs
        assert page.next not in cursors, "the pages go round in a circle"
        cursors.add(page.next)
        page = queue.page(ListParams(after=page.next))
    return found + page.jobs


def _write(state_folder: Path, job: Job, asked: Any, plan: Any, pattern: Path | None = None) -> Path:
    """`pattern`: a job's folder with the same request and plan."""
    folder = state_folder / "jobs" / job.status.job_id
    folder.mkdir(parents=True)
    for name, value in ((REQUEST_FILE, asked), (PLAN_FILE, plan)):
        if pattern is None:
            (folder / name).write_text(json.dumps(value))
        else:
            os.link(pattern / name, folder / name)
    (folder / STATE_FILE).write_text(json.dumps(state_of(job)))
    return folder
