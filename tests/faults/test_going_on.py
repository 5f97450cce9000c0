"""A real worker or a server killed in the midst of a job: Retry goes on from the last step, to the same frames."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.server.served import Served, request
from wan_backend.protocol.media import STEPS_FILE, WORK_FOLDER

WORKER = [sys.executable, "-m", "wan_backend.worker"]
PATIENCE_SECONDS = 120.0
STEPS = 12

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for the worker's process in /proc"),
]


def frames(take: dict) -> np.ndarray:
    return np.stack([cv2.imread(str(file)) for file in sorted(Path(take["folder"]).glob("*.png"))])


def at_step(job_id: str, step: int):
    return lambda message: (
        message.get("method") in ("job", "progress")
        and message["params"]["job_id"] == job_id
        and message["params"]["state"] == "denoising"
        and message["params"]["step"] >= step
    )


def worker_of(server: Served) -> int:
    pid = server.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def told_of_jobs(server: Served) -> list[dict]:
    return [message["params"] for message in server.messages if message.get("method") in ("job", "progress")]


def went_on(server: Served) -> bool:
    return any(told["sentence"].startswith("Resuming at step ") for told in told_of_jobs(server))


def resumed_previews(server: Served) -> list[str]:
    return [told["preview"] for told in told_of_jobs(server) if told["sentence"].startswith("Resuming at step ")]


def retried(server: Served, job_id: str) -> dict:
    server.forget_messages()
    server.call("retry", job_id=job_id)
    return server.wait_for(job_id, "done", seconds=PATIENCE_SECONDS)


@pytest.fixture
def made(serve, media):
    """A server, the request of a take, and that take, made without a stop."""
    server = serve("--device", "cpu", command=WORKER)
    asked = request(media, "a red ball over sand", steps=STEPS)
    return server, asked, server.wait_for(server.submit(asked), "done", seconds=PATIENCE_SECONDS)


@pytest.mark.long  # CI kills a worker that has no server (worker/test_resume.py), and a worker with its server below
def test_retry_goes_on_after_the_worker_was_killed(made):
    server, asked, whole = made
    job_id = server.submit(asked)
    server.wait(at_step(job_id, 3), PATIENCE_SECONDS)
    os.kill(worker_of(server), signal.SIGKILL)
    failed = server.wait_for(job_id, "failed", seconds=PATIENCE_SECONDS)
    assert failed["problem"]["kind"] == "worker_died" and failed["preview"] == ""
    kept = server.state / "jobs" / job_id / WORK_FOLDER / STEPS_FILE
    assert kept.exists()
    done = retried(server, job_id)
    assert went_on(server) and np.array_equal(frames(done["take"]), frames(whole["take"]))
    assert not kept.parent.exists() and done["preview"] == ""


@pytest.mark.long
def test_retry_goes_on_after_the_server_was_killed(serve, made):
    server, asked, whole = made
    job_id = server.submit(asked)
    shown = server.wait(at_step(job_id, 3), PATIENCE_SECONDS)["params"]["preview"]
    assert Path(shown).is_file()
    server.kill()
    other = serve("--device", "cpu", command=WORKER)
    interrupted = other.jobs()[job_id]
    assert interrupted["state"] == "interrupted" and "resume from its last step" in interrupted["sentence"]
    done = retried(other, job_id)
    assert all(resumed_previews(other))
    assert went_on(other) and np.array_equal(frames(done["take"]), frames(whole["take"]))


def test_what_was_kept_goes_when_the_job_is_cleared(serve, media):
    server = serve("--device", "cpu", command=WORKER)
    job_id = server.submit(request(media, steps=STEPS))
    server.wait(at_step(job_id, 3), PATIENCE_SECONDS)
    server.call("cancel", job_id=job_id)
    server.wait_for(job_id, "cancelled")
    assert (server.state / "jobs" / job_id / WORK_FOLDER / STEPS_FILE).exists()
    server.call("clear", job_ids=[job_id])
    assert not (server.state / "jobs" / job_id).exists()
