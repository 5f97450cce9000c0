"""Job folders as a dead server left them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan_backend.job_queue.store import Job, JobStore
from wan_backend.protocol.messages import FrameRate, JobState, JobStatus, TakeRequest


def take_request(media: Path | str = "/nowhere/media", **changes: Any) -> TakeRequest:
    """A request for the embedded model."""
    values: dict[str, Any] = {
        "prompt": "fog", "model": "embedded", "width": 144, "height": 96, "length_frames": 5,
        "frame_rate": FrameRate(24), "seed": 1, "media_folder": str(media),
    }  # fmt: skip
    return TakeRequest(**{**values, **changes})


def write_job(
    state_folder: Path, job_id: str, state: str = "queued", media: Path | str = "/nowhere", **more: Any
) -> Path:
    """Write the job's folder; where it is."""
    number = int(job_id, 16)
    status = JobStatus(job_id, JobState(state), take_request(media), created=float(number % 10_000), **more)
    JobStore(state_folder).create(Job(status, owner="deadbeef", order=number % 10_000))
    return state_folder / "jobs" / job_id
