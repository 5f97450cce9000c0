"""The benchmark of trainings: each way runs, what was measured is kept, and memory that ends leads to a smaller way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from wan_backend.bench import training_steps
from wan_backend.memory import training_needs
from wan_backend.training.trained_model import TrainedModel

CPU = torch.device("cpu")


@pytest.mark.long
def test_each_way_runs_and_is_written_to_the_file(tmp_path, capsys):
    assert training_steps.run(["tiny"], CPU, tmp_path / "rows.json") == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]["tiny"]
    names = ["ours", "ours, 8 bit", "ours, 8 bit, all blocks visiting"]
    assert [row["name"] for row in rows] == [training_steps.PLAIN, training_steps.PLAIN_16_BIT, *names]
    assert all(row["seconds"] > 0 for row in rows)
    assert [row["memory"].split("(")[0] for row in rows[2:]] == ["TrainingMemory"] * 3
    assert "as fast as the faster plain loop" in capsys.readouterr().out


def test_a_way_that_runs_out_of_memory_is_followed_by_a_smaller_one(monkeypatch, capsys):
    work = replace(training_steps.WORKS["tiny"], steps=2)
    shape = training_steps._shape(work, CPU)
    ways = []

    def bring(self, component: str) -> None:
        ways.append(self.memory)
        if self.memory.stay_bytes != 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB\nmore")
        real(self, component)

    real = TrainedModel.bring
    monkeypatch.setattr(TrainedModel, "bring", bring)
    some_stay = training_needs.choose(shape, 0)
    some_stay = replace(some_stay, stay_bytes=1)
    row = training_steps._smaller_until_it_fits(work, CPU, "ours", shape, some_stay, None)
    assert row is not None and row.failed == 1
    assert ways[0] == some_stay and ways[-1].stay_bytes == 0
    assert "CUDA out of memory. Tried to allocate 1 GiB\n" in capsys.readouterr().out
