"""A model's architecture is known by its components, not by its name; what it can't do is said before the job runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wan_backend.catalogue import entries
from wan_backend.catalogue.architecture import Architecture, architecture_problem, boundary_ratio, detect_architecture
from wan_backend.planning.plan_steps import plan
from wan_backend.protocol.messages import FrameRate, Guide, Role, Source, TakeRequest
from wan_backend.storage.guarded_files import UnusableFile

ARCHITECTURES = {
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


@pytest.mark.ci  # these folders are written by diffusers
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_what_diffusers_saves_is_recognized(request, kind):
    folder = request.getfixturevalue(f"{kind}_folder")

    def read(name: str) -> Any:
        return json.loads((folder / name).read_bytes()) if (folder / name).is_file() else None

    components = [read(f"{component}/config.json") for component in ("transformer", "vae", "image_encoder")]
    assert detect_architecture(read("model_index.json"), *components) is ARCHITECTURES[kind]


def test_the_published_configurations_are_recognized():
    assert detect_architecture(SEEING, I2V, {"z_dim": 16}, CLIP) is Architecture.FIRST_PICTURE
    assert detect_architecture(SEEING, FLF2V, {}, CLIP) is Architecture.FIRST_AND_LAST
    assert (
        detect_architecture({"expand_timesteps": True}, {"in_channels": 48}, {"z_dim": 48}) is Architecture.FIRST_LATENT
    )
    assert (
        detect_architecture({"transformer_2": [None, None]}, {"in_channels": 36, "image_dim": None}, {})
        is Architecture.PICTURES
    )


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
        ({}, I2V, {}, CLIP, "needs an image encoder, which is missing"),
        (SEEING, I2V, {}, None, "needs an image encoder, which is missing"),
        ({**SEEING, "image_encoder": [None, None]}, I2V, {}, CLIP, "needs an image encoder, which is missing"),
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
def test_components_that_do_not_go_together_are_said(index, transformer, vae, eyes, words):
    with pytest.raises(UnusableFile, match=words):
        detect_architecture(index, transformer, vae, eyes)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("kind", "ratio"), [("text_experts", 0.875), ("pictures_experts", 0.9), ("t2v", None), ("fast_text", None)]
)
def test_where_the_second_expert_takes_over_is_recognized(request, kind, ratio):
    folder = request.getfixturevalue(f"{kind}_folder")
    assert boundary_ratio(json.loads((folder / "model_index.json").read_bytes())) == ratio


def test_only_three_architectures_look_at_pictures():
    assert {architecture for architecture in Architecture if architecture.looks_at_pictures} == {
        Architecture.FIRST_PICTURE,
        Architecture.FIRST_AND_LAST,
        Architecture.CAMERA,
    }
    assert len({architecture.words for architecture in Architecture}) == len(Architecture)


def asked(task: str, *roles: Role, guide: Guide = Guide.NONE, model: str = "any") -> TakeRequest:
    sources = [Source(role, "/tmp", ["a.png"], rendered=True) for role in roles]
    return TakeRequest(
        "fog", model, 832, 480, 33, FrameRate(24), 1, "/tmp", task=task, sources=sources, guide=guide, strength=0.5
    )


@pytest.mark.parametrize("architecture", [Architecture.FIRST_PICTURE, Architecture.FIRST_LATENT])
def test_a_last_picture_that_the_model_does_not_know(architecture):
    problem = architecture_problem(asked("image_to_video", Role.FIRST, Role.LAST), architecture)
    assert problem is not None and "takes no last picture" in problem.sentence
    assert architecture_problem(asked("image_to_video", Role.FIRST), architecture) is None


@pytest.mark.parametrize(
    "architecture", [Architecture.CONTROL, Architecture.PICTURES, Architecture.FIRST_AND_LAST, None]
)
def test_a_last_picture_that_it_knows(architecture):
    assert architecture_problem(asked("image_to_video", Role.FIRST, Role.LAST), architecture) is None


def test_a_last_picture_that_it_needs():
    problem = architecture_problem(asked("image_to_video", Role.FIRST), Architecture.FIRST_AND_LAST)
    assert problem is not None and problem.kind == "bad_source"


@pytest.mark.parametrize("guide", [Guide.DEPTH, Guide.EDGES])
def test_a_guide_without_a_control_model_comes_with_a_fix(guide):
    problem = architecture_problem(asked("restyle", Role.FOOTAGE, guide=guide), Architecture.TEXT)
    assert problem is not None and guide.value in problem.sentence
    assert (problem.fixes[0].setting, problem.fixes[0].value) == ("guide", "none")
    assert architecture_problem(asked("restyle", Role.FOOTAGE, guide=guide), Architecture.CONTROL) is None


@pytest.mark.parametrize("guide", [Guide.NONE, Guide.FRAMES])
def test_noise_alone_suits_every_model(guide):
    assert architecture_problem(asked("restyle", Role.FOOTAGE, guide=guide), Architecture.TEXT) is None


def test_the_plan_says_it():
    entry = entries.entry("wan2.1-flf2v-14b-720p")
    made = plan(asked("image_to_video", Role.FIRST, model=entry.id), entry)
    assert made.problem is not None and "choose a last picture too" in made.problem.sentence
