"""Edits as takes: by a worker, with pictures and without, killed and gone on, and through a real server."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.wan_backend.job_queue.written_jobs import take_request
from tests.wan_backend.library import file_forms as forms
from tests.wan_backend.loading import small_checkpoints
from tests.wan_backend.lora import written_loras
from tests.wan_backend.server.served import Served
from tests.wan_backend.worker.executors import asked, silent_executor
from tests.wan_backend.worker.footage import HEIGHT, WIDTH, source
from wan_backend.catalogue import entries
from wan_backend.catalogue.architecture import Architecture
from wan_backend.catalogue.transformer_shapes import shapes
from wan_backend.library import locate
from wan_backend.library.component_files import ComponentFiles
from wan_backend.library.survey import survey
from wan_backend.lora.resolve import transformer_configs
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.looks import MakeLookParams, MakeLookResult
from wan_backend.protocol.messages import (
    ComponentFile,
    FrameRate,
    LoraUse,
    Pictures,
    Plan,
    Role,
    RunParams,
    RunResult,
    Source,
    TakeRequest,
    Task,
)
from wan_backend.worker.server_connection import Look

pytestmark = pytest.mark.ci
RATE = FrameRate(16)
FRAMES = 9


def reference(folder: Path, number: int, width: int, height: int) -> Source:
    """A picture of a size of its own."""
    place = folder / f"reference-{number}"
    place.mkdir(parents=True)
    levels = np.full((height, width, 3), 40 * number, np.uint8)
    levels[: height // 2] = (200, 30, 90)
    cv2.imwrite(str(place / "it.png"), levels)
    return Source(Role.REFERENCE, str(place), ["it.png"], pictures=Pictures(width, height), at_frame=number)


@pytest.fixture
def params(tmp_path: Path) -> Callable[..., RunParams]:
    footage = source(tmp_path / "footage", Role.FOOTAGE, range(FRAMES))
    pictures = [reference(tmp_path, 1, 90, 30), reference(tmp_path, 2, 20, 50)]

    def make(folder: Path, references: int = 0, job: str = "a" * 32, steps: int = 3, window: int = 0) -> RunParams:
        wanted = TakeRequest(
            "a red hat", "any", WIDTH, HEIGHT, FRAMES, RATE, 5, str(tmp_path / "media"), task=Task.EDIT,
            sources=[footage, *pictures[:references]],
        )  # fmt: skip
        plan = Plan(
            "any", WIDTH, HEIGHT, FRAMES, RATE, FRAMES, steps, 4.0, 5.0, "unipc", seen_sources=1 + references,
            low_noise_guidance_scale=3.2, window_frames=window,
        )  # fmt: skip
        return RunParams(job, wanted, plan, str(folder), device="cpu", work_folder=str(tmp_path / "work" / job))

    return make


def film(result: object) -> np.ndarray:
    assert isinstance(result, RunResult), result
    return np.stack([cv2.imread(str(file)) for file in sorted(Path(result.take.folder).glob("*.png"))]).astype(int)


def test_pictures_and_footage_make_a_difference(params, renderer_folder, renderer_experts_folder):
    executor = silent_executor()
    alone = film(executor.run(asked(params(renderer_folder))))
    assert alone.shape == (FRAMES, HEIGHT, WIDTH, 3) and alone.std() > 2
    again = film(executor.run(asked(params(renderer_folder, job="b" * 32))))
    assert np.array_equal(alone, again)
    one = film(executor.run(asked(params(renderer_folder, 1, "c" * 32))))
    two = film(executor.run(asked(params(renderer_folder, 2, "d" * 32))))
    assert not np.array_equal(alone, one) and not np.array_equal(one, two)
    other = params(renderer_folder, job="e" * 32)
    frames = list(reversed(other.request.sources[0].files))
    backward = dataclasses.replace(other.request.sources[0], files=frames)
    other = dataclasses.replace(other, request=dataclasses.replace(other.request, sources=[backward]))
    assert not np.array_equal(alone, film(executor.run(asked(other))))
    assert film(executor.run(asked(params(renderer_experts_folder, 1, "f" * 32)))).shape == alone.shape


def test_files_by_their_name_make_the_take_of_the_folder(params, tmp_path):
    """The tensors are those of text to video, so only the name says that it edits."""
    folder = forms.folder(tmp_path / "folder", "text")
    (folder / "model_index.json").unlink()
    (folder / "config.json").write_text('{"model_type": "bernini_renderer", "skip_transformer_2": true}')
    files = {**forms.files(tmp_path / "files", "text"), "tokenizer": folder / "tokenizer"}
    named = files["transformer"].with_name("wan2.1_bernini_1.3B_fp16.safetensors")
    files["transformer"].rename(named)
    files["transformer"] = named
    executor = silent_executor()
    one = film(executor.run(asked(params(folder, 1))))
    places = [ComponentFile(component, str(place)) for component, place in files.items()]
    other = dataclasses.replace(params(tmp_path / "files", 1, "b" * 32), model_parts=places)
    assert np.abs(one - film(executor.run(asked(other)))).max() <= 1


def test_a_gguf_file_by_its_name_makes_the_take_of_the_folder(params, tmp_path):
    """In blocks of 8 bits, so nearly; and its footage counts as much."""
    files = forms.files(tmp_path / "files", "text")
    weights = forms.published("transformer", forms.weights_of(forms.transformer("text")))
    files["tokenizer"] = forms.folder(tmp_path / "folder", "text") / "tokenizer"
    executor = silent_executor()

    def made(transformer: Path, job: str, references: int = 0) -> np.ndarray:
        places = {**files, "transformer": transformer}
        parts = [ComponentFile(component, str(place)) for component, place in places.items()]
        wanted = params(tmp_path / "files", references, job)
        return film(executor.run(asked(dataclasses.replace(wanted, model_parts=parts))))

    whole = made(forms.write(tmp_path / "bernini_r_f32.safetensors", weights), "a" * 32)
    packed = forms.write_gguf(tmp_path / "bernini_r_q8_0.gguf", weights, "Q8_0")
    assert np.abs(whole - made(packed, "b" * 32)).mean() < 2
    assert not np.array_equal(made(packed, "c" * 32, references=1), made(packed, "d" * 32))


def test_a_lora_of_text_to_video_changes_an_edit_and_not_the_next_one(params, renderer_folder, tmp_path):
    extents = shapes(transformer_configs(ComponentFiles(renderer_folder))["transformer"])
    use = LoraUse(str(written_loras.written(tmp_path / "look.safetensors", extents)), 0.8)
    executor = silent_executor()
    wanted = params(renderer_folder, 1)
    worn = dataclasses.replace(
        wanted,
        job_id="b" * 32,
        request=dataclasses.replace(wanted.request, loras=[use]),
        plan=dataclasses.replace(wanted.plan, loras=[use]),
    )
    plain = film(executor.run(asked(wanted)))
    assert not np.array_equal(plain, film(executor.run(asked(worn))))
    assert np.array_equal(plain, film(executor.run(asked(dataclasses.replace(wanted, job_id="c" * 32)))))


def test_what_is_seen_live_of_an_edit_is_what_lands(params, renderer_folder, tmp_path):
    executor, wanted = silent_executor(), params(renderer_folder, 1)
    shown = dataclasses.replace(wanted, job_id="")
    look = executor.look(Look(MakeLookParams(shown, str(tmp_path / "looks"), 0.0), lambda _answer: None))
    assert isinstance(look, MakeLookResult) and len(look.pictures) == FRAMES
    content = Path(look.pictures[0]).read_bytes()
    picture = np.frombuffer(content, np.uint8, offset=8).reshape(HEIGHT, WIDTH, 4)[::-1, :, 2::-1]
    assert np.array_equal(picture, film(executor.run(asked(wanted)))[0])


def test_an_edit_goes_on_from_its_last_step(params, renderer_folder, monkeypatch):
    from wan_backend.pipelines import denoise as loop

    executor = silent_executor()
    whole = film(executor.run(asked(params(renderer_folder, 1, "a" * 32, steps=5))))
    cut = params(renderer_folder, 1, "b" * 32, steps=5)
    original, calls = loop.source_guidance.chained, []

    def dies(*given):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("the power went")
        return original(*given)

    monkeypatch.setattr(loop.source_guidance, "chained", dies)
    assert not isinstance(executor.run(asked(cut)), RunResult)
    made = len(calls)
    resumed = film(executor.run(asked(cut)))
    assert np.array_equal(whole, resumed)
    assert len(calls) - made < 5, "it began anew"


def test_the_makers_folder_is_known_under_any_name(tmp_path, monkeypatch):
    """By its config.json and its tensors."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "models" / "retouching"
    small_checkpoints.write_renderer(place, num_layers=30, num_attention_heads=12, attention_head_dim=6)
    found = locate.find(entries.entry("bernini-r-1.3b"), [place.parent], survey([place.parent]))
    assert isinstance(found, locate.LocatedModel) and found.components["transformer"] == place / "transformer"
    files = ComponentFiles(found.folder, found.components)
    assert files.architecture(files.index()) is Architecture.EDIT
    plain = locate.find(entries.entry("wan2.1-t2v-1.3b"), [place.parent], survey([place.parent]))
    assert isinstance(plain, locate.UnavailableModel)


