"""A file is recognized as a component by its tensors, and what is wrong with one that can't be used is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wan_backend.library import heads_only
from wan_backend.catalogue.architecture import Architecture
from wan_backend.library import recognize, weights_head
from wan_backend.library.recognize import FileComponent
from wan_backend.storage.guarded_files import UnusableFile


def recognized(file: Path) -> FileComponent:
    (component,) = recognize.recognize_components(weights_head.read_head(file))
    return component


def transformer(tmp_path: Path, name: str = "x", **more: int) -> FileComponent:
    return recognized(heads_only.write(tmp_path / f"{name}.safetensors", heads_only.transformer(**more)))


@pytest.mark.parametrize(("shapes", "architecture", "layers", "heads"), [
    (heads_only.transformer(), Architecture.TEXT, 30, 12),
    (heads_only.transformer(5120, 40), Architecture.TEXT, 40, 40),
    (heads_only.transformer(control=15), Architecture.CONTROL, 30, 12),
    (heads_only.transformer(5120, 40, control=8), Architecture.CONTROL, 40, 40),
    (heads_only.seeing(heads_only.transformer(5120, 40, 36), 40), Architecture.FIRST_PICTURE, 40, 40),
    (heads_only.seeing(heads_only.transformer(5120, 40, 36), 40, both=True), Architecture.FIRST_AND_LAST, 40, 40),
    (heads_only.transformer(5120, 40, 36), Architecture.PICTURES, 40, 40),
    (heads_only.transformer(3072, 30, 48, 48), Architecture.FIRST_LATENT, 30, 24),
    (heads_only.steered(heads_only.seeing(heads_only.transformer(channels=32), 30)), Architecture.CAMERA, 30, 12),
    (
        heads_only.steered(heads_only.seeing(heads_only.transformer(5120, 40, 32), 40)), Architecture.CAMERA, 40, 40,
    ),
    (heads_only.steered(heads_only.transformer(5120, 40, 36)), Architecture.CAMERA_AND_PICTURE, 40, 40),
])  # fmt: skip
def test_families_of_the_published_sizes(tmp_path, shapes, architecture, layers, heads):
    component = recognized(heads_only.write(tmp_path / "anything.safetensors", shapes))
    assert (component.component, component.architecture, component.number_format) == (
        "transformer",
        architecture,
        "bf16",
    )
    assert (component.config["num_layers"], component.config["num_attention_heads"]) == (layers, heads)


def test_the_control_blocks_are_spread_as_published(tmp_path):
    assert transformer(tmp_path, "small", control=15).config["vace_layers"] == list(range(0, 30, 2))
    large = transformer(tmp_path, "large", width=5120, layers=40, control=8)
    assert large.config["vace_layers"] == [0, 5, 10, 15, 20, 25, 30, 35]


def test_the_other_components(tmp_path):
    for shapes, component, form in (
        (heads_only.text_encoder(), "text_encoder", "bf16"),
        (heads_only.vae(), "vae", "bf16"),
        (heads_only.vae(48), "vae", "bf16"),
        (heads_only.image_encoder(), "image_encoder", "bf16"),
    ):
        found = recognized(heads_only.write(tmp_path / f"{component}.safetensors", shapes))
        assert (found.component, found.number_format) == (component, form)
    found = recognized(tmp_path / "image_encoder.safetensors")
    assert (found.config["image_size"], found.config["num_attention_heads"]) == (224, 16)
    found = recognized(tmp_path / "text_encoder.safetensors")
    assert (found.config["d_kv"], found.config["num_layers"], found.config["d_ff"]) == (64, 24, 10240)


@pytest.mark.parametrize("shapes", [
    {"lora_unet_blocks_0_ffn_0.lora_down.weight": (4, 4)},
    {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (4, 4)},
    {"model.diffusion_model.input_blocks.0.0.weight": (4, 4)},
    heads_only.text_encoder(words=32128, shared_bias=True),
    {},
])  # fmt: skip
def test_what_is_not_wans_is_no_component(tmp_path, shapes):
    file = heads_only.write(tmp_path / "x.safetensors", shapes)
    assert recognize.recognize_components(weights_head.read_head(file)) == []


def refused(tmp_path: Path, shapes: heads_only.Shapes, dtype: str = "BF16", name: str = "x", **more: Any) -> str:
    with pytest.raises(UnusableFile) as caught:
        recognized(heads_only.write(tmp_path / f"{name}.safetensors", shapes, dtype, **more))
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


def test_a_piece_of_a_model_is_said_to_lack_its_blocks(tmp_path):
    shapes = {name: shape for name, shape in heads_only.transformer().items() if not name.startswith("blocks.3.")}
    assert "27 of its tensors are missing, the first is blocks.3." in refused(tmp_path, shapes)


def test_surplus_tensors_are_named(tmp_path):
    shapes = {**heads_only.transformer(), "audio_proj.norm.weight": (1,)}
    assert refused(tmp_path, shapes) == "one of its tensors is of another kind of model, audio_proj.norm.weight"


def test_variants_by_their_channels_are_refused(tmp_path):
    assert "takes 48 channels and gives 16" in refused(tmp_path, heads_only.transformer(channels=48))


def test_fun_camera_has_as_many_tensors_as_published():
    assert len(heads_only.steered(heads_only.seeing(heads_only.transformer(channels=32), 30))) == 989


@pytest.mark.parametrize(("shapes", "said"), [
    (heads_only.steered(heads_only.transformer(3072, 30, 100, 48), 16), "a camera steers it, but it takes 100"),
    (heads_only.steered(heads_only.seeing(heads_only.transformer(channels=36), 30)), "it takes 36 channels and"),
    (heads_only.steered(heads_only.transformer(5120, 40, 32)), "it takes 32 channels and"),
    (heads_only.steered(heads_only.transformer(5120, 40, 36), 7), "it takes 36 channels and"),
    (heads_only.seeing(heads_only.transformer(channels=48), 30), "may be a variant, such as Fun Control"),
    (heads_only.transformer(5120, 40, 52), "may be a variant, such as Fun Control"),
])  # fmt: skip
def test_look_alikes_of_fun_camera_are_refused(tmp_path, shapes, said):
    assert said in refused(tmp_path, shapes)


def test_half_an_adapter_is_refused(tmp_path):
    whole = heads_only.steered(heads_only.transformer(5120, 40, 36))
    del whole["control_adapter.residual_blocks.0.conv2.bias"]
    assert "missing, control_adapter.residual_blocks.0.conv2.bias" in refused(tmp_path, whole)
    whole = heads_only.steered(heads_only.transformer(5120, 40, 36))
    whole["control_adapter.conv.weight"] = (5120, 1000, 2, 2)
    assert "takes 1000 channels, which no camera's rays have" in refused(tmp_path, whole, name="y")
    more = {**heads_only.steered(heads_only.transformer(5120, 40, 36)), "ref_conv.weight": (5120, 16, 2, 2)}
    assert "of another kind of model, ref_conv.weight" in refused(tmp_path, more, name="z")


@pytest.mark.parametrize("name", ["qwen_image_vae", "Qwen_Image-VAE"])
def test_the_autoencoder_of_another_model_is_recognized_by_its_name(tmp_path, name):
    assert "Qwen" in refused(tmp_path, heads_only.vae(), name=name)


def test_packed_numbers_are_refused(tmp_path):
    assert "nvfp4 or int4, which this version can't read" in refused(tmp_path, heads_only.transformer(), "U8")
    assert "int8 without scales" in refused(tmp_path, heads_only.transformer(), "I8", "y")


def test_fp8_with_a_missing_scale_is_refused(tmp_path):
    shapes = heads_only.transformer(layers=1)
    shapes |= {"blocks.0.ffn.0.scale_weight": (1,), "scaled_fp8": (0,)}
    said = refused(tmp_path, shapes, "F8_E4M3", others={"blocks.0.ffn.0.scale_weight": "F32"})
    assert "have no scale, the first is blocks.0.cross_attn.k.weight" in said


def test_vectors_and_tables_need_no_scale_in_fp8_scaled(tmp_path):
    shapes = heads_only.text_encoder()
    for name in list(shapes):
        if (".SelfAttention." in name or ".DenseReluDense." in name) and "relative_attention_bias" not in name:
            shapes[name.replace(".weight", ".scale_weight")] = (1,)
    others = {name: "F32" for name in shapes if name.endswith(".scale_weight")}
    assert (
        recognized(heads_only.write(tmp_path / "x.safetensors", shapes, "F8_E4M3", others)).number_format
        == "fp8 scaled"
    )


def test_plain_fp8_is_recognized_from_scaled(tmp_path):
    file = heads_only.write(tmp_path / "x.safetensors", heads_only.transformer(), "F8_E4M3")
    assert recognized(file).number_format == "fp8"


def scaled(shapes: heads_only.Shapes, kind: str, suffix: str, across: int = 0) -> tuple[dict, dict[str, str]]:
    """The matrices of the blocks in 8 bit, with scales: one a row, or so many numbers a scale."""
    made, others = dict(shapes), {}
    for name, shape in shapes.items():
        if len(shape) == 2 and name.startswith("blocks"):
            scale = name.removesuffix(".weight") + suffix
            made[scale] = (shape[0], shape[1] // across if across else 1)
            others |= {name: kind, scale: "F32"}
    return made, others


@pytest.mark.parametrize(("kind", "across", "form"), [
    ("F8_E4M3", 0, "fp8 scaled"), ("F8_E4M3", 64, "fp8 scaled"), ("I8", 0, "int8"), ("I8", 128, "int8"),
])  # fmt: skip
def test_scaled_forms_of_which_every_number_is_there(tmp_path, kind, across, form):
    shapes, others = scaled(heads_only.transformer(layers=2), kind, ".weight_scale", across)
    assert recognized(heads_only.write(tmp_path / "x.safetensors", shapes, others=others)).number_format == form


def test_scales_whose_order_is_not_known_are_refused_by_the_head_already(tmp_path):
    shapes, others = scaled(heads_only.transformer(layers=2), "F8_E4M3", ".weight_scale", 32)
    packed = {name: "F8_E8M0" if name.endswith("_scale") else kind for name, kind in others.items()}
    assert "are mxfp8, which this version can't read" in refused(tmp_path, shapes, others=packed)
    noted = {"_quantization_metadata": json.dumps({"layers": {"blocks.0.ffn.0": {"format": "mxfp8"}}})}
    assert "in mxfp8, which" in refused(tmp_path, shapes, name="y", others=others, notes=noted)
    shapes["blocks.0.ffn.0.weight_scale"] = (7, 7)
    assert "has the shape (7, 7), which this version" in refused(tmp_path, shapes, name="z", others=others)
    shapes["blocks.0.ffn.0.weight_scale"], shapes["blocks.0.ffn.0.weight_scale_2"] = (1,), (1,)
    assert "has two scales" in refused(tmp_path, shapes, name="w", others=others)


def test_a_tensor_of_another_shape_is_refused_by_the_head_already(tmp_path):
    shapes = heads_only.transformer(layers=2)
    shapes["blocks.1.ffn.2.bias"] = (7,)
    assert refused(tmp_path, shapes).startswith("its tensor blocks.1.ffn.net.2.bias has the shape (7,), where (1536,)")


def test_a_piece_of_a_model_is_said_to_be_one(tmp_path):
    shapes = {name: shape for name, shape in heads_only.transformer().items() if not name.startswith("blocks.9")}
    assert "one of the 6 pieces of a model" in refused(tmp_path, shapes, name="diffusion-00002-of-00006")


PREFIXES = {
    "model.diffusion_model.": "ComfyUI's checkpoints", "diffusion_model.": "ComfyUI's and Kijai's files",
    "net.": "Cosmos' and some trainers'", "transformer.": "diffusers' trainers", "module.": "torch's DataParallel",
    "_orig_mod.": "torch.compile", "module._orig_mod.": "both", "pipe.dit.": "DiffSynth's trainer",
}  # fmt: skip
"""What stands before every name, and where it was seen."""


@pytest.mark.parametrize("prefix", PREFIXES)
def test_whatever_stands_before_every_name(tmp_path, prefix):
    shapes = {prefix + name: shape for name, shape in heads_only.transformer(layers=2).items()}
    assert recognized(heads_only.write(tmp_path / "x.safetensors", shapes)).architecture is Architecture.TEXT


def test_wrappers_inside_names_and_two_models_in_one(tmp_path):
    plain = heads_only.transformer(layers=2)
    shapes = {name.replace("blocks.0.", "blocks.0._orig_mod."): shape for name, shape in plain.items()}
    component = recognized(heads_only.write(tmp_path / "x.safetensors", shapes))
    assert component.slices["blocks.0.ffn.net.2.bias"].source == "blocks.0._orig_mod.ffn.2.bias"
    both = {prefix + name: shape for name, shape in plain.items() for prefix in ("generator.", "generator_ema.")}
    assert "several models of the kind transformer (generator. and generator_ema.)" in refused(tmp_path, both, name="y")


def test_quanto_is_read_and_its_4_bit_is_not(tmp_path):
    shapes, others = {}, {}
    for name, shape in heads_only.transformer(layers=2).items():
        if len(shape) == 2 and name.startswith("blocks"):
            shapes |= {f"{name}._data": shape, f"{name}._scale": (shape[0], 1)}
            shapes |= {f"{name.removesuffix('.weight')}.{end}": () for end in ("input_scale", "output_scale")}
            others[f"{name}._data"] = "I8"
        else:
            shapes[name] = shape
    component = recognized(heads_only.write(tmp_path / "x.safetensors", shapes, others=others))
    assert component.number_format == "int8"
    assert component.slices["blocks.0.attn1.to_q.weight"].source == "blocks.0.self_attn.q.weight._data"
    unread = dict.fromkeys(others, "U8")
    assert "this version can't read" in refused(tmp_path, shapes, name="y", others=unread)


@pytest.mark.parametrize(("marker", "shape"), [
    ("model_type.Wan2_1-FLF2V-14B-720P", (1,)), ("logit_scale", ()), ("global_step", ()),
    ("__index_timestep_zero__", (1,)),
])  # fmt: skip
def test_what_programs_leave_behind_refuses_nothing(tmp_path, marker, shape):
    assert recognized(heads_only.write(tmp_path / "x.safetensors", {**heads_only.transformer(layers=2), marker: shape}))
    assert recognized(heads_only.write(tmp_path / "y.safetensors", {**heads_only.text_encoder(), marker: shape}))


@pytest.mark.parametrize(("surplus", "shape"), [
    ("blocks.0.self_attn.q.alpha", ()), ("head.gate", (1,)), ("ref_conv.weight", (1536, 16, 2, 2)),
    ("blocks.0.self_attn.q.pre_quant_scale", (1536,)), ("logit_scale", (5000,)),
    ("blocks.0.ffn.0.lora_A.weight", (4, 1)),
])  # fmt: skip
def test_what_changes_the_arithmetic_stays_refused(tmp_path, surplus, shape):
    said = refused(tmp_path, {**heads_only.transformer(layers=2), surplus: shape})
    assert "of another kind of model" in said and surplus.split(".")[-1] in said


@pytest.mark.parametrize("suffix", [".weight.weight_scale", ".weights.scale_weight", ".w.weight_scale_inv"])
def test_a_scale_of_nothing_is_not_skipped(tmp_path, suffix):
    """Without it, the weights that it was meant for would be other numbers."""
    shapes = heads_only.transformer()
    scales = {name.removesuffix(".weight") + suffix: (1,) for name in shapes if name.endswith("self_attn.q.weight")}
    file = heads_only.write(tmp_path / "a.safetensors", {**shapes, **scales}, "F8_E4M3", dict.fromkeys(scales, "F32"))
    with pytest.raises(UnusableFile, match="of another kind of model"):
        recognize.recognize_components(weights_head.read_head(file))


@pytest.mark.parametrize("prefix", ["clip_vision.", "model.", "clip.vision_model."])
def test_an_image_encoder_is_recognized_whatever_stands_before_its_names(tmp_path, prefix):
    shapes = {name.replace("vision_model.", prefix): shape for name, shape in heads_only.image_encoder().items()}
    (component,) = recognize.recognize_components(
        weights_head.read_head(heads_only.write(tmp_path / "a.safetensors", shapes))
    )
    assert component.component == "image_encoder"


@pytest.mark.parametrize("name", ["qwen_image_vae", "wan_alpha_2.1_vae_alpha_channel"])
def test_an_autoencoder_that_is_recognized_apart_by_its_name_alone_is_refused(tmp_path, name):
    file = heads_only.write(tmp_path / f"{name}.safetensors", heads_only.vae())
    with pytest.raises(UnusableFile, match="by its name it is"):
        recognize.recognize_components(weights_head.read_head(file))
