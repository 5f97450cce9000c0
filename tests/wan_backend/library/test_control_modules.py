"""Control (VACE) in a file of its own beside a text to video transformer, by the names that people's files have.

Together they are a control model of that size and version; what doesn't go together is refused with what to fetch.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.wan_backend.library import heads_only
from wan_backend.catalogue import entries
from wan_backend.catalogue.architecture import Architecture
from wan_backend.downloads import contents
from wan_backend.library import locate, recognize, weights_head
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.survey import survey
from wan_backend.protocol.errors import Refusal
from wan_backend.server import diagnosis

PUBLISHED_BYTES = {
    "Wan2_1-VACE_module_14B_bf16": 6_098_227_873,
    "Wan2_2_Fun_VACE_module_A14B_LOW_bf16": 6_098_227_800,
}
"""The lengths of Kijai's files, as their pointers on the hub state them (DonatoDiffusion/trytonado, commit 1eceb04, and
smegmarip/ComfyUI, ..._LOW_bf16.metadata.json, which are copies of them)."""
FAST = "fastwan2.1-vace-1.3b"
SMALL, LARGE, FUN = "wan2.1-vace-1.3b", "wan2.1-vace-14b", "wan2.2-vace-fun-a14b"
TRUNK = heads_only.transformer(5120, 40)
SMALL_TRUNK = heads_only.transformer()


def module(width: int = 5120, layers: int = 40, control: int = 8) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the control alone."""
    shapes = heads_only.transformer(width, layers, control=control)
    return {name: shape for name, shape in shapes.items() if name.startswith("vace_")}


MODULE, SMALL_MODULE = module(), module(1536, 30, 15)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A models folder with every component but a transformer."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return heads_only.write_all_but_transformer(tmp_path / "models")


def put(folder: Path, name: str, shapes: heads_only.Shapes, dtype: str = "BF16") -> Path:
    return heads_only.write(folder / "diffusion_models" / f"{name}.safetensors", shapes, dtype)


def find(folder: Path, model: str) -> locate.LocatedModel | locate.UnavailableModel:
    return locate.find(entries.entry(model), [folder], survey([folder]))


def found(folder: Path, model: str) -> locate.LocatedModel:
    answer = find(folder, model)
    assert isinstance(answer, locate.LocatedModel), answer.problem.sentence
    return answer


def lacking(folder: Path, model: str) -> str:
    answer = find(folder, model)
    assert isinstance(answer, locate.UnavailableModel)
    return answer.problem.sentence


def stems(found: locate.LocatedModel) -> dict[str, str]:
    """The file of each transformer and control."""
    names = ("transformer", "control", "transformer_2", "control_2")
    return {name: found.components[name].stem for name in names if name in found.components}


@pytest.mark.parametrize("name", PUBLISHED_BYTES)
def test_the_published_modules_have_these_tensors_and_no_others(name):
    """Their length is that of these tensors in bf16 and of a head that names so many, about a hundred bytes each."""
    head_bytes = PUBLISHED_BYTES[name] - 2 * sum(map(math.prod, MODULE.values()))
    assert 90 * len(MODULE) < head_bytes < 120 * len(MODULE)


@pytest.mark.parametrize(("shapes", "blocks", "heads"), [(MODULE, 8, 40), (SMALL_MODULE, 15, 12)], ids=["14B", "1.3B"])
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_module_is_recognized(tmp_path, shapes, blocks, heads, prefix):
    file = heads_only.write(tmp_path / "x.safetensors", {prefix + name: shape for name, shape in shapes.items()})
    (part,) = recognize.recognize_components(weights_head.read_head(file))
    assert (part.component, part.architecture, part.number_format) == ("control", Architecture.CONTROL, "bf16")
    assert (part.config["vace_blocks"], part.config["num_attention_heads"]) == (blocks, heads)
    assert part.words == f"control (VACE) for a text to video transformer, {blocks} blocks, bf16"


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("vace_blocks.3.after_proj.bias", "missing, vace_blocks.3.proj_out.bias"),
        ("vace_patch_embedding.bias", "missing"),
    ],
)
def test_a_module_that_lacks_a_tensor_is_refused_by_its_name(folder, gone, said):
    file = put(folder, "module", {name: shape for name, shape in MODULE.items() if name != gone})
    (row,) = [row for row in survey([folder]).files if row.file == file]
    assert said in row.why


