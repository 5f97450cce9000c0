"""LoRAs of jobs: one is changed, the next isn't; take.json says which; a bad one harms nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.wan_backend.lora import written_loras
from tests.wan_backend.worker.executors import asked, silent_executor
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library.component_files import ComponentFiles
from wan_backend.loading import applying_loras
from wan_backend.lora.resolve import transformer_configs
from wan_backend.protocol.conversion import from_json
from wan_backend.protocol.messages import Expert, FrameRate, LoraUse, Plan, RunParams, TakeRequest

RATE = FrameRate(16)


@pytest.fixture
def take(vace_folder, tmp_path):
    executor = silent_executor()

    def make(name: str, *uses: LoraUse):
        request = TakeRequest("fog", "embedded", 32, 32, 5, RATE, 1, str(tmp_path / "takes"), loras=list(uses))
        plan = Plan("embedded", 32, 32, 5, RATE, 5, 2, 3.0, 3.0, "unipc", loras=list(uses))
        return executor.run(asked(RunParams(name, request, plan, str(vace_folder), device="cpu")))

    make.executor = executor
    return make


def pictures(result) -> np.ndarray:
    files = sorted(Path(result.take.folder).glob("*.png"))
    return np.stack([np.asarray(Image.open(file)) for file in files])


def test_a_job_has_its_loras_and_the_next_one_its_own(take, vace_folder, tmp_path):
    extents = shapes(transformer_configs(ComponentFiles(vace_folder))["transformer"])
    file = str(written_loras.written(tmp_path / "a.safetensors", extents))
    plain = pictures(take("one"))
    made = take("two", LoraUse(file, 0.8))
    changed = pictures(made)
    assert not np.array_equal(changed, plain)
    assert np.array_equal(pictures(take("three", LoraUse(file, 0.8))), changed)
    assert np.array_equal(pictures(take("four")), plain), "off again, to the bit"
    kept = json.loads((Path(made.take.folder) / "take.json").read_text("utf-8"))
    assert from_json(TakeRequest, kept["request"]).loras == [LoraUse(file, 0.8)]
    assert from_json(Plan, kept["plan"]).loras == [LoraUse(file, 0.8)]


def test_one_that_went_missing_is_a_sentence_and_the_next_job_works(take, tmp_path):
    refusal = take("one", LoraUse(str(tmp_path / "gone.safetensors")))
    assert refusal.problem.kind == "bad_lora"
    assert refusal.problem.sentence == 'The LoRA "gone.safetensors" is not there any more.'
    assert pictures(take("two")).shape[0] == 5
    assert applying_loras.applied_loras(take.executor._warm.model.transformer) == []


def test_each_expert_of_a_control_model_has_its_own(control_experts_folder, tmp_path):
    """As Wan 2.2 VACE-Fun A14B: on a trunk's layers and on the control's, for the one expert or the other."""
    executor = silent_executor()
    extents = shapes(transformer_configs(ComponentFiles(control_experts_folder))["transformer_2"])
    parts = ("blocks.", "vace_blocks.")
    files = [str(written_loras.written(tmp_path / f"{part}safetensors", extents, parts=(part,))) for part in parts]

    def film(name: str, *uses: LoraUse) -> np.ndarray:
        request = TakeRequest("fog", "any", 32, 32, 5, RATE, 1, str(tmp_path / "takes"), loras=list(uses))
        plan = Plan("any", 32, 32, 5, RATE, 5, 4, 3.0, 3.0, "unipc", loras=list(uses), low_noise_guidance_scale=2.0)
        return pictures(executor.run(asked(RunParams(name, request, plan, str(control_experts_folder), device="cpu"))))

    uses = [LoraUse(file, 0.8, expert) for file in files for expert in (Expert.HIGH, Expert.LOW)]
    films = [film("plain"), *(film(f"lora {number}", use) for number, use in enumerate(uses))]
    for index, one in enumerate(films):
        assert not any(np.array_equal(one, other) for other in films[index + 1 :])
    assert np.array_equal(film("again"), films[0])
