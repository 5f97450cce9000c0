"""Which file is which part, told by its inside; and what is wrong with one that can't be used."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.wan_backend.models import heads_only
from wan_backend.models.files import headers, recognise
from wan_backend.models.files.recognise import NotOurs, PartFile, Unusable
from wan_backend.models.layout import Layout


def told(file: Path) -> PartFile:
    (part,) = recognise.recognise(headers.read(file))
    return part


def transformer(tmp_path: Path, name: str = "x", **more: int) -> PartFile:
    return told(heads_only.write(tmp_path / f"{name}.safetensors", heads_only.transformer(**more)))


@pytest.mark.parametrize(("shapes", "layout", "layers", "heads"), [
    (heads_only.transformer(), Layout.TEXT, 30, 12),
    (heads_only.transformer(5120, 40), Layout.TEXT, 40, 40),
    (heads_only.transformer(control=15), Layout.CONTROL, 30, 12),
    (heads_only.transformer(5120, 40, control=8), Layout.CONTROL, 40, 40),
    (heads_only.seeing(heads_only.transformer(5120, 40, 36), 40), Layout.FIRST_PICTURE, 40, 40),
    (heads_only.seeing(heads_only.transformer(5120, 40, 36), 40, both=True), Layout.FIRST_AND_LAST, 40, 40),
    (heads_only.transformer(5120, 40, 36), Layout.PICTURES, 40, 40),
    (heads_only.transformer(3072, 30, 48, 48), Layout.FIRST_LATENT, 30, 24),
])  # fmt: skip
def test_families_of_the_published_sizes(tmp_path, shapes, layout, layers, heads):
    part = told(heads_only.write(tmp_path / "anything.safetensors", shapes))
    assert (part.part, part.layout, part.form) == ("transformer", layout, "bf16")
    assert (part.config["num_layers"], part.config["num_attention_heads"]) == (layers, heads)


def test_the_control_blocks_are_spread_as_published(tmp_path):
    assert transformer(tmp_path, "small", control=15).config["vace_layers"] == list(range(0, 30, 2))
    large = transformer(tmp_path, "large", width=5120, layers=40, control=8)
    assert large.config["vace_layers"] == [0, 5, 10, 15, 20, 25, 30, 35]


def test_the_other_parts(tmp_path):
    for shapes, part, form in (
        (heads_only.text_encoder(), "text_encoder", "bf16"),
        (heads_only.vae(), "vae", "bf16"),
        (heads_only.vae(48), "vae", "bf16"),
        (heads_only.image_encoder(), "image_encoder", "bf16"),
    ):
        found = told(heads_only.write(tmp_path / f"{part}.safetensors", shapes))
        assert (found.part, found.form) == (part, form)
    found = told(tmp_path / "image_encoder.safetensors")
    assert (found.config["image_size"], found.config["num_attention_heads"]) == (224, 16)
    found = told(tmp_path / "text_encoder.safetensors")
    assert (found.config["d_kv"], found.config["num_layers"], found.config["d_ff"]) == (64, 24, 10240)


@pytest.mark.parametrize("shapes", [
    {"lora_unet_blocks_0_ffn_0.lora_down.weight": (4, 4)},
    {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (4, 4)},
    {"model.diffusion_model.input_blocks.0.0.weight": (4, 4)},
    heads_only.text_encoder(words=32128, shared_bias=True),
    {},
])  # fmt: skip
def test_what_is_not_wans_is_no_part(tmp_path, shapes):
    with pytest.raises(NotOurs):
        told(heads_only.write(tmp_path / "x.safetensors", shapes))


def refused(tmp_path: Path, shapes: heads_only.Shapes, dtype: str = "BF16", name: str = "x") -> str:
    with pytest.raises(Unusable) as caught:
        told(heads_only.write(tmp_path / f"{name}.safetensors", shapes, dtype))
    return str(caught.value)


def test_a_missing_tensor_is_named(tmp_path):
    shapes = heads_only.transformer()
    del shapes["blocks.7.ffn.2.bias"]
    assert refused(tmp_path, shapes) == "one of its tensors is missing, blocks.7.ffn.net.2.bias"
    del shapes["patch_embedding.weight"]
    assert refused(tmp_path, shapes, name="y") == "its tensor patch_embedding.weight is missing"


def test_a_missing_tensor_of_an_encoder_is_named(tmp_path):
    shapes = heads_only.text_encoder()
    del shapes["encoder.block.9.layer.1.DenseReluDense.wo.weight"]
    assert "missing, encoder.block.9.layer.1.DenseReluDense.wo.weight" in refused(tmp_path, shapes)
    shapes = heads_only.image_encoder()
    del shapes["vision_model.encoder.layers.3.mlp.fc1.bias"]
    assert "missing, encoder.layers.3.mlp.fc1.bias" in refused(tmp_path, shapes, name="y")


def test_a_half_of_a_model_is_said_to_lack_its_blocks(tmp_path):
    shapes = {name: shape for name, shape in heads_only.transformer().items() if not name.startswith("blocks.3.")}
    assert "27 of its tensors are missing, the first is blocks.3." in refused(tmp_path, shapes)


def test_a_control_module_alone_is_told(tmp_path):
    shapes = heads_only.transformer(control=15)
    alone = {name: shape for name, shape in shapes.items() if name.startswith("vace")}
    assert "control blocks of a VACE model alone" in refused(tmp_path, alone)


def test_surplus_tensors_are_named(tmp_path):
    shapes = {**heads_only.transformer(), "audio_proj.norm.weight": (1,)}
    assert refused(tmp_path, shapes) == "one of its tensors is of another kind of model, audio_proj.norm.weight"


def test_variants_by_their_channels_are_refused(tmp_path):
    assert "takes 48 channels and gives 16" in refused(tmp_path, heads_only.transformer(channels=48))


@pytest.mark.parametrize("name", ["qwen_image_vae", "Qwen_Image-VAE"])
def test_the_autoencoder_of_another_model_is_told_by_its_name(tmp_path, name):
    assert "Qwen" in refused(tmp_path, heads_only.vae(), name=name)


def test_packed_numbers_are_refused(tmp_path):
    assert "nvfp4 or int8, which this version can't read" in refused(tmp_path, heads_only.transformer(), "U8")


def test_fp8_with_a_missing_scale_is_refused(tmp_path):
    shapes = heads_only.transformer(layers=1)
    shapes |= {"blocks.0.ffn.0.scale_weight": (1,), "scaled_fp8": (0,)}
    said = refused(tmp_path, shapes, "F8_E4M3")
    assert "have no scale, the first is blocks.0.cross_attn.k.weight" in said


def test_vectors_and_tables_need_no_scale_in_fp8_scaled(tmp_path):
    shapes = heads_only.text_encoder()
    for name in list(shapes):
        if (".SelfAttention." in name or ".DenseReluDense." in name) and "relative_attention_bias" not in name:
            shapes[name.replace(".weight", ".scale_weight")] = (1,)
    assert told(heads_only.write(tmp_path / "x.safetensors", shapes, "F8_E4M3")).form == "fp8 scaled"


def test_plain_fp8_is_told_from_scaled(tmp_path):
    file = heads_only.write(tmp_path / "x.safetensors", heads_only.transformer(), "F8_E4M3")
    assert told(file).form == "fp8"


@pytest.mark.parametrize(("name", "expert"), [
    ("wan2.2_t2v_high_noise_14B_fp8_scaled", "high"), ("wan2.2_i2v_low_noise_14B_fp16", "low"),
    ("Wan2.2-T2V-A14B-HighNoise-Q4_K_M", "high"), ("Wan2_2-I2V-A14B-LOW_fp8", "low"),
    ("HighNoise/model", "high"), ("wan2.1_t2v_14B_bf16", ""), ("slow_motion", ""), ("highlight", ""),
])  # fmt: skip
def test_halves_are_told_by_name(name, expert):
    assert recognise.expert_of(Path("/models") / f"{name}.safetensors") == expert


def test_a_note_in_the_file_comes_before_its_name():
    file = Path("/models/wan_low_noise.gguf")
    assert recognise.expert_of(file, {"general.name": "Wan2.2 T2V A14B HighNoise"}) == "high"
    assert recognise.expert_of(file, {"general.name": "Wan2.2 T2V A14B"}) == "low"


def test_a_half_says_that_its_name_told(tmp_path):
    assert "by its name the high noise half" in transformer(tmp_path, "wan2.2_high_noise").words


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16, b"no\n" * 40])
@pytest.mark.parametrize("suffix", ["gguf", "safetensors"])
def test_something_else_under_such_a_name(tmp_path, content, suffix):
    (tmp_path / f"x.{suffix}").write_bytes(content)
    with pytest.raises(headers.Unreadable):
        headers.read(tmp_path / f"x.{suffix}")


def test_a_cut_off_file_is_told(tmp_path):
    file = heads_only.write(tmp_path / "x.safetensors", heads_only.transformer())
    with open(file, "r+b") as stream:
        stream.truncate(file.stat().st_size - 1)
    with pytest.raises(headers.Unreadable, match="cut off: it has"):
        headers.read(file)


def test_a_header_is_read_again_only_when_the_file_changes(tmp_path):
    file = heads_only.write(tmp_path / "x.safetensors", {"a": (1,)})
    assert headers.read(file) is headers.read(file)
    heads_only.write(file, {"a": (1,), "b": (1,)})
    assert "b" in headers.read(file).tensors


def test_a_gguf_of_a_strange_version_is_named(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 9, 0, 0))
    with pytest.raises(headers.Unreadable, match="version 9"):
        headers.read(tmp_path / "x.gguf")


def test_notes_are_not_tensors(tmp_path):
    header = json.dumps({"__metadata__": {"made": "today"}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert headers.read(tmp_path / "x.safetensors").notes == {"made": "today"}
