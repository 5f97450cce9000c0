"""Trainings in the queue: they wait for takes, stop for them and go on; what they bring is told and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.wan_backend.server.in_process import InProcess, inside
from tests.wan_backend.server.served import request
from wan_backend.protocol.messages import JobState, PhaseSeconds, ProgressParams, RunResult, TrainedLora, TrainingStatus

__all__ = ["inside"]


@pytest.fixture
def server(inside) -> InProcess:
    return inside()


@pytest.fixture
def training(tmp_path) -> dict[str, Any]:
    """A request for a training on eight stills."""
    footage = tmp_path / "footage"
    footage.mkdir()
    names = [f"{number}.png" for number in range(8)]
    for number, name in enumerate(names):
        cv2.imwrite(str(footage / name), np.full((48, 64, 3), 20 * number, np.uint8))
    sources = [{"role": "clip", "folder": str(footage), "files": [name]} for name in names]
    asked = {"name": "Harbor", "trigger": "hrbr", "kind": "look"}
    return request(tmp_path / "loras", "", sources=sources, training=asked, length_frames=1)


def status_with(*kept: TrainedLora) -> TrainingStatus:
    return TrainingStatus(curve=[0.5], curve_steps=8, clips=8, kept=list(kept), trigger="hrbr")


def says(worker, status: TrainingStatus | None, step: int = 3) -> None:
    job = worker.job
    told = ProgressParams(job.job_id, JobState.DENOISING, step, job.plan.steps, 0.3, 1.0, "Step", training=status)
    worker._endpoint.notify("progress", told)


def job_of(server: InProcess, job_id: str) -> dict[str, Any]:
    return next(job for job in server.call("list")["jobs"] if job["job_id"] == job_id)


def test_a_plan_says_what_a_training_comes_to(server, training):
    plan = server.call("plan", request=training)
    assert plan["problem"] is None
    assert plan["training"]["steps"] == plan["steps"] == 2000 and plan["training"]["rank"] == 32
    assert plan["model_frames"] == 1, "stills"
    assert plan["memory"] and plan["expected_seconds"] is None


def test_a_take_goes_first_and_the_training_goes_on_after_it(server, training, media):
    job = server.submit(training)
    worker = server.runs(job)
    says(worker, status_with(TrainedLora(3, "/loras/Harbor/step 3/a.safetensors")))
    server.until(lambda: job_of(server, job)["step"] == 3)
    take = server.submit(request(media))
    worker = server.runs(take)
    waiting = job_of(server, job)
    assert waiting["state"] == "queued" and "A take goes first" in waiting["sentence"]
    assert waiting["training"]["kept"][0]["step"] == 3 and waiting["summary"]["training"] == "look"
    another = server.submit(request(media, "rain"))
    worker.finishes()
    server.runs(another).finishes()
    server.runs(job)
    assert job_of(server, job)["training"]["kept"], "what it has brought is still told"


def test_of_two_trainings_the_first_is_not_stopped_for_the_second(server, training):
    first = server.submit(training)
    server.runs(first)
    server.submit({**training, "training": {"name": "Other"}})
    server.settle()
    assert server.worker_of(first) is not None


def test_a_training_that_was_moved_before_a_take_goes_first(server, training, media):
    running, take = (server.submit(request(media, word)) for word in ("fog", "rain"))
    worker = server.runs(running)
    job = server.submit(training)
    server.call("move", job_id=job, before=take)
    worker.finishes()
    server.runs(job)
    server.settle()
    assert server.worker_of(job) is not None, "nor does it stop for that take"


def test_a_training_is_done_without_a_take_and_stays_so(server, training, tmp_path):
    job = server.submit(training)
    worker = server.runs(job)
    file = tmp_path / "Harbor.safetensors"
    file.write_bytes(b"a LoRA")
    says(worker, None)
    worker._end(RunResult(None, PhaseSeconds(denoise=1.0), training=status_with(TrainedLora(8, str(file)))))
    done = server.ended(job)
    assert done["state"] == "done" and done["take"] is None and done["progress"] == 1
    assert done["training"]["kept"][-1]["path"] == str(file) and done["summary"]["title"] == "Harbor"
    assert server.call("retry", job_id=job)["state"] == "done", "its LoRA is there"
    file.unlink()
    server.call("retry", job_id=job)
    server.runs(job)


def test_what_a_training_has_brought_outlives_the_server(inside, training):
    first = inside()
    job = first.submit(training)
    worker = first.runs(job)
    says(worker, status_with(TrainedLora(3, "/loras/Harbor/step 3/a.safetensors")))
    first.until(lambda: job_of(first, job)["step"] == 3)
    first.leave()
    found = job_of(inside(), job)
    assert found["state"] == "interrupted" and found["training"]["kept"][0]["step"] == 3


def test_a_training_is_neither_looked_at_nor_got_ready(server, training):
    assert "can't be looked at" in server.ask("look", request=training)["error"]["message"]
    server.call("warm", request=training)
    server.settle()
    assert not server.worker.warm_ups


def test_its_time_is_expected_by_what_a_take_took(server, training, media):
    take = server.submit(request(media))
    server.runs(take).finishes()
    server.ended(take)
    known = server.call("plan", request=training)["expected_seconds"]
    assert known is not None and known > 0
    job = server.submit(training)
    worker = server.runs(job)
    worker._end(RunResult(None, PhaseSeconds(denoise=2000.0), training=status_with(TrainedLora(1, str(Path("/a"))))))
    server.ended(job)
    assert server.call("plan", request=training)["expected_seconds"] == 2000.0, "then by what that took"