@pytest.mark.parametrize(("model", "trunk", "trunk_shapes", "module_name", "module_shapes"), [
    (SMALL, "wan2.1_t2v_1.3B_fp16", SMALL_TRUNK, "Wan2_1-VACE_module_1_3B_bf16", SMALL_MODULE),
    (LARGE, "wan2.1_t2v_14B_fp16", TRUNK, "Wan2_1-VACE_module_14B_bf16", MODULE),
    (LARGE, "Wan2.1_14B_FusionX", TRUNK, "Wan2_1-VACE_module_14B_bf16", MODULE),  # retrained
    (LARGE, "wan2.1_t2v_14b_lightx2v_4step", TRUNK, "Wan2_1-VACE-module-14B_fp8_e4m3fn", MODULE),  # distilled
    (FAST, "FastWan2.1-T2V-1.3B", SMALL_TRUNK, "x", SMALL_MODULE),
])  # fmt: skip
def test_a_trunk_and_its_module_are_a_control_model(folder, model, trunk, trunk_shapes, module_name, module_shapes):
    put(folder, trunk, trunk_shapes, "F16")
    put(folder, module_name, module_shapes)
    made = found(folder, model)
    assert stems(made) == {"transformer": trunk, "control": module_name}
    assert f"{module_name}.safetensors (bf16)" in made.sentence and f"{trunk}.safetensors (fp16)" in made.sentence
    files = ComponentFiles(made.folder, made.components)
    assert files.architecture(files.index()) is Architecture.CONTROL
    whole = files.file("transformer")
    assert whole is not None and len(whole.slices) == len(trunk_shapes) + len(module_shapes)
    assert whole.count == sum(map(math.prod, [*trunk_shapes.values(), *module_shapes.values()]))
    assert all(doctor(folder).values())


FUN_FILES = {
    "wan2.2_t2v_high_noise_14B_fp16": TRUNK,  # Comfy-Org's
    "wan2.2_t2v_low_noise_14B_fp16": TRUNK,
    "Wan2_2_Fun_VACE_module_A14B_HIGH_bf16": MODULE,  # Kijai's
    "Wan2_2_Fun_VACE_module_A14B_LOW_bf16": MODULE,
}


def test_two_experts_with_a_module_each_are_vace_fun(folder):
    for name, shapes in FUN_FILES.items():
        put(folder, name, shapes)
    made = found(folder, FUN)
    assert stems(made) == dict(zip(("transformer", "transformer_2", "control", "control_2"), FUN_FILES, strict=True))
    files = ComponentFiles(made.folder, made.components)
    index = files.index()
    assert index["boundary_ratio"] == 0.875 and index["transformer_2"] == ["diffusers", "WanVACETransformer3DModel"]
    assert stems(found(folder, "wan2.2-t2v-a14b")) == {
        "transformer": "wan2.2_t2v_high_noise_14B_fp16", "transformer_2": "wan2.2_t2v_low_noise_14B_fp16",
    }  # fmt: skip
    assert "download it" in lacking(folder, LARGE)


@pytest.mark.parametrize(("gone", "said"), [
    ("wan2.2_t2v_high_noise_14B_fp16", "transformer that goes with it; put wan2.2_t2v_high_noise_14B_fp16"),
    ("wan2.2_t2v_low_noise_14B_fp16", "transformer that goes with it; put wan2.2_t2v_low_noise_14B_fp16"),
    ("Wan2_2_Fun_VACE_module_A14B_HIGH_bf16", "(VACE) that goes with it; put Wan2_2_Fun_VACE_module_A14B_HIGH"),
    ("Wan2_2_Fun_VACE_module_A14B_LOW_bf16", "(VACE) that goes with it; put Wan2_2_Fun_VACE_module_A14B_LOW"),
])  # fmt: skip
def test_what_vace_fun_lacks_is_named(folder, gone, said):
    for name, shapes in FUN_FILES.items():
        if name != gone:
            put(folder, name, shapes)
    assert said in lacking(folder, FUN)


