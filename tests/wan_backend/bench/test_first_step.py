"""From a request to the first step: takes by new processes, with a checkpoint of full size that is written before."""

from __future__ import annotations

import pytest
import torch

from wan_backend import bench
from wan_backend.bench import first_step, random_weights
from wan_backend.bench.engines import Work
from wan_backend.loading.wan_model import WanModel

SMALL = Work(64, 48, 5, 3, 1.0, 3.0)
CPU = torch.device("cpu")


@pytest.mark.long
def test_new_processes_make_the_takes(t2v_folder, tmp_path):
    courses = first_step.measured(t2v_folder, SMALL, tmp_path / "state", CPU)
    assert list(courses) == ["first day", "the next take", "second day"]
    for course in courses.values():
        assert not course.problem and course.kernels == "torch"
        assert 0 < course.begun < course.step <= course.preview < course.second < course.whole
    assert courses["the next take"].phases["load"] < courses["first day"].phases["load"]
    assert "second day" in first_step._table(courses)


@pytest.mark.long
def test_a_take_that_fails_says_why(tmp_path):
    courses = first_step.measured(tmp_path / "nothing", SMALL, tmp_path / "state", CPU)
    assert courses["first day"].problem and courses["first day"].problem in first_step._table(courses)


def test_what_is_written_is_a_checkpoint(monkeypatch, tmp_path):
    small = {"num_attention_heads": 2, "ffn_dim": 16, "num_layers": 1}
    monkeypatch.setitem(random_weights.TRANSFORMER_CONFIGS, "1.3B", small)
    monkeypatch.setattr(random_weights, "UMT5_XXL", {"vocab_size": 128, "d_model": 4096, "num_layers": 1, "d_ff": 8})
    monkeypatch.setattr(random_weights, "VAES", {"1.3B": {"base_dim": 2, "z_dim": 16, "num_res_blocks": 1}})
    written = first_step.write("1.3B", tmp_path / "model", CPU)
    model = WanModel(tmp_path / "model", CPU)
    assert model.transformer.config.num_layers == 1 and model.tokenizer("fog").input_ids
    weights = sum(model.weight_bytes(component) for component in model.components)
    assert 0.9 * weights < written < 2 * weights


def test_without_a_card_that_is_said(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert bench.main(["--first-step", "1.3B"]) == 2
    assert "no cuda device" in capsys.readouterr().err
