"""The shapes that a config.json stands for are those of diffusers' own transformers."""

from __future__ import annotations

import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

from tests.wan_backend.loading import small_checkpoints
from wan_backend.bench import tiny_checkpoint
from wan_backend.catalogue.transformer_shapes import shapes


@pytest.mark.parametrize("architecture", ["text", "vace", *small_checkpoints.TRANSFORMERS])
def test_they_are_those_of_the_transformer(architecture):
    kind = WanVACETransformer3DModel if architecture == "vace" else WanTransformer3DModel
    extra = tiny_checkpoint.VACE if architecture == "vace" else small_checkpoints.TRANSFORMERS.get(architecture, {})
    with torch.device("meta"):
        transformer = kind(**{**tiny_checkpoint.TRANSFORMER, **extra})
    real = {name: tuple(parameter.shape) for name, parameter in transformer.named_parameters()}
    assert shapes(transformer.config) == real
