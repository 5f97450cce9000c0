"""Control in a file of its own and a text to video transformer load as the control model that they are together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.wan_backend.library import file_forms as forms
from tests.wan_backend.loading.test_single_files import far, run_transformer, same
from wan_backend.library.component_files import ComponentFiles
from wan_backend.loading import single_files, weight_forms
from wan_backend.loading.weight_forms import Form
from wan_backend.protocol.errors import Refusal

Write = Callable[[Path, forms.Weights], Path]


def split(source: Any) -> tuple[forms.Weights, forms.Weights]:
    """The weights of a control model by their published names: of its trunk, and of its control."""
    weights = forms.published("transformer", forms.weights_of(source))
    control = {name: weight for name, weight in weights.items() if name.startswith("vace_")}
    return {name: weight for name, weight in weights.items() if name not in control}, control


def files_of(folder: Path, trunk: Path, control: Path) -> ComponentFiles:
    return ComponentFiles(folder, {"transformer": trunk, "control": control})


def load(files: ComponentFiles, quantized: bool = False, dtype: torch.dtype = torch.float32) -> Any:
    file = files.file("transformer")
    assert file is not None
    return single_files.load(file, dtype, quantized)


def plain(file: Path, weights: forms.Weights) -> Path:
    return forms.write(file.with_suffix(".safetensors"), weights)


def scaled(file: Path, weights: forms.Weights) -> Path:
    return plain(file, forms.scaled_fp8(weights))


def packed(file: Path, weights: forms.Weights) -> Path:
    return forms.write_gguf(file.with_suffix(".gguf"), weights, "Q8_0")


def test_two_files_are_bit_for_bit_the_one(tmp_path):
    source = forms.transformer("control")
    trunk, control = split(source)
    assert "vace_blocks.0.before_proj.weight" in control and "vace_patch_embedding.bias" in control
    module = load(files_of(tmp_path, plain(tmp_path / "t", trunk), plain(tmp_path / "c", control)))
    assert type(module) is type(source)
    for name, weight in source.state_dict().items():
        assert torch.equal(module.state_dict()[name], weight), name
    assert same(run_transformer(module), run_transformer(source))


def test_a_retrained_trunk_is_the_one_that_runs(tmp_path):
    _, control = split(forms.transformer("control"))
    tuned = forms.transformer("control", seed=9)
    trunk, _ = split(tuned)
    module = load(files_of(tmp_path, plain(tmp_path / "t", trunk), plain(tmp_path / "c", control)))
    assert torch.equal(module.blocks[1].ffn.net[2].weight, tuned.blocks[1].ffn.net[2].weight)
    assert torch.equal(module.vace_blocks[0].proj_in.weight, control["vace_blocks.0.before_proj.weight"])


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize(
    ("trunk_form", "control_form"),
    [(plain, scaled), (scaled, plain), (scaled, scaled), (packed, plain), (packed, packed), (plain, packed)],
)
def test_each_file_may_have_its_own_form(tmp_path, trunk_form: Write, control_form: Write, quantized):
    source = forms.transformer("control")
    trunk, control = split(source)
    files = files_of(tmp_path, trunk_form(tmp_path / "t", trunk), control_form(tmp_path / "c", control))
    module = load(files, quantized)
    assert far(run_transformer(source), run_transformer(module)) < 0.7
    kinds = [type(block.attn1.to_q).__name__ for block in (module.blocks[0], module.vace_blocks[0])]
    kept = {scaled: "EightBitLinear", packed: "GGUFLinear", plain: "Linear"}
    if not quantized or trunk_form is plain:  # as its trunk is, the whole is either kept or made numbers
        assert kinds == ["Linear", "Linear"]
    else:
        assert kinds == [kept[trunk_form], kept[control_form]]


def test_what_control_adds_to_a_packed_trunk_is_known_before(tmp_path):
    trunk, control = split(forms.transformer("control"))
    said, held = [], []
    for control_form in (plain, packed):
        files = files_of(tmp_path, packed(tmp_path / "t", trunk), control_form(tmp_path / "c", control))
        file = files.file("transformer")
        said.append(weight_forms.smaller_bytes(Form.AS_IN_FILE, file, files.config("transformer"), torch.float32))
        held.append(weight_forms.held_bytes(load(files, quantized=True)))
    assert said[0] > 1.5 * said[1]
    assert 0.9 < (said[0] - said[1]) / (held[0] - held[1]) < 1.1


@pytest.mark.parametrize("gates", [False, True])
def test_a_folder_of_diffusers_may_be_the_trunk(tmp_path, gates):
    from safetensors.torch import load_file, save_file

    text = forms.transformer("text", seed=4)
    text.save_pretrained(tmp_path / "transformer", max_shard_size="200KB")
    if gates:  # FastWan's, of sparse attention, which is left out
        shard = sorted((tmp_path / "transformer").glob("*.safetensors"))[0]
        save_file({**load_file(shard), "blocks.0.to_gate_compress.bias": torch.zeros(128)}, shard, {"format": "pt"})
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 1
    source = forms.transformer("control")
    _, control = split(source)
    files = files_of(tmp_path, tmp_path / "transformer", plain(tmp_path / "c", control))
    module = load(files)
    assert type(module) is type(source)
    assert torch.equal(module.blocks[1].attn1.to_q.weight, text.blocks[1].attn1.to_q.weight)
    assert torch.equal(module.vace_blocks[1].proj_out.bias, source.vace_blocks[1].proj_out.bias)


def test_the_stamp_is_of_both_files(tmp_path):
    trunk, control = split(forms.transformer("control"))
    files = files_of(tmp_path, plain(tmp_path / "t", trunk), plain(tmp_path / "c", control))
    before = files.component_stamp("transformer")
    plain(tmp_path / "c", {**control, "model_type.x": torch.zeros(1)})
    assert len(before) == 2 and files.component_stamp("transformer") != before


def test_control_that_is_there_no_more_is_named(tmp_path):
    trunk, control = split(forms.transformer("control"))
    files = files_of(tmp_path, plain(tmp_path / "t", trunk), plain(tmp_path / "c", control))
    plain(tmp_path / "c", {"x": torch.zeros(1)})
    with pytest.raises(Refusal) as caught:
        files.file("transformer")
    assert "c.safetensors holds no control (VACE) of a Wan model any more" in caught.value.problem.sentence
