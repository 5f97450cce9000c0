"""The adapter of a transformer that a camera steers is counted, for it lies beside the blocks that visit the card."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from wan_backend.catalogue import entries, transformer_shapes
from wan_backend.catalogue.architecture import Architecture
from wan_backend.memory.needs import BLOCK_OFFLOADED_SHARE, EIGHT_BIT_SHARE, calculate_from_catalogue
from wan_backend.memory.residency_plan import MemoryPlan, Residency

IDS = [entry.id for entry in entries.load().models.values() if entry.follows_camera]


@pytest.mark.parametrize("model", IDS)
def test_the_adapter_is_on_the_card_whenever_the_transformer_runs_and_counted_once(model) -> None:
    entry = entries.entry(model)
    config = {"num_attention_heads": entry.weights.heads, "attention_head_dim": 128, "ffn_dim": 8, "num_layers": 1}
    shapes = transformer_shapes.shapes({**config, "camera_fold": 8})
    numbers = sum(math.prod(shape) for name, shape in shapes.items() if name.endswith("weight") and "control" in name)
    with_camera = calculate_from_catalogue(entry, 832, 480, 81)
    without = calculate_from_catalogue(replace(entry, architecture=Architecture.PICTURES), 832, 480, 81)
    assert with_camera.camera_adapter == 2 * numbers and with_camera.transformer == without.transformer
    kept = with_camera.hidden_states  # what it adds to the tokens
    assert with_camera.denoise - without.denoise == kept
    assert with_camera.denoise_in(2) - without.denoise_in(2) == kept
    assert with_camera.transformer_alone - without.transformer_alone == kept
    beside = 2 * numbers * (1 - BLOCK_OFFLOADED_SHARE)
    visits = with_camera.transformer_block_offloaded - without.transformer_block_offloaded
    assert visits - kept == pytest.approx(beside, abs=2)
    for where, more in ((Residency.RESIDENT, 0.0), (Residency.BLOCK_OFFLOADED, beside), (Residency.SHARED, beside)):
        plan = MemoryPlan(Residency.OFFLOADED, where, Residency.OFFLOADED, 0, shares=2 if where == "shared" else 1)
        for component in ("transformer", "transformer_2") if entry.weights.experts == 2 else ("transformer",):
            peaks = [plan.bytes_during(component, needs) for needs in (with_camera, without)]
            assert peaks[0] - peaks[1] == pytest.approx(kept + more, abs=2), where


@pytest.mark.parametrize("model", IDS)
def test_the_adapter_stays_in_16_bit_where_the_blocks_are_in_8(model) -> None:
    needs = calculate_from_catalogue(entries.entry(model), 832, 480, 81)
    eight = needs.in_8_bit()
    blocks = needs.transformer - needs.camera_adapter
    assert eight.transformer == pytest.approx(blocks * EIGHT_BIT_SHARE + needs.camera_adapter, abs=1)
    assert bool(eight.transformer_2) is bool(needs.transformer_2)


@pytest.mark.parametrize("model", IDS)
def test_the_catalogue_counts_the_weights(model) -> None:
    entry = entries.entry(model)
    sees = {"image_dim": 1280, "added_kv_proj_dim": entry.weights.hidden}
    config = {
        "num_attention_heads": entry.weights.heads, "attention_head_dim": 128, "num_layers": entry.weights.layers,
        "ffn_dim": {1536: 8960, 5120: 13824}[entry.weights.hidden], "camera_fold": 8,
        **({"in_channels": 32, **sees} if entry.architecture is Architecture.CAMERA else {"in_channels": 36}),
    }  # fmt: skip
    numbers = sum(math.prod(shape) for shape in transformer_shapes.shapes(config).values())
    assert entry.weights.transformer == pytest.approx(numbers, rel=0.001)
