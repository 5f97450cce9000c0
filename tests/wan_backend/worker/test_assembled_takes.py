"""Takes by models that are put together of files: the same as by the same model in a folder of diffusers."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.wan_backend.library import file_forms as forms
from tests.wan_backend.worker.executors import asked, silent_executor
from tests.wan_backend.worker.footage import source
from wan_backend.library.survey import survey
from wan_backend.loading.wan_model import WanModel
from wan_backend.protocol.messages import (
    CameraMove,
    ComponentFile,
    FrameRate,
    Plan,
    Role,
    RunParams,
    RunResult,
    TakeRequest,
    Task,
)
from wan_backend.worker.executor import Executor
from wan_backend.worker.server_connection import Run

RATE = FrameRate(16)
ROLES = {"first_picture": [Role.FIRST], "pictures": [Role.FIRST], "first_and_last": [Role.FIRST, Role.LAST]}


@pytest.fixture
def executor() -> Executor:
    return silent_executor()


@pytest.fixture
def run(tmp_path) -> Callable[..., Run]:
    def make(architecture: str, folder: Path, components: dict[str, Path] | None = None, job: str = "folder") -> Run:
        roles = ROLES.get(architecture, [])
        task = Task.IMAGE_TO_VIDEO if roles else Task.TEXT_TO_VIDEO
        camera = None
        if architecture.startswith("camera"):
            task, camera = Task.PREVIS, CameraMove([each for frame in range(5) for each in camera_at(frame)])
        sources = [source(tmp_path / "sources", role, range(5, 6)) for role in roles]
        request = TakeRequest("fog", "any", 64, 64, 5, RATE, 1, str(tmp_path / "takes"), task=task, sources=sources)
        request = replace(request, camera=camera)
        plan = Plan("any", 64, 64, 5, RATE, 5, 2, 3.0, 3.0, "unipc")
        places = [ComponentFile(component, str(place)) for component, place in (components or {}).items()]
        return asked(RunParams(job, request, plan, str(folder), device="cpu", model_parts=places))

    return make


def camera_at(frame: int) -> list[float]:
    """A camera that moves to the right."""
    return [1.0, 0, 0, 0.2 * frame, 0, 1, 0, 0, 0, 0, 1, 0, 0.6, 0.6, 0.5, 0.5]


def film(result: RunResult) -> np.ndarray:
    assert isinstance(result, RunResult), result
    files = sorted(Path(result.take.folder).glob("*.png"))
    return np.stack([cv2.imread(str(file)) for file in files]).astype(int)


@pytest.mark.parametrize("architecture", forms.FAMILIES)
def test_every_family_makes_the_same_take_from_files(executor, run, tmp_path, architecture):
    folder = forms.folder(tmp_path / "folder", architecture)
    components = {**forms.files(tmp_path / "files", architecture), "tokenizer": folder / "tokenizer"}
    one = film(executor.run(run(architecture, folder)))
    other = film(executor.run(run(architecture, tmp_path / "files", components, "files")))
    assert one.shape == (5, 64, 64, 3) and one.std() > 5
    assert np.abs(one - other).max() <= 1


def test_two_experts_that_a_camera_steers_make_a_take_in_turn(executor, run, tmp_path):
    """Alike, they make what one makes of all steps; and the second one's weights are in the take."""
    files, folder = forms.files(tmp_path / "files", "camera_and_picture"), forms.folder(tmp_path / "folder", "text")
    one = {**files, "tokenizer": folder / "tokenizer"}
    other = forms.published("transformer", forms.weights_of(forms.transformer("camera_and_picture", seed=5)))
    second = forms.write(tmp_path / "second.safetensors", other)
    alone, alike, unlike = (
        film(executor.run(run("camera_and_picture", tmp_path / "files", each, job)))
        for job, each in (
            ("one", one),
            ("alike", {**one, "transformer_2": one["transformer"]}),
            ("unlike", {**one, "transformer_2": second}),
        )
    )
    model = executor._warm.model
    assert model.boundary == 0.9 and model.loaded("transformer") and model.loaded("transformer_2")
    assert np.array_equal(alone, alike) and np.abs(alone - unlike).mean() > 1


def test_fp8_scaled_files_make_nearly_the_same_take(executor, run, tmp_path):
    folder = forms.folder(tmp_path / "folder", "text")
    components = forms.files(
        tmp_path / "files", "text", transformer=forms.scaled_fp8, vae=lambda w: forms.cast(w, torch.bfloat16)
    )
    one = film(executor.run(run("text", folder)))
    components["tokenizer"] = folder / "tokenizer"
    other = film(executor.run(run("text", tmp_path / "files", components, "files")))
    assert 0 < np.abs(one - other).mean() < one.std() / 3


def test_the_tokenizer_in_the_text_encoders_file_is_used(executor, run, tmp_path):
    def with_tokenizer(weights: forms.Weights) -> forms.Weights:
        return {**weights, "spiece_model": torch.tensor(list(forms.spiece()), dtype=torch.uint8)}

    components = forms.files(tmp_path / "files", "text", text_encoder=with_tokenizer)
    looked = survey([tmp_path / "files"])
    assert looked.tokenizers == (components["text_encoder"],)
    components["tokenizer"] = components["text_encoder"]
    assert film(executor.run(run("text", tmp_path / "files", components))).shape[0] == 5
    tokenizer = executor._warm.model.tokenizer
    import sentencepiece

    wanted = sentencepiece.SentencePieceProcessor(model_proto=forms.spiece()).encode("the red circle at night")
    tokens = tokenizer(["the red circle at night"], max_length=20, padding="max_length", return_tensors="pt")
    assert tokens.input_ids[0].tolist() == [*wanted, 1] + [0] * (19 - len(wanted))
    assert int(tokens.attention_mask.sum()) == len(wanted) + 1
    cut = tokenizer(["the red circle at night"], max_length=4)
    assert cut.input_ids[0].tolist() == [*wanted[:3], 1]


