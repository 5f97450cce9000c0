"""The adapter of a transformer that a camera steers is counted, for it lies beside the blocks that visit the card."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from wan_backend.catalogue import entries, transformer_shapes
from wan_backend.catalogue.architecture import Architecture
from wan_backend.memory.needs import calculate_from_catalogue

IDS = [entry.id for entry in entries.load().models.values() if entry.follows_camera]


@pytest.mark.parametrize("model", IDS)
def test_the_adapter_is_on_the_card_whenever_the_transformer_runs(model) -> None:
    entry = entries.entry(model)
    config = {"num_attention_heads": entry.weights.heads, "attention_head_dim": 128, "ffn_dim": 8, "num_layers": 1}
    shapes = transformer_shapes.shapes({**config, "camera_fold": 8})
    numbers = sum(math.prod(shape) for name, shape in shapes.items() if name.endswith("weight") and "control" in name)
    with_camera = calculate_from_catalogue(entry, 832, 480, 81)
    without = calculate_from_catalogue(replace(entry, architecture=Architecture.PICTURES), 832, 480, 81)
    assert with_camera.camera_adapter == 2 * numbers
    assert with_camera.denoise - without.denoise == 2 * numbers
    assert with_camera.denoise_in(2) - without.denoise_in(2) == 2 * numbers
    assert with_camera.transformer_block_offloaded - without.transformer_block_offloaded == 2 * numbers


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