def test_one_module_alone_says_what_to_fetch(folder):
    file = put(folder, "Wan2_1-VACE_module_14B_bf16", MODULE)
    assert lacking(folder, LARGE) == (
        f"Wan 2.1 VACE 14B: its control is {file}, but this machine lacks the text to video transformer that goes with "
        "it; put wan2.1_t2v_14B_fp16.safetensors into 'diffusion_models'."
    )
    assert "download it" in lacking(folder, FUN) and "download it" in lacking(folder, SMALL)


@pytest.mark.parametrize(("trunk", "trunk_shapes", "module_name", "module_shapes", "wanted"), [
    ("wan2.1_t2v_1.3B", SMALL_TRUNK, "Wan2_1-VACE_module_14B_bf16", MODULE, "wan2.1_t2v_14B_fp16"),  # of another size
    ("wan2.1_t2v_14B", TRUNK, "Wan2_1-VACE_module_1_3B_bf16", SMALL_MODULE, "wan2.1_t2v_1.3B_fp16"),
    ("wan2.1_t2v_14B", TRUNK, "Wan2_2_Fun_VACE_module_A14B_LOW_bf16", MODULE, "wan2.2_t2v_low_noise_14B_fp16"),
    ("wan2.2_t2v_high_noise_14B", TRUNK, "Wan2_1-VACE_module_14B_bf16", MODULE, "wan2.1_t2v_14B_fp16"),
    ("wan2.2_t2v_high_noise_14B", TRUNK, "Wan2_2_Fun_VACE_module_LOW", MODULE, "wan2.2_t2v_low_noise_14B_fp16"),
])  # fmt: skip
def test_a_trunk_of_another_size_or_version_is_refused_with_what_to_fetch(
    folder, trunk, trunk_shapes, module_name, module_shapes, wanted
):
    put(folder, trunk, trunk_shapes)
    put(folder, module_name, module_shapes)
    assert all(isinstance(find(folder, model), locate.UnavailableModel) for model in (SMALL, LARGE, FUN))
    said = refused(folder)[f"{module_name}.safetensors"]
    assert f"{trunk}.safetensors is of another size or version" in said and f"put {wanted}.safetensors" in said


def test_a_trunk_of_another_kind_is_no_trunk(folder):
    put(folder, "wan2.2_i2v_high_noise_14B", heads_only.transformer(5120, 40, 36))
    put(folder, "wan2.1_vace_14B", heads_only.transformer(5120, 40, control=8))
    put(folder, "Wan2_1-VACE_module_14B_bf16", MODULE)
    assert "lacks the text to video transformer" in refused(folder)["Wan2_1-VACE_module_14B_bf16.safetensors"]
    assert stems(found(folder, LARGE)) == {"transformer": "wan2.1_vace_14B"}


@pytest.mark.parametrize("name", ["vace_module_14B", "Wan2_2_Fun_VACE_module_A14B"])
def test_a_module_whose_version_nothing_says_goes_with_neither(folder, name):
    for trunk in ("wan2.1_t2v_14B", "wan2.2_t2v_high_noise_14B", "wan2.2_t2v_low_noise_14B"):
        put(folder, trunk, TRUNK)
    put(folder, name, MODULE)
    assert "put 'wan2.1' into its name, or 'wan2.2' and 'high_noise'" in refused(folder)[f"{name}.safetensors"]
    assert all(isinstance(find(folder, model), locate.UnavailableModel) for model in (LARGE, FUN))


def test_one_whole_file_comes_before_two_and_names_them(folder):
    put(folder, "wan2.1_t2v_14B_bf16", TRUNK)
    put(folder, "Wan2_1-VACE_module_14B_bf16", MODULE)
    put(folder, "wan2.1_vace_14B_fp8", heads_only.transformer(5120, 40, control=8), "F8_E4M3")
    made = found(folder, LARGE)
    assert stems(made) == {"transformer": "wan2.1_vace_14B_fp8"}
    assert "Also here: wan2.1_t2v_14B_bf16.safetensors + Wan2_1-VACE_module_14B_bf16.safetensors." in made.sentence