def test_a_file_that_was_exchanged_since_is_refused_by_name(executor, run, tmp_path):
    folder = forms.folder(tmp_path / "folder", "text")
    components = {**forms.files(tmp_path / "files", "text"), "tokenizer": folder / "tokenizer"}
    weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
    del weights["blocks.1.self_attn.q.weight"]
    forms.write(components["transformer"], weights)
    problem = executor.run(run("text", tmp_path / "files", components)).problem
    assert problem.kind == "model_broken"
    assert "transformer.safetensors can't be used because one of its tensors is missing, blocks.1" in problem.sentence
    forms.write(components["transformer"], {"x": torch.zeros(1)})
    problem = executor.run(run("text", tmp_path / "files", components)).problem
    assert "transformer.safetensors holds no transformer of a Wan model any more" in problem.sentence


def test_a_vae_that_lacks_a_tensor_is_refused_by_name_and_the_next_take_works(executor, run, tmp_path):
    folder = forms.folder(tmp_path / "folder", "text")
    components = {**forms.files(tmp_path / "files", "text"), "tokenizer": folder / "tokenizer"}
    weights = forms.published("vae", forms.weights_of(forms.vae()))
    forms.write(components["vae"], {name: weight for name, weight in weights.items() if name != "decoder.head.0.gamma"})
    problem = executor.run(run("text", tmp_path / "files", components)).problem
    assert "vae.safetensors can't be loaded because 1 of its tensors are missing" in problem.sentence
    forms.write(components["vae"], weights)
    assert isinstance(executor.run(run("text", tmp_path / "files", components)), RunResult)


def test_a_text_encoder_that_two_models_share_stays_in_memory(executor, run, tmp_path):
    folder = forms.folder(tmp_path / "folder", "text")
    one = {**forms.files(tmp_path / "one", "text"), "tokenizer": folder / "tokenizer"}
    other = {**forms.files(tmp_path / "other", "control"), **{k: one[k] for k in ("text_encoder", "vae", "tokenizer")}}
    executor.run(run("text", tmp_path / "one", one))
    encoder = executor._warm.model.text_encoder
    assert isinstance(executor.run(run("control", tmp_path / "other", other, "next")), RunResult)
    assert executor._warm.model.controlled and executor._warm.model.text_encoder is encoder
    own = {**other, "text_encoder": forms.files(tmp_path / "third", "text")["text_encoder"]}
    executor.run(run("control", tmp_path / "other", own, "third"))
    assert executor._warm.model.text_encoder is not encoder


def test_gguf_in_its_blocks_is_counted_by_its_bytes(tmp_path):
    components = forms.files(tmp_path, "text")
    weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
    components["transformer"] = forms.write_gguf(tmp_path / "t.gguf", weights, "Q4_0")
    half = torch.bfloat16
    from wan_backend.loading.wan_model import Precision

    apart = WanModel(tmp_path, torch.device("cpu"), Precision(half, half, half), components)
    kept = WanModel(tmp_path, torch.device("cpu"), Precision(half, half, half, quantized=True), components)
    assert apart.weight_bytes("transformer") == 2 * kept.parameter_count("transformer")
    assert kept.weight_bytes("transformer") == components["transformer"].stat().st_size
    assert kept.transformer.blocks[0].ffn.net[2].weight.dtype == torch.uint8


def test_what_is_kept_of_a_model_put_together_is_known_again_until_a_file_of_it_changes(tmp_path):
    folder = forms.folder(tmp_path / "folder", "text")
    components = {**forms.files(tmp_path / "files", "text"), "tokenizer": folder / "tokenizer"}

    def prints() -> tuple[str, str]:
        model = WanModel(tmp_path / "files", torch.device("cpu"), components=components)
        return model.fingerprint(), model.fingerprint("text_encoder")

    whole, encoder = prints()
    assert prints() == (whole, encoder)
    os.utime(components["transformer"], (1, 1))
    assert prints()[0] != whole and prints()[1] == encoder, "prompts are read as before"
    os.utime(components["text_encoder"], (1, 1))
    second = prints()[1]
    assert second != encoder
    os.utime(next(components["tokenizer"].iterdir()), (1, 1))
    assert prints()[1] != second


def test_control_in_a_file_of_its_own_makes_the_same_take(executor, run, tmp_path):
    """A tiny trunk and its module, as ComfyUI users have them, make what the whole file makes; text and a picture."""
    folder = forms.folder(tmp_path / "folder", "control")
    components = {**forms.files(tmp_path / "files", "control"), "tokenizer": folder / "tokenizer"}
    weights = forms.published("transformer", forms.weights_of(forms.transformer("control")))
    trunk = {name: weight for name, weight in weights.items() if not name.startswith("vace_")}
    control = {name: weight for name, weight in weights.items() if name.startswith("vace_")}
    apart = {
        **components,
        "transformer": forms.write(tmp_path / "apart" / "wan2.1_t2v.safetensors", trunk),
        "control": forms.write(tmp_path / "apart" / "Wan2_1-VACE_module.safetensors", control),
    }
    one = film(executor.run(run("control", tmp_path / "files", components)))
    other = film(executor.run(run("control", tmp_path / "apart", apart, "apart")))
    assert executor._warm.model.controlled and one.std() > 5
    assert np.array_equal(one, other)
