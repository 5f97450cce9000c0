"""A take whose pictures come in tiles: whole on the disk, and a person sees which tile is made."""

from __future__ import annotations

import dataclasses

import pytest

from tests.wan_backend.worker.executors import RecordingExecutor, asked
from tests.wan_backend.worker.test_less_memory import made
from wan_backend.loading.residency import Room
from wan_backend.protocol.messages import FrameRate, Plan, RunParams, TakeRequest
from wan_backend.worker.server_connection import Run


@pytest.fixture
def run(vace_folder, tmp_path):
    def make(job: str) -> Run:
        request = TakeRequest("fog", "any", 48, 32, 9, FrameRate(16), 1, str(tmp_path / "media"))
        plan = Plan("any", 48, 32, 9, FrameRate(16), 9, 2, 3.0, 3.0, "unipc")
        return asked(RunParams(job, request, plan, str(vace_folder), "cpu"))

    return make


def test_a_take_in_tiles_says_which_it_makes(run, monkeypatch):
    executor = RecordingExecutor()
    whole = made(executor.run(run("whole")))
    plan = Room.plan
    monkeypatch.setattr(Room, "plan", lambda room: dataclasses.replace(plan(room), tile_pixels=32))
    in_tiles = made(executor.run(run("tiles")))
    assert in_tiles.shape == whole.shape
    assert (in_tiles != whole).any()
    said = executor.sentences
    assert "Making the pictures, tile 1 of 2" in said
    shown = [report.progress for report in executor.progress]
    assert shown == sorted(shown) and shown[-1] > 0.99
