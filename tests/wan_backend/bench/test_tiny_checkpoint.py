"""The stand-in checkpoint: small, the same each time, and of the true classes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from wan_backend.bench import tiny_checkpoint


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, vace_folder):
    tiny_checkpoint.write(tmp_path / "same")
    tiny_checkpoint.write(tmp_path / "other", seed=1)
    assert _digest(tmp_path / "same") == _digest(vace_folder)
    assert _digest(tmp_path / "other") != _digest(vace_folder)


def test_it_is_a_small_vace_checkpoint_in_safetensors(vace_folder):
    index = json.loads((vace_folder / "model_index.json").read_text())
    assert index["_class_name"] == "WanVACEPipeline"
    assert index["transformer"] == ["diffusers", "WanVACETransformer3DModel"]
    files = [file for file in vace_folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 600_000
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pth", ".pkl")]
    weights = load_file(vace_folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_torchs_own_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    tiny_checkpoint.make_pipeline()
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_command_line_writes_it(tmp_path, capsys, vace_folder):
    assert tiny_checkpoint.main([str(tmp_path / "here")]) == 0
    assert _digest(tmp_path / "here") == _digest(vace_folder)
    assert "bytes" in capsys.readouterr().out
