"""Bernini-R's folders and files are told from text to video's, whose tensors have the same names and shapes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.wan_backend.library import heads_only, tiny_folder
from wan_backend.catalogue import entries
from wan_backend.catalogue.architecture import Architecture
from wan_backend.library import locate, renderer_folders
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.recognize import recognize_components
from wan_backend.library.survey import survey
from wan_backend.library.weights_head import read_head
from wan_backend.protocol.errors import Refusal
from wan_backend.storage.guarded_files import UnusableFile

SMALL, EXPERTS = entries.entry("bernini-r-1.3b"), entries.entry("bernini-r-a14b")
PLAIN, PLAIN_EXPERTS = entries.entry("wan2.1-t2v-1.3b"), entries.entry("wan2.2-t2v-a14b")
ALL = entries.load().models.values()
CONFIG = {"model_type": "bernini_renderer", "skip_transformer_2": True, "switch_dit_boundary": 0, "shift": 3.0}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


def write(folder: Path, experts: int = 1, index: bool = False) -> Path:
    """A folder as the makers publish it."""
    heads, layers = (12, 30) if experts == 1 else (40, 40)
    tiny_folder.write(folder, "WanPipeline", layers=layers, heads=heads)
    if not index:
        (folder / "model_index.json").unlink()
    more = {}
    if experts == 2:
        shutil.copytree(folder / "transformer", folder / "transformer_2")
        more = {"skip_transformer_2": False, "switch_dit_boundary": 0.875}
    (folder / "config.json").write_text(json.dumps({**CONFIG, **more}))
    return folder


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize(("entry", "other", "experts"), [(SMALL, PLAIN, 1), (EXPERTS, PLAIN_EXPERTS, 2)])
def test_a_folder_is_found_by_its_own_config_with_or_without_an_index(tmp_path, entry, other, experts, index):
    place = write(tmp_path / "models" / entry.repo.rpartition("/")[2], experts, index)
    for models in (tmp_path / "models", place):
        assert locate.find(entry, [models]) == locate.LocatedModel(place)
        assert isinstance(locate.find(other, [models]), locate.UnavailableModel)
    files = ComponentFiles(place)
    index_ = files.index()
    assert files.architecture(index_) is Architecture.EDIT
    assert index_.get("boundary_ratio") == (0.875 if experts == 2 else None)
    assert locate.is_model(place) and not locate.is_model(tmp_path / "models")


def test_a_text_to_video_model_is_not_taken_for_it(tmp_path):
    tiny_folder.write(tmp_path / "models" / SMALL.id, "WanPipeline", layers=30, heads=12)
    found = locate.find(SMALL, [tmp_path / "models"])
    assert isinstance(found, locate.UnavailableModel) and "holds a WanPipeline" in found.problem.sentence


def test_the_whole_bernini_is_refused(tmp_path):
    place = write(tmp_path / "models" / SMALL.id)
    (place / "config.json").write_text('{"model_type": "bernini"}')
    found = locate.find(SMALL, [tmp_path / "models"])
    assert isinstance(found, locate.UnavailableModel) and "get Bernini-R, which has none" in found.problem.sentence
    with pytest.raises(Refusal, match="whose edits a language model plans"):
        ComponentFiles(place).index()


def test_another_models_config_on_top_says_nothing(tmp_path):
    assert renderer_folders.index_of({"model_type": "umt5"}) is None
    (tmp_path / "config.json").write_text("[1]")
    assert renderer_folders.index_of_folder(tmp_path) is None
    (tmp_path / "config.json").write_text("{nonsense")
    assert (
        renderer_folders.index_of_folder(tmp_path) is None and renderer_folders.index_of_folder(tmp_path / "x") is None
    )


def test_a_folder_under_that_name_hides_no_model_beside_it(tmp_path):
    models = tmp_path / "models"
    tiny_folder.write(models / PLAIN.id, "WanPipeline", layers=30, heads=12)
    (models / "config.json").mkdir()
    (models / PLAIN.id / "config.json").mkdir()
    assert locate.find(PLAIN, [models]) == locate.LocatedModel(models / PLAIN.id)
    assert not locate.is_model(models)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes among files")
def test_what_cannot_be_read_under_that_name_hides_no_model_beside_it(tmp_path):
    models = tmp_path / "models"
    tiny_folder.write(models / PLAIN.id, "WanPipeline", layers=30, heads=12)
    os.mkfifo(models / "config.json")
    assert locate.find(PLAIN, [models]) == locate.LocatedModel(models / PLAIN.id)


def test_what_became_of_the_folder_around_a_transformer_is_said(tmp_path):
    """Since the server looked: the worker reads it once more."""
    place = write(tmp_path / "models" / SMALL.id)
    (place / "config.json").write_text('{"model_type": "bernini"}')
    files = ComponentFiles(place, {"transformer": place / "transformer"})
    with pytest.raises(Refusal, match="whose edits a language model plans"):
        files.config("transformer")


def test_two_experts_whose_border_is_not_said_are_refused_by_the_name_that_it_has_there(tmp_path):
    place = write(tmp_path / "models" / EXPERTS.id, 2)
    config = json.loads((place / "config.json").read_text())
    del config["switch_dit_boundary"]
    (place / "config.json").write_text(json.dumps(config))
    found = locate.find(EXPERTS, [tmp_path / "models"])
    assert isinstance(found, locate.UnavailableModel)
    assert "its config.json doesn't say when each works (switch_dit_boundary)" in found.problem.sentence


def architecture_of(file: Path) -> Architecture | None:
    (found,) = recognize_components(read_head(file))
    return found.architecture


@pytest.mark.parametrize(
    ("name", "wide", "expected"),
    [
        ("wan2.1_bernini_1.3B_fp16", 1536, Architecture.EDIT),
        ("Bernini-R-1.3B", 1536, Architecture.EDIT),
        ("wan2.1_t2v_1.3B_fp16", 1536, Architecture.TEXT),
        ("wan2.2_bernini_r_high_noise_fp16", 5120, Architecture.EDIT),
        ("Wan22-BerniniR-LowNoise", 5120, Architecture.EDIT),
        ("wan2.2_bernini_high_noise_fp8_scaled", 5120, None),
        ("wan2.2_bernini_v2_low_noise", 5120, None),
        ("wan2.2_bernini_realistic_high_noise", 5120, None),
    ],
)
def test_a_file_is_told_by_its_name_alone(tmp_path, name, wide, expected):
    file = heads_only.write(tmp_path / f"{name}.safetensors", heads_only.transformer(wide, 2))
    if expected is not None:
        assert architecture_of(file) is expected
        return
    with pytest.raises(UnusableFile, match="put 'bernini_r' into its name"):
        architecture_of(file)


def test_a_picture_models_file_of_that_name_stays_one(tmp_path):
    file = heads_only.write(tmp_path / "wan2.2_bernini_i2v_high.safetensors", heads_only.transformer(5120, 2, 36))
    assert architecture_of(file) is Architecture.PICTURES


def test_the_folder_of_a_file_may_say_it(tmp_path):
    (tmp_path / "Bernini-R").mkdir()
    file = heads_only.write(tmp_path / "Bernini-R" / "high_noise.safetensors", heads_only.transformer(5120, 2))
    assert architecture_of(file) is Architecture.EDIT


def test_comfyuis_files_make_the_models_and_no_text_to_video(tmp_path):
    comfy = tmp_path / "models"
    for place in ("diffusion_models", "text_encoders", "vae", "tokenizer"):
        (comfy / place).mkdir(parents=True)
    unet = comfy / "diffusion_models"
    heads_only.write(unet / "wan2.1_bernini_1.3B_fp16.safetensors", heads_only.transformer())
    for noise in ("high", "low"):
        file = unet / f"wan2.2_bernini_r_{noise}_noise_fp16.safetensors"
        heads_only.write(file, heads_only.transformer(5120, 40))
    heads_only.write(comfy / "text_encoders" / "umt5_xxl_fp16.safetensors", heads_only.text_encoder())
    heads_only.write(comfy / "vae" / "wan_2.1_vae.safetensors", heads_only.vae())
    (comfy / "tokenizer" / "tokenizer.json").write_text("{}")
    looked = survey([comfy])
    small = locate.find(SMALL, [comfy], looked)
    assert isinstance(small, locate.LocatedModel), small
    assert small.components["transformer"].name == "wan2.1_bernini_1.3B_fp16.safetensors"
    files = ComponentFiles(small.folder, small.components)
    assert files.architecture(files.index()) is Architecture.EDIT
    experts = locate.find(EXPERTS, [comfy], looked)
    assert isinstance(experts, locate.LocatedModel), experts
    for name, noise in (("transformer", "high_noise"), ("transformer_2", "low_noise")):
        assert noise in experts.components[name].name
    for plain in (PLAIN, PLAIN_EXPERTS):
        assert isinstance(locate.find(plain, [comfy], looked), locate.UnavailableModel)


def test_a_file_under_another_name_is_asked_for_by_the_sentence_that_the_model_is_missing(tmp_path):
    heads_only.write(tmp_path / "models" / "retouching.safetensors", heads_only.transformer())
    looked = survey([tmp_path / "models"])
    small, experts = (locate.find(entry, [tmp_path / "models"], looked).problem.sentence for entry in (SMALL, EXPERTS))
    assert "Bernini-R 1.3B is not on this machine" in small
    assert "If retouching.safetensors is it, put 'bernini_r' into its name" in small
    assert "retouching" not in experts, "of another size"
    assert "retouching" not in locate.find(PLAIN_EXPERTS, [tmp_path / "models"], looked).problem.sentence


def test_its_folder_lends_no_transformer_to_text_to_video(tmp_path):
    place = write(tmp_path / "models" / "elsewhere" / "Bernini-R-1.3B-Diffusers")
    config = {"_class_name": "WanTransformer3DModel", "num_layers": 30, "num_attention_heads": 12}
    (place / "transformer" / "config.json").write_text(json.dumps(config))
    (found,) = survey([tmp_path / "models"]).of("transformer")
    assert found.architecture is Architecture.EDIT
