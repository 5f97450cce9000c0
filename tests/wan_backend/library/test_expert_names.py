"""Halves of a Wan 2.2 A14B by their names, in the spellings that people's files have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_backend.library import expert_names

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
"""A name, and what stands in it for the one half and for the other."""
OTHERWISE = [
    "wan2.1_t2v_14B_low_vram", "low_vram/wan2.1", "wan_high_quality", "highlights", "slow_motion", "wan_flow", "hires",
    "low-res", "high_end", "LowVRAM", "yellow", "wan_lowrank", "high_contrast", "shallow_depth", "workflow",
]  # fmt: skip
"""Names that speak of something else."""


@pytest.mark.parametrize("pattern", SPELLINGS)
def test_halves_are_told_alone_and_by_their_partner(pattern):
    high, low = (pattern.format(half) for half in SPELLINGS[pattern])
    assert [expert_names.perhaps([name.rpartition("/")[2], name]) for name in (high, low)] == ["high", "low"]
    assert [expert_names.are_partners(high, low), expert_names.are_partners(low, high)] == ["high", "low"]


@pytest.mark.parametrize("name", OTHERWISE)
def test_words_that_mean_something_else(name):
    assert expert_names.perhaps([name]) == ""


@given(st.text("abnHhLlig_-.0129 ", max_size=24))
def test_no_name_is_both_halves_and_partners_are_mutual(name):
    told = expert_names.are_partners(name, name)
    assert told == ""
    for half, keys in expert_names.keys(name).items():
        assert all("*" in key for key in keys)
        assert expert_names.surely([name]) in ("", half, expert_names.OTHER[half])
    if expert_names.surely([name]):
        assert expert_names.probably([name]) == expert_names.perhaps([name]) == expert_names.surely([name])


@pytest.mark.parametrize(("name", "new"), [
    ("wan2.2_t2v_14B", True), ("Wan22_i2v", True), ("wan_a14b", True), ("Wan2_2-T2V", True), ("WAN22I2V14B", True),
    ("wan2.1_t2v_14B", False), ("Wan21_T2V", False), ("Wan2_1-T2V", False),
    ("t2v_14B", None), ("wan2.1_and_2.2", None), ("v12.2", None),
    ("wan22_i2v_v2.1", True), ("WanV2.2", True), ("t2v_v2.2", None), ("2024-12-21", None), ("wan2_14B", None),
    ("wan2214B", True), ("wan2.1.3B", False), ("wan211.3B", False), ("FusionX", False), ("Wan2.2_FusionX", True),
])  # fmt: skip
def test_the_version_in_a_name(name, new):
    assert expert_names.is_new([name]) is new
    assert expert_names.is_new([name, "wan2.1"]) is (False if new is None else new)


def test_the_first_name_that_speaks_is_believed():
    assert expert_names.surely(["Wan2.2 T2V A14B HighNoise", "wan_low_noise"]) == "high"
    assert expert_names.surely(["Wan2.2 T2V A14B", "wan_low_noise"]) == "low"
