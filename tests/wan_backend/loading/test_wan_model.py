"""Loading: the right classes and number formats; and one sentence that names what is broken."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from wan_backend.loading.wan_model import Precision, WanModel
from wan_backend.protocol.errors import Refusal

CPU = torch.device("cpu")
VAE_FILE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(vace_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint that the test may break."""
    return Path(shutil.copytree(vace_folder, tmp_path / "model"))


def refused(folder: Path, component: str = "vae") -> Refusal:
    with pytest.raises(Refusal) as caught:
        WanModel(folder, CPU).component(component)
    return caught.value


def test_parts_load_when_asked_for_and_can_be_dropped(vace_folder):
    model = WanModel(vace_folder, CPU)
    assert not any(model.loaded(component) for component in ("text_encoder", "transformer", "vae"))
    assert type(model.transformer).__name__ == "WanVACETransformer3DModel"
    assert model.loaded("transformer") and not model.loaded("vae")
    assert model.transformer is model.transformer
    assert not any(weight.requires_grad for weight in model.transformer.parameters())
    model.drop("transformer")
    assert not model.loaded("transformer")


def test_loading_never_reaches_for_the_network(vace_folder, monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("loading from a folder reached for the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = WanModel(vace_folder, CPU)
    assert all(
        getattr(model, component) is not None for component in ("tokenizer", "text_encoder", "transformer", "vae")
    )


def test_the_transformers_class_is_the_index_word(vace_folder, t2v_folder):
    assert WanModel(vace_folder, CPU).controlled
    plain = WanModel(t2v_folder, CPU)
    assert not plain.controlled
    assert type(plain.transformer).__name__ == "WanTransformer3DModel"


def test_an_image_encoder_is_a_part_where_the_model_looks_at_pictures(first_and_last_folder, pictures_folder):
    model = WanModel(first_and_last_folder, CPU)
    assert model.components == ("text_encoder", "transformer", "vae", "image_encoder")
    assert type(model.component("image_encoder")).__name__ == "CLIPVisionModel"
    assert model.image_processor.crop_size["height"] == 28
    assert model.parameter_count("image_encoder") > 1000
    assert "image_encoder" not in WanModel(pictures_folder, CPU).components


@torch.no_grad()
def test_an_image_encoder_loads_by_the_names_that_are_published(first_picture_folder, tmp_path):
    """The hub's files were saved by an older transformers, which named and listed things otherwise."""
    folder = Path(shutil.copytree(first_picture_folder, tmp_path / "model"))
    file = folder / "image_encoder" / "model.safetensors"
    weights = {f"vision_model.{name}": weight for name, weight in load_file(file).items()}
    weights["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    save_file(weights, file, {"format": "pt"})
    file = folder / "image_processor" / "preprocessor_config.json"
    config = {**json.loads(file.read_text()), "image_processor_type": "CLIPImageProcessor"}
    file.write_text(json.dumps({**config, "processor_class": "CLIPProcessor"}))
    models = [WanModel(first_picture_folder, CPU), WanModel(folder, CPU)]
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    pixels = [model.image_processor(images=[picture], return_tensors="pt").pixel_values for model in models]
    seen = [model.image_encoder(pixel_values=pixels[0]).last_hidden_state for model in models]
    assert torch.equal(*pixels) and torch.equal(*seen)


def test_parts_that_do_not_go_together_are_a_sentence(folder, first_and_last_folder, tmp_path):
    config = json.loads((folder / "transformer" / "config.json").read_text())
    (folder / "transformer" / "config.json").write_text(json.dumps({**config, "in_channels": 48}))
    with pytest.raises(Refusal, match="takes 48 channels") as caught:
        WanModel(folder, CPU)
    assert caught.value.problem.kind == "model_broken"
    blind = Path(shutil.copytree(first_and_last_folder, tmp_path / "blind"))
    shutil.rmtree(blind / "image_encoder")
    with pytest.raises(Refusal, match="needs an image encoder, which is missing"):
        WanModel(blind, CPU)


def test_two_transformers_are_refused(t2v_folder, tmp_path):
    folder = Path(shutil.copytree(t2v_folder, tmp_path / "model"))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "transformer_2": index["transformer"]}))
    with pytest.raises(Refusal, match="two transformers"):
        WanModel(folder, CPU)


def test_a_missing_image_processor_is_a_sentence(first_picture_folder, tmp_path):
    folder = Path(shutil.copytree(first_picture_folder, tmp_path / "model"))
    shutil.rmtree(folder / "image_processor")
    with pytest.raises(Refusal, match="image_processor"):
        _ = WanModel(folder, CPU).image_processor


