"""Experts of a Wan 2.2 A14B by the names that people's files have, and which models the transformers of a folder make.

No model is made of one expert alone, and none is lost for a word in its name.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wan_backend.library import heads_only, tiny_folder
from wan_backend.catalogue import entries
from wan_backend.catalogue.architecture import Architecture
from wan_backend.library import a14b_experts, locate
from wan_backend.library.recognize import Candidate
from wan_backend.library.survey import survey

SPELLINGS = {
    "wan2.2_t2v_{}_noise_14B_fp8_scaled": ("high", "low"),  # Comfy-Org's
    "Wan2.2-T2V-A14B-{}Noise-Q4_K_M": ("High", "Low"),  # QuantStack's
    "Wan2_2-I2V-A14B-{}_fp8_e4m3fn_scaled_KJ": ("HIGH", "LOW"),  # Kijai's
    "{}_noise_model/diffusion_pytorch_model": ("high", "low"),  # Wan-AI's own
    "somebodysWan22_t2vQ8{}": ("H", "L"),  # of Civitai, as the next ones
    "somebodysWan22_i2vFP8{}": ("H", "L"),
    "smoothMixWan22_t2v{}": ("High", "Low"),
    "wan22EnhancedT2V{}": ("H", "L"),
    "wan22_t2v_14B_{}": ("H", "L"),
    "wan2.2_t2v_a14b_{}": ("HN", "LN"),
    "wan22_t2v_{}": ("hi", "lo"),
    "wan22t2v{}": ("high", "low"),
    "{}wan22": ("high", "low"),
    "wan22_{}_lowvram_q4": ("high", "low"),
    "low_vram/wan2.2_t2v_{}_noise": ("high", "low"),
}
"""A name, and what stands in it for each expert."""
OTHERWISE = [
    "wan2.1_t2v_14B_low_vram", "low_vram/wan2.1", "wan_high_quality", "highlights", "slow_motion", "wan_flow", "hires",
    "low-res", "high_end", "LowVRAM", "yellow", "wan_lowrank", "high_contrast", "shallow_depth", "workflow",
]  # fmt: skip
"""Names that speak of something else."""
TEXT, PICTURES = heads_only.transformer(5120, 40), heads_only.transformer(5120, 40, 36)
CONTROL, SMALL, TIMED = (
    heads_only.transformer(5120, 40, control=8), heads_only.transformer(), heads_only.transformer(3072, 30, 48, 48),
)  # fmt: skip
NEW, NEW_PICTURES, OLD, VACE = "wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.1-t2v-14b", "wan2.1-vace-14b"
NEW_CONTROL = "wan2.2-vace-fun-a14b"


@pytest.mark.parametrize("pattern", SPELLINGS)
def test_experts_are_recognized_alone_and_by_their_partner(pattern):
    high, low = (pattern.format(expert) for expert in SPELLINGS[pattern])
    assert [a14b_experts.possible_expert([name.rpartition("/")[2], name]) for name in (high, low)] == ["high", "low"]
    assert [a14b_experts.expert_beside(high, low), a14b_experts.expert_beside(low, high)] == ["high", "low"]


@pytest.mark.parametrize("name", OTHERWISE)
def test_words_that_mean_something_else(name):
    assert a14b_experts.possible_expert([name]) == ""


@given(st.text("abnHhLlig_-.0129 ", max_size=24))
def test_no_name_is_both_experts_and_partners_are_mutual(name):
    told = a14b_experts.expert_beside(name, name)
    assert told == ""
    for expert, keys in a14b_experts.partner_keys(name).items():
        assert all("*" in key for key in keys)
        assert a14b_experts.certain_expert([name]) in ("", expert, a14b_experts.OTHER[expert])
    if a14b_experts.certain_expert([name]):
        assert (
            a14b_experts.probable_expert([name])
            == a14b_experts.possible_expert([name])
            == a14b_experts.certain_expert([name])
        )


@pytest.mark.parametrize(("name", "new"), [
    ("wan2.2_t2v_14B", True), ("Wan22_i2v", True), ("wan_a14b", True), ("Wan2_2-T2V", True), ("WAN22I2V14B", True),
    ("wan2.1_t2v_14B", False), ("Wan21_T2V", False), ("Wan2_1-T2V", False),
    ("t2v_14B", None), ("wan2.1_and_2.2", None), ("v12.2", None),
    ("wan22_i2v_v2.1", True), ("WanV2.2", True), ("t2v_v2.2", None), ("2024-12-21", None), ("wan2_14B", None),
    ("wan2214B", True), ("wan2.1.3B", False), ("wan211.3B", False), ("FusionX", False), ("Wan2.2_FusionX", True),
])  # fmt: skip
def test_the_version_in_a_name(name, new):
    assert a14b_experts.is_wan_22([name]) is new
    assert a14b_experts.is_wan_22([name, "wan2.1"]) is (False if new is None else new)


def test_the_first_name_that_speaks_is_believed():
    assert a14b_experts.certain_expert(["Wan2.2 T2V A14B HighNoise", "wan_low_noise"]) == "high"
    assert a14b_experts.certain_expert(["Wan2.2 T2V A14B", "wan_low_noise"]) == "low"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A models folder with every component but a transformer."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return heads_only.write_all_but_transformer(tmp_path / "models")


def makes(folder: Path) -> dict[str, str]:
    """Model -> "found" or the sentence that says more than that it is to be downloaded."""
    seen, made = survey([folder]), {}
    for entry in entries.load().models.values():
        found = locate.find(entry, [folder], seen)
        if isinstance(found, locate.LocatedModel):
            made[entry.id] = "found"
        elif "download it" not in found.problem.sentence:
            made[entry.id] = found.problem.sentence
    made.pop("embedded", None)
    return made


def put(folder: Path, name: str, shapes: heads_only.Shapes) -> Path:
    return heads_only.write(folder / "unet" / f"{name}.safetensors", shapes, "F16")


@pytest.mark.parametrize("pattern", SPELLINGS)
@pytest.mark.parametrize(("shapes", "model"), [(TEXT, NEW), (PICTURES, NEW_PICTURES)], ids=["text", "pictures"])
def test_two_experts_make_a_model_and_one_makes_none(folder, pattern, shapes, model):
    high, low = (put(folder, pattern.format(expert), shapes) for expert in SPELLINGS[pattern])
    assert makes(folder) == {model: "found"}
    components = locate.find(entries.entry(model), [folder], survey([folder])).components
    assert (components["transformer"], components["transformer_2"]) == (high, low)
    low.unlink()
    made = makes(folder)
    assert set(made) == {model} and "lacks the low-noise expert" in made[model]


CONTROL_SPELLINGS = {
    "wan2.2_fun_vace_{}_noise_14B_bf16": ("high", "low"),  # Comfy-Org's
    "{0}Noise/Wan2.2-VACE-Fun-A14B-{1}-noise-Q4_0": (("High", "high"), ("Low", "low")),  # QuantStack's
    "Wan2.2-VACE-Fun-A14B/{}_noise_model/diffusion_pytorch_model": ("high", "low"),  # alibaba-pai's own
    "wan22_vace_fun_{}": ("H", "L"),
}


@pytest.mark.parametrize("pattern", CONTROL_SPELLINGS)
def test_two_experts_with_control_make_vace_fun_and_nothing_else(folder, pattern):
    signs = [sign if isinstance(sign, tuple) else (sign,) for sign in CONTROL_SPELLINGS[pattern]]
    high, low = (put(folder, pattern.format(*sign), CONTROL) for sign in signs)
    assert makes(folder) == {NEW_CONTROL: "found"}
    components = locate.find(entries.entry(NEW_CONTROL), [folder], survey([folder])).components
    assert (components["transformer"], components["transformer_2"]) == (high, low)
    for name in ("wan2.2_t2v_high_noise_14B", "wan2.2_t2v_low_noise_14B", "wan2.1_vace_14B"):
        put(folder, name, CONTROL if "vace" in name else TEXT)
    assert makes(folder) == {NEW_CONTROL: "found", NEW: "found", VACE: "found"}
    low.unlink()
    assert "lacks the low-noise expert" in makes(folder)[NEW_CONTROL]


@pytest.mark.parametrize(("shapes", "model", "names"), [
    (TEXT, OLD, ["wan2.1_t2v_14B_low_vram", "low_vram/wan2.1_t2v", "wan2.1_high_quality", "wan2.1/t2v_14B",
                 "High/wan2.1_t2v", "wan2.2-rapid-aio-v10", "Wan2.2-T2V-AllInOne", "wan22_merged_both"]),
    (SMALL, "wan2.1-t2v-1.3b", ["wan2.1_high_noise", "HIGH", "LowVRAM", "x_H", "wan2.2_1.3B_low"]),
    (TIMED, "wan2.2-ti2v-5b", ["wan2.2_ti2v_5B_HIGH", "low/wan22", "wan2.2_high_noise_5B"]),
    (CONTROL, VACE, ["High/wan21_vace", "wan2.1_vace_14B_low_vram", "wan2.2-rapid-mega-aio", "wan21_vace_H"]),
    (PICTURES, NEW_PICTURES, ["wan2.2-i2v-rapid-aio-v10"]),
])  # fmt: skip
def test_whole_models_are_not_lost_for_a_word(folder, shapes, model, names):
    for name in names:
        file = put(folder, name, shapes)
        assert makes(folder) == {model: "found"}, name
        file.unlink()


@pytest.mark.parametrize(("shapes", "model"), [(TEXT, NEW), (PICTURES, NEW_PICTURES)], ids=["text", "pictures"])
@pytest.mark.parametrize("name", ["wan2.2_14B_a", "Wan22_A14B_v2", "wan2.2_t2v_low_vram"])
def test_an_expert_that_nobody_can_tell_is_refused_with_what_to_do(folder, name, shapes, model):
    file = put(folder, name, shapes)
    made = makes(folder)
    assert set(made) == {model} and "put 'high_noise' or 'low_noise' into its name" in made[model]
    (row,) = [row for row in survey([folder]).files if row.file == file]
    assert not row.components and "nothing says which" in row.why


@pytest.mark.parametrize(
    ("shapes", "models"), [(TEXT, {OLD, NEW}), (CONTROL, {VACE, NEW_CONTROL})], ids=["text", "control"]
)
@pytest.mark.parametrize(
    "name", ["t2v_14B", "model", "wan_14B_v2.1", "wan_14B_v2.2", "mine_2024-12-21", "wan_low_vram"]
)
def test_what_may_be_a_whole_model_or_an_expert_of_another_is_run_as_neither(folder, name, shapes, models):
    file = put(folder, name, shapes)
    made = makes(folder)
    assert set(made) == models and all("put 'wan2.1'" in said or "('wan2.1'" in said for said in made.values())
    (row,) = [row for row in survey([folder]).files if row.file == file]
    assert not row.components and "may be a whole Wan 2.1 or one expert of a Wan 2.2" in row.why


@pytest.mark.parametrize("note", ["general.name", "general.base_model.0.repo_url", "modelspec.architecture"])
def test_what_a_file_says_of_its_making_says_the_version(folder, note):
    file = folder / "unet" / "mine.safetensors"
    heads_only.write(file, TEXT, "F16", notes={note: "Wan-AI/Wan2.1-T2V-14B"})
    assert makes(folder) == {OLD: "found"}
    heads_only.write(file, TEXT, "F16", notes={note: "Wan-AI/Wan2.2-T2V-A14B", "title": "x"})
    assert set(makes(folder)) == {NEW}


def test_a_marker_within_says_the_version(folder):
    put(folder, "mine", {**TEXT, "model_type.Wan2_1-T2V-14B": (1,)})
    assert makes(folder) == {OLD: "found"}


WILD = {
    "high": [
        "Wan2_2-T2V-A14B_HIGH_fp8_e4m3fn_scaled_KJ", "Wan2.2-T2V-A14B-HighNoise-Q4_K_M", "wan22_14b_high_noise-q4",
        "smoothMixWan2214BT2V_t2vV20High", "wan22RemixT2VI2V_t2vHighV20", "wan2.2_14B_T2V_high_noise_fp8_scaled (1)",
        "Wan2.2_Remix_NSFW_t2v_14b_high_lighting_v2.0", "Wan-AI_Wan2.2-T2V-A14B/high_noise_model/fp8/x", "HighNoise/x",
        "wan2.2-t2v-14b-h-q6_k", "Wan 2.2 T2V 14B High", "wan22-t2v-noise-high", "wan22_t2v_HIGH_lowstep",
        "高噪_wan22_t2v", "wan2.2_t2v_hi-noise", "wan-2-2-t2v-high",
    ],
    "low": [
        "Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ", "dasiwaWAN22T2V14B_midnightflirtLow", "LN/wan22", "wan_2_2_low",
        "wan2.2_14B_T2V_low_noise_fp8_scaled - Copy", "wan2.2_t2v_A14b_low_noise_int8_lightx2v_4step",
        "wan2.2_t2v_低噪", "wan22_lownoise_highres", "wan22EnhancedNSFWSVICamera_nsfwFASTMOVEV2Q8L",
    ],
    "": [
        "Wan2_1-T2V-14B_fp8_e4m3fn", "Wan2.1_14B_FusionX-Q8_0", "Wan14BT2VFusioniX_fp16_", "WanT2V_MasterModel",
        "Wan2_1-SkyReels-V2-T2V-14B-720P_fp8_e4m3fn", "MoviiGen1.1", "Wan2_1-AccVideo-T2V-14B_fp8_e4m3fn", "wan21_t2v",
        "Phantom-Wan-14B_fp8_e4m3fn", "WanVideo_2_1_T2V_14B", "wan2.114B_t2v", "krea-realtime-video-14b_fp8",
        "wan2.1/fp8/t2v", "WAN2.1-14B-HIGH-QUALITY", "wan2.2-t2v-rapid-aio-v10", "wan2.2-rapid-aio-v2.1",
    ],
    a14b_experts.UNKNOWN_EXPERT: ["Wan2.2-T2V-A14B", "wan2214BT2V_v21", "wan22_2024-12-21", "wan22_t2v_expert1"],
    a14b_experts.UNKNOWN_VERSION: ["wan_t2v_14B_fp8", "diffusion_pytorch_model", "wan_t2v_14B_v2.1", "wan_t2v_v2.2"],
}  # fmt: skip
"""The expert that a 14B for text is by its name alone; files of Kijai, QuantStack, Comfy-Org, LightX2V and Civitai have
these names."""


@pytest.mark.parametrize(("name", "expert"), [(name, expert) for expert, names in WILD.items() for name in names])
def test_names_as_the_world_has_them(name, expert):
    config = {"num_layers": 40, "num_attention_heads": 40}
    file = Path(f"/models/unet/{name}.gguf")
    (found,) = a14b_experts.assign_experts(
        [Candidate("transformer", file, config, "Q8_0", "", Architecture.TEXT, size_bytes=10**10)]
    )
    assert found.expert == expert


def test_what_a_file_calls_itself_comes_before_its_name(folder):
    for name, title in (("a", "Wan2.2 T2V A14B HighNoise"), ("high_b", "Wan2.2 T2V A14B LowNoise")):
        file = folder / "unet" / f"{name}.safetensors"
        heads_only.write(file, TEXT, "F16", notes={"modelspec.title": title})
    components = locate.find(entries.entry(NEW), [folder], survey([folder])).components
    assert (components["transformer"].stem, components["transformer_2"].stem) == ("a", "high_b")


def test_a_letter_alone_and_no_version_is_asked(folder):
    put(folder, "mine_t2v_H", TEXT)
    assert set(makes(folder)) == {NEW}
    put(folder, "mine_t2v_L", TEXT)
    assert makes(folder) == {NEW: "found"}


def test_two_of_one_maker_are_put_together(folder):
    for maker in ("a_wan22", "b_wan22"):
        put(folder, f"{maker}_low_noise", TEXT)
    put(folder, "b_wan22_high_noise", TEXT)
    components = locate.find(entries.entry(NEW), [folder], survey([folder])).components
    assert components["transformer_2"].name == "b_wan22_low_noise.safetensors"


@pytest.mark.parametrize("second", [True, False])
def test_the_transformer_of_a_fetched_a14b_is_an_expert(folder, tmp_path, second):
    home = tiny_folder.write(tmp_path / "cache" / "models--Some--One" / "snapshots" / "1", "WanPipeline", 40, 40)
    index = json.loads((home / "model_index.json").read_text())
    config = home / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "_class_name": "WanTransformer3DModel"}))
    if second:
        (home / "transformer").rename(home / "transformer_2")
    index |= {"transformer_2": ["diffusers", "WanTransformer3DModel"], "boundary_ratio": 0.875}
    (home / "model_index.json").write_text(json.dumps(index))
    found = survey([folder], [home])
    assert isinstance(locate.find(entries.entry(OLD), [folder], found), locate.UnavailableModel)
    (expert,) = found.of("transformer")
    assert expert.expert == ("low" if second else "high")


def test_what_is_made_one_file_wears_no_lora_for_two(folder):
    put(folder, "wan2.2-i2v-rapid-aio", PICTURES)
    found = locate.find(entries.entry(NEW_PICTURES), [folder], survey([folder]))
    draft = entries.load().loras["wan2.2-i2v-a14b-4step"]
    assert not locate.accepts_lora(found, draft)
    put(folder, "wan22_i2v_high_noise", PICTURES)
    put(folder, "wan22_i2v_low_noise", PICTURES)
    assert locate.accepts_lora(locate.find(entries.entry(NEW_PICTURES), [folder], survey([folder])), draft)
