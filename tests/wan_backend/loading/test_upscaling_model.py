"""Which files are upscaling models, and what is said of the others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.wan_backend import upscaling_models
from wan_backend.library import upscalers
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


def test_a_file_that_speaks_of_more_than_it_has_is_refused_before_anything_is_built(tmp_path):
    tensors = upscaling_models.tensors()
    block = next(name for name in tensors if name.startswith("model.1.sub.0."))
    more = {block.replace("sub.0.", "sub.20000."): tensors[block].clone()}
    file = tmp_path / "many.safetensors"
    safetensors.torch.save_file({**tensors, **more}, file)
    assert "it names a block 20,000 of 'model.1.sub' and has 3 of these" in why(file)
    (tmp_path / upscalers.FOLDER).mkdir()
    file.rename(tmp_path / upscalers.FOLDER / file.name)
    assert not isinstance(upscalers.find(file.name, [tmp_path]), Path), "a plan says so, too"


def test_a_shape_that_speaks_of_more_than_there_is_is_refused_before_it_is_made(tmp_path):
    """The first layer alone says how wide all others are."""
    tensors = upscaling_models.tensors()
    wide = torch.zeros(60_000, 3, 3, 3, dtype=torch.uint8).view(torch.float8_e4m3fn)
    file = tmp_path / "wide.safetensors"
    safetensors.torch.save_file({**tensors, "model.0.weight": wide}, file)
    assert file.stat().st_size < 4_000_000
    assert "speaks of a far larger model than it has tensors of" in why(file)


def test_memory_that_ends_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def loader(tensors):
        raise MemoryError

    monkeypatch.setattr(upscaling_model, "_loader", lambda: loader)
    with pytest.raises(MemoryError):
        upscaling_model.load(upscaling_models.write(tmp_path / "any.safetensors"), CPU)


def test_without_spandrel_one_sentence_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    assert "pip install --no-deps einops==" in why(tmp_path / "any.safetensors")