def test_bfloat16_keeps_the_norms_in_float32(vace_folder):
    half = torch.bfloat16
    model = WanModel(vace_folder, CPU, Precision(half, half, half))
    assert model.transformer.dtype == half
    assert model.transformer.scale_shift_table.dtype == torch.float32
    assert model.transformer.blocks[0].norm2.weight.dtype == torch.float32
    assert next(model.text_encoder.parameters()).dtype == half
    assert model.vae.dtype == half


def test_a_card_gets_bfloat16_and_the_cpu_float32():
    assert Precision.for_device(CPU).transformer == torch.float32
    half = torch.bfloat16
    assert Precision.for_device(torch.device("cuda")) == Precision(half, half, half, quantized=True)


def test_parameters_are_counted_without_loading(vace_folder):
    model = WanModel(vace_folder, CPU)
    counted = model.parameter_count("transformer")
    assert not model.loaded("transformer")
    assert counted == sum(weight.numel() for weight in model.transformer.parameters()) > 10_000


def test_a_folder_without_an_index_is_missing(tmp_path):
    with pytest.raises(Refusal) as caught:
        WanModel(tmp_path, CPU)
    assert caught.value.problem.kind == "model_missing"
    assert str(tmp_path) in caught.value.problem.sentence


def test_another_pipeline_is_not_taken_for_wan(folder):
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]})
    )
    with pytest.raises(Refusal, match="FluxPipeline"):
        WanModel(folder, CPU)


def test_an_index_that_is_no_json_is_refused(folder):
    (folder / "model_index.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(Refusal, match=r"model_index\.json"):
        WanModel(folder, CPU)


@pytest.mark.parametrize("component", ["vae", "transformer", "text_encoder"])
def test_a_truncated_file_is_named(folder, component):
    (file,) = (folder / component).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])
    problem = refused(folder, component).problem
    assert problem.kind == "model_broken"
    assert f"{component}/{file.name}" in problem.sentence
    assert "download it again" in problem.sentence


def test_missing_tensors_are_counted_and_named(folder):
    weights = load_file(folder / VAE_FILE)
    del weights["decoder.conv_in.weight"]
    save_file(weights, folder / VAE_FILE)
    assert "decoder.conv_in.weight" in refused(folder).problem.sentence


@pytest.mark.parametrize(
    ("component", "key"), [("transformer", "num_layers"), ("text_encoder", "num_layers"), ("vae", "num_res_blocks")]
)
def test_more_blocks_than_the_files_have_are_refused_before_they_are_built(folder, component, key):
    file = folder / component / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: 20_000}))
    problem = refused(folder, component).problem
    assert problem.kind == "model_broken"
    assert f"its config.json speaks of 20,000 blocks ({key}), and its files have" in problem.sentence


def test_weights_of_another_size_are_refused(folder):
    file = folder / "transformer" / "config.json"
    config = json.loads(file.read_text())
    config["ffn_dim"] *= 2
    file.write_text(json.dumps(config))
    assert refused(folder, "transformer").problem.kind == "model_broken"


def test_pickled_weights_are_never_read(folder):
    torch.save(load_file(folder / VAE_FILE), folder / "vae" / "diffusion_pytorch_model.bin")
    (folder / VAE_FILE).unlink()
    assert "safetensors" in refused(folder).problem.sentence


def test_a_missing_tokenizer_is_a_sentence(folder):
    shutil.rmtree(folder / "tokenizer")
    with pytest.raises(Refusal, match="tokenizer"):
        _ = WanModel(folder, CPU).tokenizer


def test_an_exchange_of_the_files_is_noticed(folder):
    model = WanModel(folder, CPU)
    assert model.unchanged()
    weights = load_file(folder / VAE_FILE)
    save_file({name: weight + 1 for name, weight in weights.items()}, folder / VAE_FILE, {"made": "again"})
    assert not model.unchanged()


def test_a_part_whose_file_was_exchanged_does_not_stay_in_memory(folder):
    """What is in memory is of the files that were there; those that lie there now have only the same names."""
    model = WanModel(folder, CPU)
    assert model.vae is not None and model.text_encoder is not None
    said = model.fingerprint("vae")
    weights = load_file(folder / VAE_FILE)
    save_file({name: weight + 1 for name, weight in weights.items()}, folder / VAE_FILE, {"exchanged": "yes"})
    assert not model.unchanged() and model.fingerprint("vae") == said
    new = WanModel(folder, CPU)
    new.take_over(model)
    assert new.loaded("text_encoder") and not new.loaded("vae")
    assert new.fingerprint("vae") != said
