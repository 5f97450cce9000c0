"""Memory runs out in the midst of a job: it goes on by itself, and the next job begins smaller."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from transformers import UMT5EncoderModel

from tests.wan_backend.worker.executors import RecordingExecutor, asked
from tests.wan_backend.worker.worker_process import pictures
from wan_backend.library.extras import TINY_FOR_MEMORY_NOTE
from wan_backend.loading import chunked_forward, devices
from wan_backend.protocol.messages import FrameRate, Plan, RunParams, RunResult, TakeRequest
from wan_backend.worker import progress, take_job
from wan_backend.worker.server_connection import Run

STEPS = 6


TRANSFORMER = (chunked_forward, "_forward")


class Failing:
    """The n-th call of a class's method, or of that of all transformers, runs out of memory, as often as told."""

    def __init__(self, monkeypatch, kind: type | tuple[object, str], at: int, times: int = 1) -> None:
        self.calls, self.failures = 0, 0
        owner, name = kind if isinstance(kind, tuple) else (kind, "forward")
        forward = getattr(owner, name)

        def counted(module, *arguments, **more):
            self.calls += 1
            if self.calls >= at and self.failures < times:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
            return forward(module, *arguments, **more)

        monkeypatch.setattr(owner, name, counted)


@pytest.fixture
def run(vace_folder, tmp_path):
    def make(job: str, folder=True) -> Run:
        request = TakeRequest("fog", "any", 48, 32, 9, FrameRate(16), 1, str(tmp_path / "media"))
        plan = Plan("any", 48, 32, 9, FrameRate(16), 9, STEPS, 3.0, 3.0, "unipc")
        work = str(tmp_path / "state" / "jobs" / job / "work") if folder else ""
        state = str(tmp_path / "state") if folder else ""
        return asked(RunParams(job, request, plan, str(vace_folder), "cpu", work_folder=work, state_folder=state))

    return make


def made(result: object) -> np.ndarray:
    assert isinstance(result, RunResult), result
    return pictures(result.take.folder)


@pytest.mark.parametrize("folder", [True, False])
def test_it_goes_on_from_the_last_step_and_says_so(run, monkeypatch, folder):
    executor = RecordingExecutor()
    whole = made(executor.run(run("whole", folder)))
    failing = Failing(monkeypatch, TRANSFORMER, at=2 * 3 + 2)
    result = executor.run(run("less", folder))
    assert np.array_equal(made(result), whole)
    assert failing.calls == 2 * STEPS + 2  # the step it failed in was begun again, and no other
    assert f"Resuming at step 4 of {STEPS}" in executor.sentences
    (note,) = result.notes
    assert note.startswith("The machine ran out of memory; the take continued")
    settings = json.loads((Path(result.take.folder) / "take.json").read_text())
    assert settings["notes"] == [note]


def test_the_next_job_begins_with_the_plan_that_was_enough(run, monkeypatch, tmp_path):
    executor = RecordingExecutor()
    Failing(monkeypatch, TRANSFORMER, at=1)
    executor.run(run("first"))
    lessons = json.loads((tmp_path / "state" / "memory.json").read_text())["lessons"]
    assert [lesson["instead"]["text_encoder"] for lesson in lessons] == ["read_again"]
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 3 * 10**9)  # not more than there was
    later = RecordingExecutor().run(run("later"))
    assert later.notes == []
    second = RecordingExecutor()
    made(second.run(run("again")))
    assert not second._warm.model.loaded("text_encoder"), "it stayed in memory, as before the lesson"
    assert second._warm.model.loaded("transformer")


def test_it_goes_down_the_ladder_and_then_says_what_helps(run, monkeypatch):
    executor = RecordingExecutor()
    failing = Failing(monkeypatch, TRANSFORMER, at=1, times=99)
    problem = executor.run(run("never")).problem
    assert problem.kind == "out_of_memory" and "choose a smaller size" in problem.sentence
    assert failing.failures == 3  # all in memory, without the text encoder, alone
    monkeypatch.undo()
    assert isinstance(executor.run(run("after")), RunResult)


def test_an_autoencoder_that_runs_out_costs_no_step(run, monkeypatch):
    executor = RecordingExecutor()
    whole = made(executor.run(run("whole")))
    transformer = Failing(monkeypatch, TRANSFORMER, at=9**9)
    decoder = AutoencoderKLWan().decoder.__class__
    Failing(monkeypatch, decoder, at=2)
    result = executor.run(run("less"))
    assert np.array_equal(made(result), whole)
    assert transformer.calls == 2 * STEPS
    assert "The steps are done already" in executor.sentences and result.notes


def test_where_the_autoencoder_alone_is_too_large_the_tiny_one_makes_the_pictures(run, monkeypatch, tmp_path):
    from tests.wan_backend.pipelines import tiny_files

    tiny = str(tiny_files.write(tmp_path / "taew2_1.safetensors"))
    transformer = Failing(monkeypatch, TRANSFORMER, at=9**9)
    Failing(monkeypatch, AutoencoderKLWan().decoder.__class__, at=1, times=99)
    assert RecordingExecutor().run(run("never")).problem.kind == "out_of_memory"
    transformer.calls = 0
    less = dataclasses.replace(run("less").params, tiny_decoder=tiny)
    result = RecordingExecutor().run(asked(less))
    assert made(result).shape == (9, 32, 48, 3) and transformer.calls == 2 * STEPS
    settings = json.loads((Path(result.take.folder) / "take.json").read_text())
    assert settings["plan"]["decoder"] == "tiny" and settings["notes"] == result.notes
    assert "ran out of memory" in result.notes[0] and result.notes[-1] == TINY_FOR_MEMORY_NOTE
    later = RecordingExecutor()
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 3 * 10**9)  # not more than there was
    assert later.run(asked(dataclasses.replace(run("later").params, tiny_decoder=tiny))).notes == [TINY_FOR_MEMORY_NOTE]


def test_a_text_encoder_that_runs_out_begins_again(run, monkeypatch):
    executor = RecordingExecutor()
    Failing(monkeypatch, UMT5EncoderModel, at=1)
    assert executor.run(run("less")).notes


def test_a_try_that_begins_anew_does_not_show_what_the_one_before_had_made(run, monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(take_job, "fingerprint", lambda *_: f"try {next(numbers)}")
    monkeypatch.setattr(progress, "MIN_PAUSE_SECONDS", 0.0)  # however quick the machine is, each step is told
    executor = RecordingExecutor()
    Failing(monkeypatch, TRANSFORMER, at=2 * 3 + 2)
    assert executor.run(run("less")).notes
    again = executor.sentences.index("Out of memory: continuing with less of the model in memory")
    assert executor.progress[again - 1].preview
    begun = [report for report in executor.progress[again:] if report.sentence == f"Step 0 of {STEPS}"]
    assert [report.preview for report in begun] == [""]
    assert executor.progress[-1].preview


def test_another_error_is_no_reason_to_go_on(run, monkeypatch):
    def wrong(*_arguments, **_more):
        raise RuntimeError("a shape is wrong")

    monkeypatch.setattr(*TRANSFORMER, wrong)
    assert RecordingExecutor().run(run("wrong")).problem.kind == "internal"
