"""What a person is told of the memory that a take was made in."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.wan_backend.job_queue.written_jobs import take_request
from wan_backend.loading.residency import Room
from wan_backend.loading.wan_model import WanModel
from wan_backend.protocol.messages import FrameRate, Plan, RunParams
from wan_backend.worker.job_memory import EIGHT_BIT_NOTE, JobMemory


@pytest.mark.parametrize("eight_bit", [False, True])
def test_weights_in_8_bit_are_told(vace_folder, monkeypatch, eight_bit):
    choose = Room.plan
    monkeypatch.setattr(Room, "plan", lambda room: dataclasses.replace(choose(room), eight_bit=eight_bit))
    plan = Plan("any", 48, 32, 9, FrameRate(16), 9, 2, 3.0, 3.0, "unipc")
    model = WanModel(vace_folder, torch.device("cpu"))
    memory = JobMemory(model, RunParams("job", take_request("/tmp"), plan, str(vace_folder)))
    assert memory.notes == ([EIGHT_BIT_NOTE] if eight_bit else [])
    assert memory.shrink("transformer")
    assert len(memory.notes) == 1 + eight_bit and "ran out of memory" in memory.notes[0]
