"""Weights that are not numbers, in every form that they come in; a model that has one is refused by its file's name."""

from __future__ import annotations

import shutil

import gguf
import numpy as np
import pytest
import torch
from diffusers.quantizers.gguf.utils import GGUFParameter
from safetensors.torch import load_file, save_file

from tests.wan_backend.library import file_forms
from wan_backend.loading import finite, single_files, wan_model
from wan_backend.loading.eight_bit import EightBitLinear
from wan_backend.loading.wan_model import Precision, WanModel
from wan_backend.protocol.errors import Refusal

CPU = torch.device("cpu")
NONE = [float("nan"), float("inf"), float("-inf")]
PACKED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]


@pytest.fixture(autouse=True)
def unseen(monkeypatch):
    """No file was looked at before."""
    monkeypatch.setattr(wan_model, "_LOOKED_AT", set())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", NONE)
def test_one_number_in_many_is_found(dtype, value):
    weights = torch.linspace(-60_000, 60_000, 1001).to(dtype).reshape(7, 143)
    assert finite.are_numbers(weights) and finite.are_numbers(weights.t())
    weights[3, 77] = value
    assert not finite.are_numbers(weights) and not finite.are_numbers(weights.t())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_of_the_bytes_of_fp8_it_is_those_that_the_format_has_no_number_for(dtype):
    for byte in range(256):
        one = torch.tensor([0x10, byte, 0x90], dtype=torch.uint8).view(dtype)
        assert finite.are_numbers(one) is bool(torch.isfinite(one.float()).all()), byte


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("value", NONE)
def test_of_blocks_it_is_what_they_are_multiplied_by(kind, value):
    """Where it is in them, GGUF's own library says by what it makes of them."""
    form = gguf.GGMLQuantizationType[kind]
    size = gguf.GGML_QUANT_SIZES[form][1]
    rng = np.random.default_rng(0)
    found = 0
    for place in range(0, size, 2):
        blocks = rng.integers(0, 0x3C, (4, 2 * size), np.uint8)  # scales, too, are numbers
        assert finite.are_numbers(GGUFParameter(torch.from_numpy(blocks.copy()), quant_type=form))
        blocks[2, size + place : size + place + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
        with np.errstate(all="ignore"):
            whole = bool(np.isfinite(gguf.dequantize(blocks, form)).all())
        assert finite.are_numbers(GGUFParameter(torch.from_numpy(blocks), quant_type=form)) is whole, place
        found += not whole
    assert found


def test_a_scale_of_eight_bits_is_looked_at():
    scale = torch.ones(4, 1)
    layer = EightBitLinear(torch.ones(4, 8, dtype=torch.int8), scale, None)
    assert finite.broken_weight(layer) is None
    layer.weight_scale[2] = float("nan")
    assert finite.broken_weight(layer) == "weight_scale"


def test_nothing_and_what_has_no_content_are_no_fault():
    assert finite.are_numbers(torch.empty(0)) and finite.are_numbers(torch.empty(3, device="meta"))
    assert finite.are_numbers(torch.tensor([1, 2])) and finite.are_numbers(torch.tensor(True))


@pytest.mark.parametrize("component", ["transformer", "vae", "text_encoder"])
def test_a_folder_with_one_is_refused_by_its_files_name(t2v_folder, tmp_path, component):
    folder = tmp_path / "model"
    shutil.copytree(t2v_folder, folder)
    file = next((folder / component).glob("*.safetensors"))
    weights = load_file(file)
    name = sorted(weights)[-1]
    weights[name] = weights[name].clone()
    weights[name].view(-1)[-1] = float("nan")
    save_file(weights, file, {"format": "pt"})
    model = WanModel(folder, CPU)
    with pytest.raises(Refusal) as refused:
        model.component(component)
    said = refused.value.problem.sentence
    assert said.startswith(
        f"{file} is damaged: its weight {name} contains NaN or infinite numbers"
    ) and not model.loaded(component)
    for other in {"transformer", "vae", "text_encoder"} - {component}:
        assert model.component(other) is not None


@pytest.mark.parametrize("form", ["plain", "fp8", "fp8 scaled"])
def test_a_file_with_one_is_refused_whether_it_stays_packed_or_not(tmp_path, form):
    make = {"plain": dict, "fp8": file_forms.plain_fp8, "fp8 scaled": file_forms.scaled_fp8}[form]
    components = file_forms.files(tmp_path, "text", transformer=make)
    whole = WanModel(tmp_path, CPU, Precision(*[torch.float32] * 3, quantized=True), components)
    assert whole.transformer is not None
    weights = load_file(components["transformer"])
    key = next((k for k in sorted(weights) if k.endswith("q.scale_weight")), "blocks.0.self_attn.q.weight")
    weights[key] = weights[key].clone()
    if weights[key].dtype == torch.float8_e4m3fn:
        weights[key].view(torch.uint8).view(-1)[0] = 0xFF
    else:
        weights[key].view(-1)[0] = float("inf")
    save_file(weights, components["transformer"])
    for quantized in (True, False):
        model = WanModel(tmp_path, CPU, Precision(*[torch.float32] * 3, quantized=quantized), components)
        with pytest.raises(Refusal, match=r"transformer\.safetensors is damaged: its weight"):
            model.component("transformer")


def test_what_was_looked_at_is_read_again_without_another_look(t2v_folder, monkeypatch):
    model = WanModel(t2v_folder, CPU)
    assert model.transformer is not None
    model.drop_all()
    monkeypatch.setattr(finite, "broken_weight", lambda _module: pytest.fail("it was looked at"))
    assert model.transformer is not None


def test_kept_forms_of_gguf_are_all_known():
    assert set(PACKED) == single_files.KEPT_FORMS
