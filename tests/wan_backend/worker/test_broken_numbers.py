"""Numbers that run over while a take is made: a sentence, and never a black take that is called Done."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.wan_backend.lora import written_loras
from tests.wan_backend.worker.executors import asked, silent_executor
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.component_files import ComponentFiles
from wan_backend.lora.resolve import transformer_configs
from wan_backend.pipelines import prompt_encoding, text_to_video
from wan_backend.protocol.messages import FrameRate, LoraUse, Plan, RunParams, TakeRequest

RATE = FrameRate(16)


@pytest.fixture
def take(vace_folder, tmp_path):
    executor = silent_executor()

    def make(name: str, *uses: LoraUse, work: Path | None = None):
        request = TakeRequest("fog", "embedded", 32, 32, 5, RATE, 1, str(tmp_path / "takes"), loras=list(uses))
        plan = Plan("embedded", 32, 32, 5, RATE, 5, 2, 3.0, 3.0, "unipc", loras=list(uses))
        folder = str(work or "")
        return executor.run(asked(RunParams(name, request, plan, str(vace_folder), device="cpu", work_folder=folder)))

    make.executor = executor
    return make


def no_takes(tmp_path: Path) -> bool:
    return not list((tmp_path / "takes").rglob("*.png"))


def test_of_a_lora_that_is_too_strong_the_step_is_told_and_nothing_is_kept_of_it(take, vace_folder, tmp_path):
    extents = shapes(transformer_configs(ComponentFiles(vace_folder))["transformer"])
    state = written_loras.SPELLINGS["ComfyUI"](written_loras.factors(extents))
    loud = {key: value * 1e30 for key, value in state.items()}
    file = str(written_loras.save(tmp_path / "loud.safetensors", loud))
    work = tmp_path / "work"
    for name in ("one", "one"):  # also when it's tried again: it doesn't go on from what is broken
        problem = take(name, LoraUse(file), work=work).problem
        assert problem.kind == "bad_lora"
        assert problem.sentence.startswith("The take failed at step 1 of 2: its numbers overflowed")
        assert 'Lower the strength of its LoRAs ("loud.safetensors"), or leave them out.' in problem.sentence
        assert [fix.value for fix in problem.fixes] == [file]
    assert no_takes(tmp_path)
    assert take("two").take.frames == 5


def test_an_autoencoder_that_runs_over_is_named(take, vace_folder, tmp_path, monkeypatch):
    assert take("one").take.frames == 5
    vae = take.executor._warm.model.vae
    monkeypatch.setattr(vae.decoder, "forward", lambda *_, **__: torch.full((1, 3, 1, 32, 32), float("nan")))
    problem = take("two").problem
    assert problem.kind == "model_broken"
    assert problem.sentence.startswith(f"The autoencoder {vace_folder / 'vae'} made no pictures for this take")
    assert not list((tmp_path / "takes").glob("*two*/*.png"))


def test_a_text_encoder_that_runs_over_is_named_and_its_answer_is_not_kept(take, vace_folder, monkeypatch):
    broken = torch.full((1, prompt_encoding.MAX_TOKENS, 32), float("nan"))
    monkeypatch.setattr(text_to_video, "encode", lambda *_: broken)
    problem = take("one").problem
    assert problem.kind == "model_broken" and str(vace_folder / "text_encoder") in problem.sentence
    monkeypatch.undo()
    assert take("two").take.frames == 5


def test_kept_prompts_that_are_no_numbers_are_read_anew():
    class Files:
        def get(self, _prompt: str, _tokens: int) -> torch.Tensor:
            return torch.full((1, 4, 8), float("nan"))

    assert prompt_encoding.PromptCache(files=Files()).get("fog") is None


def test_without_loras_the_models_file_is_named(take, vace_folder, monkeypatch):
    assert take("one").take.frames == 5
    last = take.executor._warm.model.transformer.proj_out
    monkeypatch.setattr(last, "forward", lambda x: torch.full((*x.shape[:-1], last.out_features), float("inf")))
    problem = take("two").problem
    assert problem.kind == "model_broken"
    assert problem.sentence.startswith("The take failed at step 1 of 2") and str(vace_folder) in problem.sentence