def test_the_trunk_itself_comes_before_what_was_made_of_it(folder):
    for name in ("a_wan2.1_t2v_14b_lightx2v_4step", "wan2.1_t2v_14B_bf16"):
        put(folder, name, TRUNK)
    put(folder, "Wan2_1-VACE_module_14B_bf16", MODULE)
    assert stems(found(folder, LARGE))["transformer"] == "wan2.1_t2v_14B_bf16"


@pytest.mark.parametrize(("repo", "model"), [
    ("Wan-AI--Wan2.1-T2V-1.3B-Diffusers", SMALL), ("FastVideo--FastWan2.1-T2V-1.3B-Diffusers", FAST)
])  # fmt: skip
def test_a_downloaded_text_to_video_model_is_a_trunk_too(folder, tmp_path, repo, model):
    home = tmp_path / f"models--{repo}" / "snapshots" / "0123abc" / "transformer"
    config = {
        "_class_name": "WanTransformer3DModel", "num_layers": 30, "num_attention_heads": 12, "attention_head_dim": 128,
        "ffn_dim": 8960, "in_channels": 16, "out_channels": 16, "image_dim": None, "text_dim": 4096, "freq_dim": 256,
    }  # fmt: skip
    heads_only.write(home / "diffusion_pytorch_model.safetensors", {"a": (1,)})
    (home / "config.json").write_text(json.dumps(config))
    put(folder, "Wan2_1-VACE_module_1_3B_bf16", SMALL_MODULE)
    made = locate.find(entries.entry(model), [folder], survey([folder], [home.parent]))
    assert isinstance(made, locate.LocatedModel)
    other = FAST if model == SMALL else SMALL
    assert isinstance(
        locate.find(entries.entry(other), [folder], survey([folder], [home.parent])), locate.UnavailableModel
    )
    assert (made.components["transformer"], made.components["control"].stem) == (home, "Wan2_1-VACE_module_1_3B_bf16")


def test_a_fast_trunk_and_the_usual_one_are_two_models(folder):
    for name in ("FastWan2.1-T2V-1.3B", "wan2.1_t2v_1.3B_fp16"):
        put(folder, name, SMALL_TRUNK)
    put(folder, "Wan2_1-VACE_module_1_3B_bf16", SMALL_MODULE)
    assert stems(found(folder, FAST))["transformer"] == "FastWan2.1-T2V-1.3B"
    assert stems(found(folder, SMALL))["transformer"] == "wan2.1_t2v_1.3B_fp16"


def test_what_a_model_of_two_lacks_is_said_with_a_button(folder):
    answer = find(folder, FAST)
    assert "FastWan 2.1 text to video 1.3B, download it (14.9 GB), and Wan2_1-VACE_module" in answer.problem.sentence
    assert [fix.value for fix in answer.problem.fixes] == ["fastwan2.1-t2v-1.3b"]
    with pytest.raises(Refusal, match="is put together of two"):
        contents.find_contents(entries.entry(FAST), [str(folder)])
    put(folder, "wan2.1_t2v_1.3B_fp16", SMALL_TRUNK)
    put(folder, "Wan2_1-VACE_module_1_3B_bf16", SMALL_MODULE)
    answer = find(folder, FAST)
    assert "lacks FastWan 2.1 text to video 1.3B, which is its transformer" in answer.problem.sentence
    assert [fix.value for fix in answer.problem.fixes] == ["fastwan2.1-t2v-1.3b"]


def doctor(folder: Path) -> dict[str, bool]:
    """Which files the doctor calls good."""
    rows = [finding for finding in diagnosis._files(survey([folder])) if finding.topic == "file"]
    return {Path(row.sentence.split(" can't be used")[0].split(": ")[0]).name: row.good for row in rows}


def refused(folder: Path) -> dict[str, str]:
    """The sentence of each file that the doctor calls unusable."""
    rows = [finding for finding in diagnosis._files(survey([folder])) if finding.topic == "file" and not finding.good]
    return {Path(row.sentence.split(" can't be used")[0]).name: str(row.sentence) for row in rows}
