"""What a progress event tells of a job's status."""

from __future__ import annotations

import dataclasses

from wan_backend.protocol.messages import (
    JobState,
    JobStatus,
    JobSummary,
    ProgressParams,
    Task,
    TrainedLora,
    TrainingKind,
    TrainingStatus,
)
from wan_backend.server import serve


def test_all_that_an_event_can_tell_is_told() -> None:
    summary = JobSummary("ink", Task.TEXT_TO_VIDEO, "embedded", 7, 1, training=TrainingKind.LOOK)
    training = TrainingStatus([0.2], kept=[TrainedLora(6, "/loras/ink")])
    status = JobStatus(
        "0" * 32, JobState.DENOISING, summary, 6, 48, 0.2, 9.0, "Step 6 of 48", preview="/p.jpg", training=training
    )
    told = serve._progress_of(status)
    for field in dataclasses.fields(ProgressParams):
        assert getattr(told, field.name) == getattr(status, field.name), field.name
