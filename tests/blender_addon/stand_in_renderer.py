"""A renderer that renders nothing: it writes small pictures when the test says so, or fails, or waits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_backend_frames import png


class StandInRenderer:
    """Takes the Renderer's place; `manner` is ready, wait or a sentence to fail with."""

    made: StandInRenderer
    manner = "ready"
    camera = (1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1.4, 1.4, 0.5, 0.5)
    """Of each frame, where one is asked for."""

    def __init__(self, run_folder: Any, on_ready: Any, on_failed: Any) -> None:
        type(self).made = self
        self.on_ready, self.on_failed = on_ready, on_failed
        self.jobs: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, list[Any]]] = []
        self.canceled: list[str] = []
        self.done = 0.0
        self.refuses: Exception | None = None
        self.placeholders_at_asking = -1

    @property
    def busy(self) -> bool:
        """True while a job waits."""
        return bool(self.jobs)

    @property
    def at_work(self) -> str:
        """The job that came first."""
        return next(iter(self.jobs), "")

    def ask(self, job_id: str, scene: Any, wanted: list[Any]) -> None:
        """Noted."""
        if self.refuses is not None:
            raise self.refuses
        strips = getattr(scene.sequence_editor, "strips_all", None)
        strips = scene.sequence_editor.sequences_all if strips is None else strips
        self.placeholders_at_asking = sum(strip.get("wan_vse_job") == job_id for strip in strips)
        self.jobs[job_id] = wanted
        self.asked.append((job_id, wanted))

    def tick(self, deadline: float) -> bool:
        """End all waiting jobs, in the manner that the test set."""
        if type(self).manner == "wait" or not self.jobs:
            return False
        jobs, self.jobs = self.jobs, {}
        for job_id, wanted in jobs.items():
            if type(self).manner != "ready":
                self.on_failed(job_id, type(self).manner)
                continue
            for what, source in wanted:
                os.makedirs(source.folder, exist_ok=True)
                for index, name in enumerate(source.files):
                    camera = json.dumps({"numbers": type(self).camera * len(what.frames)}).encode()
                    Path(source.folder, name).write_bytes(camera if name.endswith(".json") else png(index))
            self.on_ready(job_id)
        return True

    def cancel(self, job_id: str) -> None:
        """Noted."""
        self.jobs.pop(job_id, None)
        self.canceled.append(job_id)

    def progress(self, job_id: str) -> float | None:
        """What the test says."""
        return self.done if job_id in self.jobs else None

    def close(self, patience_seconds: float) -> None:
        """Nothing to end."""


@pytest.fixture
def renderer(addon, monkeypatch) -> Iterator[type[StandInRenderer]]:
    """Must come before `session` in a test's arguments: the session takes it when it's made."""
    monkeypatch.setattr(addon("jobs.sourcing"), "Renderer", StandInRenderer)
    StandInRenderer.manner = "ready"
    yield StandInRenderer
    StandInRenderer.manner = "ready"
