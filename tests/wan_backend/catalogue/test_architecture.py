"""The kind of a model is told by its parts, not by its name; and what does not go together is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wan_backend.catalogue.architecture import Architecture, Unfit, boundary, told

LAYOUTS = {
    "t2v": Architecture.TEXT,
    "vace": Architecture.CONTROL,
    "first_picture": Architecture.FIRST_PICTURE,
    "first_and_last": Architecture.FIRST_AND_LAST,
    "pictures": Architecture.PICTURES,
    "first_latent": Architecture.FIRST_LATENT,
    "text_experts": Architecture.TEXT,
    "pictures_experts": Architecture.PICTURES,
    "fast_text": Architecture.TEXT,
    "fast_latent": Architecture.TEXT,
}
SEEING = {"image_encoder": ["transformers", "CLIPVisionModel"], "transformer": ["diffusers", "WanTransformer3DModel"]}
I2V = {"in_channels": 36, "image_dim": 1280, "pos_embed_seq_len": None}
FLF2V = {**I2V, "pos_embed_seq_len": 514}
SECOND = {
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "transformer_2": ["diffusers", "WanTransformer3DModel"],
}
CLIP = {"hidden_size": 1280, "image_size": 224, "patch_size": 14}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_what_diffusers_saves_is_told(request, kind):
    folder = request.getfixturevalue(f"{kind}_folder")

    def read(name: str) -> Any:
        return json.loads((folder / name).read_bytes()) if (folder / name).is_file() else None

    parts = [read(f"{part}/config.json") for part in ("transformer", "vae", "image_encoder")]
    assert told(read("model_index.json"), *parts) is LAYOUTS[kind]


def test_the_published_configurations_are_told():
    assert told(SEEING, I2V, {"z_dim": 16}, CLIP) is Architecture.FIRST_PICTURE
    assert told(SEEING, FLF2V, {}, CLIP) is Architecture.FIRST_AND_LAST
    assert told({"expand_timesteps": True}, {"in_channels": 48}, {"z_dim": 48}) is Architecture.FIRST_LATENT
    assert told({"transformer_2": [None, None]}, {"in_channels": 36, "image_dim": None}, {}) is Architecture.PICTURES


@pytest.mark.parametrize(
    ("index", "transformer", "vae", "eyes", "words"),
    [
        (SECOND, {}, {}, None, "two transformers, and its model_index.json doesn't say when"),
        ({**SECOND, "boundary_ratio": 1.5}, {}, {}, None, "doesn't say when each works"),
        ({**SECOND, "boundary_ratio": True}, {}, {}, None, "doesn't say when each works"),
        ({"boundary_ratio": 0.9}, {}, {}, None, "has only one"),
        ({**SECOND, "transformer": ["diffusers", "WanVACE"], "boundary_ratio": 0.9}, {}, {}, None, "a WanVACE and a"),
        ({}, {"in_channels": 48}, {"z_dim": 16}, None, "takes 48 channels, which don't go with the autoencoder's 16"),
        ({}, {"in_channels": 36}, {"z_dim": 48}, None, "takes 36 channels"),
        ({}, I2V, {}, CLIP, "image encoder for that is missing"),
        (SEEING, I2V, {}, None, "image encoder for that is missing"),
        ({**SEEING, "image_encoder": [None, None]}, I2V, {}, CLIP, "image encoder for that is missing"),
        ({"image_encoder": ["transformers", "SiglipVisionModel"]}, I2V, {}, CLIP, "SiglipVisionModel"),
        (
            SEEING,
            I2V,
            {},
            {**CLIP, "hidden_size": 1024},
            "gives 1024 numbers a token, where the transformer takes 1280",
        ),
        (SEEING, FLF2V, {}, {**CLIP, "image_size": 336}, "gives 577 tokens a picture"),
        ({}, {"in_channels": "36"}, {}, None, "'in_channels' in one of its config.json files is not a number"),
    ],
)
def test_parts_that_do_not_go_together_are_said(index, transformer, vae, eyes, words):
    with pytest.raises(Unfit, match=words):
        told(index, transformer, vae, eyes)


@pytest.mark.parametrize(
    ("kind", "ratio"), [("text_experts", 0.875), ("pictures_experts", 0.9), ("t2v", None), ("fast_text", None)]
)
def test_where_the_second_expert_takes_over_is_told(request, kind, ratio):
    folder = request.getfixturevalue(f"{kind}_folder")
    assert boundary(json.loads((folder / "model_index.json").read_bytes())) == ratio


def test_only_two_layouts_look_at_pictures():
    assert {architecture for architecture in Architecture if architecture.looks_at_pictures} == {
        Architecture.FIRST_PICTURE,
        Architecture.FIRST_AND_LAST,
    }
    assert len({architecture.words for architecture in Architecture}) == len(Architecture)
