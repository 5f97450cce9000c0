"""Which expert a LoRA is for, by its name, its folder, its partner and its maker's note."""

from __future__ import annotations

from pathlib import Path

import pytest

from wan_backend.lora.lora_experts import UNSURE, are_a_pair, detect_expert

ALONE = {
    "high": [
        "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise", "Instagirl_v2.0_HIGH", "wan2.2_style_high", "HIGH-noise",
        "Wan22_A14B_T2V_HIGH_Lightning_4steps_lora_250928_rank128_fp16", "wan2.2_t2v_A14B_HN", "I2V_HIGHNoise",
        "Someones_i2v_HN", "SVI_v2_PRO_Wan2.2-I2V-A14B_HIGH_lora_rank_128_fp16", "wan22_HIGH_rank64", "高噪_style",
    ],
    "low": [
        "Wan22_A14B_LowNoise_v2", "style-LOW-fp16", "wan22_low_vram_LOW", "SOMEBODY_I2V_14B_LOW_V2",
        "wan2.2_i2v_A14b_low_noise_lora_rank64_lightx2v_4step_1022",
    ],
    "": [
        "high_angle_shot", "low_light", "slow_glow", "yellow_wan22", "plain", "wan2.1_t2v_14B_low_vram", "flow",
        "wan22_high_low", "wan22_HighQuality", "wan22_high_heels", "HIGH_HEELS", "wan22_highlands", "lo-fi_wan22",
        "style_L", "wan22_low_rank", "wan22_willow", "wan22_higher_quality", "wan22_highway", "wan22_lower_body",
    ],
    UNSURE: ["style_high", "somebodysWan22_t2vQ8H", "wan22t2vhigh", "wan22_t2v_hi", "wan22-i2v-h-e20"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "expert"), [(name, expert) for expert, names in ALONE.items() for name in names])
def test_a_name_alone_says_its_expert_only_where_that_is_meant(tmp_path, name, expert):
    assert detect_expert(tmp_path / f"{name}.safetensors") == expert


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ("style_high", "style_low"),
        ("stylehigh", "stylelow"),
        ("xQ8H", "xQ8L"),
        ("wan22_t2v_hi", "wan22_t2v_lo"),
        ("t_hn", "t_ln"),
        ("aH", "aL"),
        ("style_HIGH_e20", "style_LOW_e35"),
        ("High/style", "Low/style"),
        ("low_vram/x_high_noise", "low_vram/x_low_noise"),
    ],
)
def test_a_partner_beside_tells_what_a_name_leaves_open(tmp_path, high, low):
    files = [tmp_path / f"{name}.safetensors" for name in (high, low)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert [detect_expert(file) for file in files] == ["high", "low"]
    assert are_a_pair(files)


@pytest.mark.parametrize(
    ("one", "other"), [("low_light", "high_light"), ("a_low_vram", "a_high_vram"), ("slow", "snow"), ("x/a", "x/b")]
)
def test_what_differs_in_something_else_is_no_pair(tmp_path, one, other):
    files = [tmp_path / f"{name}.safetensors" for name in (one, other)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    assert [detect_expert(file) for file in files] == ["", ""]


def test_a_partner_whose_name_may_speak_of_something_else_leaves_it_open(tmp_path):
    files = [tmp_path / f"wan22_{expert}_quality_style.safetensors" for expert in ("high", "low")]
    files[0].touch()
    assert detect_expert(files[0]) == ""
    files[1].touch()
    assert [detect_expert(file) for file in files] == [UNSURE, UNSURE]


def test_a_folder_says_it_for_certain_or_leaves_it_open():
    assert detect_expert(Path("/loras/high_noise/style.safetensors")) == "high"
    assert detect_expert(Path("/loras/High/style.safetensors")) == UNSURE
    assert detect_expert(Path("/loras/low_vram/style.safetensors")) == ""


def test_a_file_that_was_renamed_still_has_its_makers_word():
    assert detect_expert(Path("/loras/style.safetensors"), ["style_low_noise"]) == "low"
    assert detect_expert(Path("/loras/style_high.safetensors"), ["style_HIGH"]) == "high"
    assert detect_expert(Path("/loras/style_HIGH.safetensors"), ["style_LOW"]) == UNSURE, "one of the two is wrong"
