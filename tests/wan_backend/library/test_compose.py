"""Models put together of the files in a models folder as ComfyUI has it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.wan_backend.library import heads_only
from wan_backend.catalogue import entries
from wan_backend.library import compose, library_index, locate, weights_head
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.survey import Survey, survey
from wan_backend.server import diagnosis
from wan_backend.server.planner import Planner

SMALL, LARGE = entries.entry("wan2.1-t2v-1.3b"), entries.entry("wan2.1-t2v-14b")
TIMED, PICTURE = entries.entry("wan2.2-ti2v-5b"), entries.entry("wan2.1-i2v-14b-480p")
CONTROL = entries.entry("wan2.1-vace-1.3b")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def comfy(tmp_path) -> Path:
    """A models folder with what the small model needs, and a stranger."""
    folder = tmp_path / "ComfyUI" / "models"
    heads_only.write(folder / "diffusion_models" / "wan2.1_t2v_1.3B_bf16.safetensors", heads_only.transformer())
    heads_only.write(folder / "text_encoders" / "umt5_xxl_fp16.safetensors", heads_only.text_encoder(), "F16")
    heads_only.write(folder / "vae" / "wan_2.1_vae.safetensors", heads_only.vae())
    heads_only.write(folder / "checkpoints" / "sd15.safetensors", {"model.diffusion_model.input_blocks.0": (4,)})
    return folder


def found(entry: entries.ModelEntry, *folders: Path) -> locate.LocatedModel:
    answer = locate.find(entry, folders, survey(folders))
    assert isinstance(answer, locate.LocatedModel), answer.problem.sentence
    return answer


def lacking(entry: entries.ModelEntry, *folders: Path) -> str:
    answer = locate.find(entry, folders, survey(folders))
    assert isinstance(answer, locate.UnavailableModel)
    return answer.problem.sentence


def test_a_model_is_put_together_of_files(comfy):
    made = found(SMALL, comfy)
    assert made.components == {
        "transformer": comfy / "diffusion_models" / "wan2.1_t2v_1.3B_bf16.safetensors",
        "text_encoder": comfy / "text_encoders" / "umt5_xxl_fp16.safetensors",
        "tokenizer": comfy / "text_encoders" / "umt5_xxl_fp16.safetensors",
        "vae": comfy / "vae" / "wan_2.1_vae.safetensors",
    }
    assert "umt5_xxl_fp16.safetensors (fp16)" in made.sentence and made.sentence.endswith(f" in {comfy}.")


def test_names_and_folders_mean_nothing(comfy, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(comfy.glob("*/*.safetensors"))):
        shutil.move(file, flat / f"{number}.sft")
    assert set(found(SMALL, flat).components) == {"transformer", "text_encoder", "tokenizer", "vae"}


def test_the_whole_of_comfyui_may_be_chosen_and_links_are_followed(comfy, tmp_path):
    assert found(SMALL, comfy.parent).components == found(SMALL, comfy).components
    linked = tmp_path / "linked"
    linked.mkdir()
    try:
        (linked / "models").symlink_to(comfy, target_is_directory=True)
        (comfy / "loop").symlink_to(comfy, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert len(found(SMALL, linked).components) == 4


@pytest.mark.parametrize(("gone", "said"), [
    ("text_encoders/umt5_xxl_fp16.safetensors", "lacks a UMT5-XXL text encoder; put umt5_xxl_fp8"),
    ("vae/wan_2.1_vae.safetensors", "lacks the autoencoder that goes with it; put wan_2.1_vae.safetensors into 'vae'"),
])  # fmt: skip
def test_what_is_missing_is_named(comfy, gone, said):
    (comfy / gone).unlink()
    sentence = lacking(SMALL, comfy)
    assert said in sentence and "wan2.1_t2v_1.3B_bf16.safetensors" in sentence


def test_a_missing_tokenizer_is_said_with_the_download(comfy, tmp_path):
    shapes = heads_only.text_encoder()
    del shapes["spiece_model"]
    heads_only.write(comfy / "text_encoders" / "umt5_xxl_fp16.safetensors", shapes)
    assert "--include 'tokenizer/*'" in lacking(SMALL, comfy)
    (comfy / "text_encoders" / "tokenizer").mkdir()
    (comfy / "text_encoders" / "tokenizer" / "tokenizer.json").write_text("{}")
    assert found(SMALL, comfy).components["tokenizer"] == comfy / "text_encoders" / "tokenizer"


def test_an_autoencoder_of_the_other_kind_is_not_taken(comfy):
    heads_only.write(comfy / "unet" / "ti2v.safetensors", heads_only.transformer(3072, 30, 48, 48))
    assert "put wan2.2_vae.safetensors" in lacking(TIMED, comfy)
    heads_only.write(comfy / "vae" / "other.safetensors", heads_only.vae(48))
    assert found(TIMED, comfy).components["vae"].name == "other.safetensors"
    assert found(SMALL, comfy).components["vae"].name == "wan_2.1_vae.safetensors"


def test_a_pruned_autoencoder_comes_after_the_whole_one(comfy):
    shutil.copyfile(comfy / "vae" / "wan_2.1_vae.safetensors", comfy / "vae" / "lightvaew2_1.safetensors")
    assert found(SMALL, comfy).components["vae"].name == "wan_2.1_vae.safetensors"


def test_a_picture_model_needs_eyes(comfy):
    shapes = heads_only.seeing(heads_only.transformer(5120, 40, 36), 40)
    heads_only.write(comfy / "unet" / "i2v_480p.safetensors", shapes, "F8_E4M3")
    assert "put clip_vision_h.safetensors into 'clip_vision'" in lacking(PICTURE, comfy)
    heads_only.write(comfy / "clip_vision" / "h.safetensors", heads_only.image_encoder())
    assert found(PICTURE, comfy).components["image_encoder"].name == "h.safetensors"


def test_of_several_files_the_one_that_loses_least_and_is_no_variant(comfy):
    folder = comfy / "diffusion_models"
    plain = folder / "wan2.1_t2v_1.3B_bf16.safetensors"
    heads_only.write(folder / "a_distilled_4steps.safetensors", heads_only.transformer())
    heads_only.write(folder / "a_fp8.safetensors", heads_only.transformer(), "F8_E4M3")
    made = found(SMALL, comfy)
    assert made.components["transformer"] == plain
    assert "Also here: " in made.sentence and "a_fp8.safetensors" in made.sentence
    plain.unlink()
    assert found(SMALL, comfy).components["transformer"].name == "a_fp8.safetensors"


def test_experts_are_not_taken_for_the_whole_model_of_their_shape(comfy):
    heads_only.write(comfy / "unet" / "wan2.2_t2v_high_noise_14B.safetensors", heads_only.transformer(5120, 40))
    assert "download it" in lacking(LARGE, comfy)
    heads_only.write(comfy / "unet" / "wan2.1_t2v_14B.safetensors", heads_only.transformer(5120, 40))
    assert found(LARGE, comfy).components["transformer"].name == "wan2.1_t2v_14B.safetensors"


def test_the_experts_of_an_a14b_make_a_model_together(comfy):
    whole = entries.entry("wan2.2-t2v-a14b")
    high = heads_only.write(comfy / "unet" / "t2v_high_noise.safetensors", heads_only.transformer(5120, 40), "F8_E4M3")
    lacking = compose.compose_model(whole, survey([comfy]), [LARGE, whole])
    assert isinstance(lacking, compose.IncompleteModel) and "lacks the low-noise expert" in lacking.sentence
    low = heads_only.write(comfy / "unet" / "t2v_low_noise.safetensors", heads_only.transformer(5120, 40), "F8_E4M3")
    made = compose.compose_model(whole, survey([comfy]), [LARGE, whole])
    assert isinstance(made, compose.ComposedModel) and (
        made.components["transformer"],
        made.components["transformer_2"],
    ) == (high, low)
    assert compose.compose_model(LARGE, survey([comfy]), [LARGE, whole]) is None
    index = ComponentFiles(comfy, made.components).index()
    assert (index["boundary_ratio"], index["transformer_2"][1]) == (0.875, "WanTransformer3DModel")


def test_models_of_one_shape_are_recognized_by_name(comfy):
    larger = dataclasses.replace(PICTURE, id="wan2.1-i2v-14b-720p", repo="Wan-AI/Wan2.1-I2V-14B-720P-Diffusers")
    quick = dataclasses.replace(SMALL, id="fastwan2.1-t2v-1.3b", repo="FastVideo/FastWan2.1-T2V-1.3B-Diffusers")
    shapes = heads_only.seeing(heads_only.transformer(5120, 40, 36), 40)
    heads_only.write(comfy / "clip_vision" / "h.safetensors", heads_only.image_encoder())
    heads_only.write(comfy / "unet" / "Wan2_1-I2V-14B-720P_fp8.safetensors", shapes)
    alike = [SMALL, quick, PICTURE, larger]
    assert compose.compose_model(PICTURE, survey([comfy]), alike) is None
    assert compose.compose_model(larger, survey([comfy]), alike) is not None
    assert compose.compose_model(quick, survey([comfy]), alike) is None
    assert compose.compose_model(SMALL, survey([comfy]), alike) is not None


def test_a_whole_folder_comes_before_files_and_lends_its_components(comfy, tmp_path):
    from tests.wan_backend.library import tiny_folder

    whole = tiny_folder.write(tmp_path / "models" / SMALL.id, "WanPipeline", layers=30, heads=12)
    assert found(SMALL, comfy, tmp_path / "models") == locate.LocatedModel(whole)
    for component, config in (("text_encoder", {"architectures": ["UMT5EncoderModel"], "d_model": 4096}),
                         ("vae", {"_class_name": "AutoencoderKLWan", "z_dim": 16})):  # fmt: skip
        (whole / component / "config.json").write_text(json.dumps(config))
    shutil.rmtree(comfy / "text_encoders")
    shutil.rmtree(comfy / "vae")
    heads_only.write(comfy / "unet" / "wan2.1_large.safetensors", heads_only.transformer(5120, 40))
    components = found(LARGE, comfy, tmp_path / "models").components
    assert (components["text_encoder"], components["vae"]) == (whole / "text_encoder", whole / "vae")
    assert components["tokenizer"] == whole / "tokenizer"


def test_a_fetched_model_lends_its_components(comfy, tmp_path):
    from tests.wan_backend.library import tiny_folder

    home = tmp_path / "cache" / "models--Wan-AI--Some"
    folder = tiny_folder.write(home / "snapshots" / "1", "WanPipeline")
    (folder / "text_encoder" / "config.json").write_text(
        json.dumps({"architectures": ["UMT5EncoderModel"], "d_model": 4096})
    )
    shutil.rmtree(comfy / "text_encoders")
    looked = survey([comfy], locate.snapshots())
    answer = locate.find(SMALL, [comfy], looked)
    assert isinstance(answer, locate.LocatedModel) and answer.components["text_encoder"] == folder / "text_encoder"


def test_the_doctor_lists_what_was_recognized(comfy):
    (comfy / "vae" / "broken.safetensors").write_bytes(b"nonsense, nothing else")
    shapes = heads_only.transformer()
    del shapes["blocks.3.modulation"]
    heads_only.write(comfy / "unet" / "partial.safetensors", shapes)
    said = "\n".join(finding.sentence for finding in diagnosis._files(survey([comfy])))
    assert "wan2.1_t2v_1.3B_bf16.safetensors: transformer for text to video, 30 layers, bf16." in said
    assert "umt5_xxl_fp16.safetensors: text encoder (UMT5), fp16." in said
    assert "broken.safetensors can't be used because it is not a safetensors file." in said
    assert (
        "partial.safetensors can't be used because one of its tensors is missing, blocks.3.scale_shift_table." in said
    )
    assert "1 files in the models folders are not part of a Wan model." in said
    (comfy / "vae" / "Wan2.1_VAE.pth").write_bytes(b"")
    said = "\n".join(finding.sentence for finding in diagnosis._files(survey([comfy])))
    assert "Wan2.1_VAE.pth can't be used because it is pickled, which could run any code; get wan_2.1_vae" in said


def doctor(*folders: Path) -> dict[str, diagnosis.Finding]:
    """What the doctor finds of each file and folder that it names, by its name."""
    found = [finding for finding in diagnosis._files(survey(folders)) if finding.topic == "file"]
    return {Path(finding.sentence.split(" can't be used")[0].split(": ")[0]).name: finding for finding in found}


def test_the_doctor_calls_nothing_good_that_no_model_is_made_of(comfy):
    """Damaged, recognized but of no use, half of a pair, of an unknown version: each is named with the reason."""
    assert all(finding.good for finding in doctor(comfy).values())
    unet, fourteen = comfy / "unet", heads_only.transformer(5120, 40)
    with open(heads_only.write(unet / "cut.safetensors", heads_only.transformer()), "r+b") as stream:
        stream.truncate(100_000)
    heads_only.write(unet / "wan2.1_odd_size.safetensors", heads_only.transformer(1536, 7))
    heads_only.write(unet / "wan2.2_t2v_high_noise_14B.safetensors", fourteen)
    heads_only.write(unet / "my_t2v_14B.safetensors", fourteen)
    (comfy / "vae" / "wan_2.1_vae.pth").write_bytes(b"PK")
    folder = comfy / "diffusion_models" / "small"
    heads_only.write(folder / "diffusion_pytorch_model.safetensors", {"a": (1,)})
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 30)
    config = {"_class_name": "WanTransformer3DModel", "num_layers": 30, "num_attention_heads": 12}
    (folder / "config.json").write_text(json.dumps(config))
    said = {name: finding for name, finding in doctor(comfy).items() if not finding.good}
    assert set(said) == {
        "cut.safetensors", "wan2.1_odd_size.safetensors", "wan2.2_t2v_high_noise_14B.safetensors",
        "my_t2v_14B.safetensors", "wan_2.1_vae.pth", "small",
    }  # fmt: skip
    assert all("can't be used because" in finding.sentence and finding.mend for finding in said.values())
    assert "7 layers of 12 heads" in said["wan2.1_odd_size.safetensors"].sentence
    half = said["wan2.2_t2v_high_noise_14B.safetensors"].sentence
    assert "half of Wan 2.2 text to video A14B" in half
    assert "lacks the low-noise expert; put it beside the other" in half
    assert "no name says which" in said["my_t2v_14B.safetensors"].sentence
    heads_only.write(unet / "wan2.2_t2v_low_noise_14B.safetensors", fourteen)
    assert doctor(comfy)["wan2.2_t2v_high_noise_14B.safetensors"].good


def test_the_doctor_leaves_a_download_that_is_not_whole_to_the_models_row(comfy):
    folder = comfy / "models--Wan-AI--Some" / "snapshots" / "1" / "transformer"
    heads_only.write(folder / "diffusion_pytorch_model.safetensors", {"a": (1,)}).write_bytes(b"")
    config = {"_class_name": "WanTransformer3DModel", "num_layers": 30, "num_attention_heads": 12}
    (folder / "config.json").write_text(json.dumps(config))
    assert all(finding.good for finding in doctor(comfy).values())


def test_of_a_whole_checkpoint_the_doctor_refuses_its_transformer_alone(comfy):
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in heads_only.transformer(1536, 7).items()}
    shapes |= {f"vae.{name}": shape for name, shape in heads_only.vae().items()}
    heads_only.write(comfy / "checkpoints" / "all.safetensors", shapes)
    found = [each for each in diagnosis._files(survey([comfy])) if "all.safetensors" in each.sentence]
    assert sorted(each.good for each in found) == [False, True]
    good = next(each for each in found if each.good).sentence
    assert "autoencoder" in good and "transformer" not in good


@pytest.mark.parametrize("stray", [
    "diffusion_models/config.json", "text_encoders/tokenizer.json", "text_encoders/spiece.model", "vae/config.json",
    "text_encoders/tokenizer.model", "vae/model_index.json",
])  # fmt: skip
@pytest.mark.parametrize("content", ["{}", '{"_class_name": "WanModel"}', '{"_class_name": "WanTransformer3DModel"}'])
def test_a_stray_file_hides_no_weights(comfy, stray, content):
    (comfy / stray).write_text(content)
    assert set(found(SMALL, comfy).components) == {"transformer", "text_encoder", "tokenizer", "vae"}
    assert len([row for row in survey([comfy]).files if row.components]) == 3


def test_what_wan_ai_publishes_is_recognized_file_by_file(comfy):
    home = comfy / "Wan2.1-T2V-1.3B"
    heads_only.write(home / "diffusion_pytorch_model.safetensors", heads_only.transformer(), "F32")
    (home / "config.json").write_text('{"_class_name": "WanModel", "model_type": "t2v"}')
    for name in ("Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", "models_clip_open-clip-xlm-roberta-large.pth"):
        (home / name).write_bytes(b"PK")
    said = {
        row.file.name: row.why or row.components[0].words for row in survey([comfy]).files if row.file.parent == home
    }
    assert said["diffusion_pytorch_model.safetensors"].startswith("transformer for text to video")
    instead = ("wan_2.1_vae.safetensors", "umt5_xxl_fp16.safetensors", "clip_vision_h.safetensors")
    assert all(word in " ".join(said.values()) for word in instead) and len(said) == 4


def test_a_folder_in_the_diffusers_layout_is_one_component(comfy):
    folder = comfy / "diffusion_models" / "small"
    heads_only.write(folder / "diffusion_pytorch_model.safetensors", {"a": (1,)})
    heads_only.write(folder / "beside_fp8.safetensors", heads_only.transformer(), "F8_E4M3")
    config = {"_class_name": "WanTransformer3DModel", "num_layers": 30, "num_attention_heads": 12}
    (folder / "config.json").write_text(json.dumps(config))
    places = {candidate.path for candidate in survey([comfy]).of("transformer")}
    assert {folder, folder / "beside_fp8.safetensors"} < places
    assert folder / "diffusion_pytorch_model.safetensors" not in {row.file for row in survey([comfy]).files}


def test_rows_of_the_panel_name_the_files(comfy):
    planner = Planner([str(comfy)], None)
    planner.library.refresh()
    row = next(row for row in planner.rows() if row.model == SMALL.id)
    assert row.here and "wan_2.1_vae.safetensors" in row.sentence
    assert not next(row for row in planner.rows() if row.model == CONTROL.id).here


def test_nobody_waits_for_the_first_refresh(comfy, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(library_index, "survey", lambda *_: go_on.wait(60) and survey([comfy]))
    planner = Planner([str(comfy)], None)
    answer = planner.find(SMALL)
    assert isinstance(answer, locate.UnavailableModel) and not planner.is_ready
    go_on.set()
    planner.library.refresh()
    assert isinstance(planner.find(SMALL), locate.LocatedModel) and planner.is_ready


@pytest.fixture
def heads_read(monkeypatch) -> list[Path]:
    """The files whose heads were read from the disk, as they are read."""
    read, real = [], weights_head.parse_safetensors
    monkeypatch.setattr(weights_head, "parse_safetensors", lambda file: read.append(Path(file)) or real(file))
    return read


def test_a_plan_reads_no_file_again(comfy, heads_read):
    for number in range(60):
        heads_only.write(comfy / "unet" / f"wan21_{number}.safetensors", heads_only.transformer(5120, 40))
    planner = Planner([str(comfy)], None)
    planner.library.refresh()
    assert len(heads_read) >= 60
    heads_read.clear()
    for _time in range(5):
        assert isinstance(planner.find(LARGE), locate.LocatedModel)
    assert heads_read == []


def test_a_second_survey_reads_what_changed_alone(comfy, heads_read):
    for number in range(40):
        heads_only.write(comfy / "unet" / f"{number}.safetensors", heads_only.transformer())
    first = survey([comfy])
    assert len(heads_read) >= 40
    heads_read.clear()
    assert survey([comfy]) == first and heads_read == []
    changed = heads_only.write(comfy / "unet" / "7.safetensors", heads_only.transformer(5120, 40))
    assert survey([comfy]) != first and heads_read == [changed]


@pytest.mark.parametrize("wrong", ["nothing", "a\0b", "file"])
def test_a_models_folder_that_is_none(tmp_path, wrong):
    (tmp_path / "file").write_text("")
    assert survey([Path(os.path.join(tmp_path, wrong))]) == Survey()