@pytest.mark.long
def test_a_take_through_the_server_by_a_folder_as_the_makers_publish_it(tmp_path):
    """Tiny in all but what tells the model: the numbers of its layers and heads."""
    small_checkpoints.write_renderer(
        tmp_path / "models" / "Bernini-R-1.3B-Diffusers", num_layers=30, num_attention_heads=12, attention_head_dim=6
    )
    small_checkpoints.write(tmp_path / "models" / "wan2.1-t2v-1.3b", "text")
    media = tmp_path / "media"
    media.mkdir()
    footage = source(tmp_path / "footage", Role.FOOTAGE, range(5))
    wanted = take_request(
        str(media), model="bernini-r-1.3b", task=Task.EDIT, width=256, height=256, length_frames=5, frame_rate=RATE,
        sources=[footage, reference(tmp_path, 1, 300, 200)], steps=2,
    )  # fmt: skip
    worker = [sys.executable, "-m", "wan_backend.worker"]
    with Served(
        tmp_path / "state", tmp_path / "models", "--device", "cpu", command=worker, OMP_NUM_THREADS="1"
    ) as server:
        plan = server.call("plan", request=to_json(wanted))
        assert plan.get("problem") is None and plan["seen_sources"] == 2, plan
        assert plan["forwards"] == 8, "two steps of four passes"
        job = server.wait_for(server.submit(to_json(wanted)), "done", "failed", seconds=300)
        assert job["state"] == "done", job
        assert len(list(Path(job["take"]["folder"]).glob("*.png"))) == 5
        other = {**to_json(wanted), "model": "wan2.1-t2v-1.3b"}
        refused = server.call("plan", request=other)["problem"]["sentence"]
        assert "can't do" in str(refused)
