"""Which files are upscaling models, and what is said of the others."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.wan_backend import upscaling_models
from wan_backend.loading import upscaling_model
from wan_backend.protocol.errors import Refusal

CPU = torch.device("cpu")


def why(file) -> str:
    with pytest.raises(Refusal) as refused:
        upscaling_model.load(file, CPU)
    return str(refused.value.problem.sentence)


@pytest.mark.parametrize("scale", [2, 4])
def test_an_upscaling_model_is_known_by_its_tensors(tmp_path, scale):
    model = upscaling_model.load(upscaling_models.write(tmp_path / "any.safetensors", scale=scale), CPU)
    assert (model.scale, model.kind, model.dtype) == (scale, "ESRGAN", torch.float32)
    picture = torch.rand(1, 3, 20, 24)
    with torch.no_grad():
        assert model.call(picture).shape == (1, 3, 20 * scale, 24 * scale)
    assert "torchvision" not in sys.modules or sys.modules["torchvision"].__spec__ is not None


def test_others_are_refused_by_what_they_are(tmp_path):
    assert "makes no picture larger" in why(upscaling_models.write(tmp_path / "same.safetensors", scale=1))
    assert "three colors" in why(upscaling_models.write(tmp_path / "gray.safetensors", channels=1))
    safetensors.torch.save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    assert "of no upscaling model" in why(tmp_path / "other.safetensors")
    whole = upscaling_models.write(tmp_path / "cut.safetensors")
    whole.write_bytes(whole.read_bytes()[:-10])
    assert "is cut off" in why(whole)
    (tmp_path / "text.safetensors").write_bytes(b"no safetensors file at all, but text")
    assert "not a safetensors file" in why(tmp_path / "text.safetensors")
    assert "is missing" in why(tmp_path / "none.safetensors")


def test_tensors_that_dont_fit_each_other_are_refused(tmp_path):
    tensors = upscaling_models.tensors()
    name = next(iter(tensors))
    safetensors.torch.save_file({**tensors, name: torch.from_numpy(np.zeros((5, 5, 5, 5)))}, tmp_path / "x.safetensors")
    assert "of no upscaling model" in why(tmp_path / "x.safetensors")


def test_without_spandrel_one_sentence_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert "wan_backend.environment finish" in why(tmp_path / "any.safetensors")
