"""Two real workers on the processor make two takes at once: the very takes that one makes, one after the other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.wan_backend.server.served import Served, request

pytestmark = pytest.mark.ci
WORKER = [sys.executable, "-m", "wan_backend.worker"]
SIZE = {"width": 96, "height": 64, "length_frames": 5, "steps": 3}
SECONDS = 300.0


def takes(tmp_path: Path, workers: int) -> tuple[dict[int, list[bytes]], int]:
    """The pictures of two takes by their seeds, and how many were being made at once, at most."""
    folder = tmp_path / str(workers)
    media = folder / "media"
    media.mkdir(parents=True)
    around = {"OMP_NUM_THREADS": "1"}
    flags = ("--device", "cpu", "--workers", str(workers))
    with Served(folder / "state", folder / "models", *flags, command=WORKER, **around) as server:
        jobs = {server.submit(request(media, "a red circle", seed=seed, **SIZE)): seed for seed in (1, 2)}
        done = {seed: server.wait_for(job, "done", "failed", seconds=SECONDS) for job, seed in jobs.items()}
        assert {job["state"] for job in done.values()} == {"done"}, done
        told = [m["params"] for m in server.messages if m.get("method") == "job"]
        pictures = {
            seed: [file.read_bytes() for file in sorted(Path(job["take"]["folder"]).glob("*.png"))]
            for seed, job in done.items()
        }
    return pictures, most_at_once(told)


def most_at_once(told: list[dict[str, Any]]) -> int:
    """The largest number of jobs that a worker had at the same time."""
    working: set[str] = set()
    most = 0
    for job in told:
        (working.discard if job["state"] in ("queued", "done") else working.add)(job["job_id"])
        most = max(most, len(working))
    return most


@pytest.mark.long
def test_two_takes_at_once_are_those_that_are_made_one_after_the_other(tmp_path):
    alone, one = takes(tmp_path, 1)
    both, two = takes(tmp_path, 2)
    assert (one, two) == (1, 2)
    assert [len(pictures) for pictures in alone.values()] == [5, 5] and alone[1] != alone[2]
    assert both == alone
