"""The files that ship: whole, small, safetensors in bfloat16, and loaded by the catalogue's own way."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tools.embedded_model import checkpoint, evaluate
from wan_backend.catalogue import entries
from wan_backend.library import locate

WEIGHTS = evaluate.WEIGHTS
LORAS = WEIGHTS.with_name("loras")


def test_the_checkpoint_is_small_and_has_its_parts():
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= checkpoint.MAX_BYTES
    assert {file.suffix for file in files} == {".json", ".safetensors", ".md"}
    for file in files:
        if file.suffix == ".safetensors":
            weights = load_file(file)
            assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}, file
            assert all(torch.isfinite(weight).all() for weight in weights.values()), file


def test_the_catalogue_finds_it():
    assert locate.find(entries.entry("embedded"), []) == locate.LocatedModel(WEIGHTS)


@pytest.mark.parametrize(("kind", "most_bytes"), [("style", 1_000_000), ("draft", 2_000_000)])
def test_a_lora_is_small_and_fits_the_transformer(kind, most_bytes):
    file = LORAS / f"{kind}.safetensors"
    assert file.stat().st_size <= most_bytes
    with safe_open(WEIGHTS / "transformer" / "diffusion_pytorch_model.safetensors", "pt") as base:
        shapes = {key: base.get_slice(key).get_shape() for key in base.keys()}  # noqa: SIM118
    changes = load_file(file)
    for name in {key.rpartition(".lora_")[0] for key in changes}:
        rows, columns = shapes[name.removeprefix("transformer.") + ".weight"]
        assert changes[f"{name}.lora_A.weight"].shape[1] == columns
        assert changes[f"{name}.lora_B.weight"].shape[0] == rows
