"""A model is loaded before a job comes; a job never waits for it, and gets the same frames with it and without."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.wan_backend.worker.executors import RecordingExecutor, asked
from tests.wan_backend.worker.worker_process import pictures
from wan_backend.loading import matrix_products
from wan_backend.loading.matrix_kernels import MATRIX_KERNELS, TorchRows
from wan_backend.loading.matrix_products import EightBitProduct
from wan_backend.loading.residency import Room
from wan_backend.loading.wan_model import WanModel
from wan_backend.memory.idle import FreeMemory
from wan_backend.memory.residency_plan import Residency
from wan_backend.pipelines import text_to_video
from wan_backend.protocol.conversion import to_json
from wan_backend.protocol.envelope import Request
from wan_backend.protocol.messages import (
    FrameRate,
    MatrixPrecision,
    Plan,
    RunParams,
    RunResult,
    TakeRequest,
    WarmUpParams,
)
from wan_backend.protocol.sentences import in_english
from wan_backend.worker import idle_memory, warm_up
from wan_backend.worker.server_connection import RequestListener, WarmUp

RATE = FrameRate(16)
PARTS = ("text_encoder", "transformer", "vae")


@pytest.fixture
def params(t2v_folder, tmp_path):
    """RunParams of a small take; without a job, those of a warm-up for it."""

    def make(job: str = "", folder: Path = t2v_folder, prompt: str = "fog") -> RunParams:
        request = TakeRequest(prompt, "any", 32, 32, 5, RATE, 1, str(tmp_path / "media"))
        plan = Plan("any", 32, 32, 5, RATE, 5, 2, 3.0, 3.0, "unipc")
        return RunParams(job, request, plan, str(folder), "cpu", state_folder=str(tmp_path / "state"))

    return make


@pytest.fixture
def executor(monkeypatch) -> RecordingExecutor:
    """One on a machine with plenty of memory."""
    plenty = SimpleNamespace(available=1 << 40, total=1 << 40)
    monkeypatch.setattr(warm_up.psutil, "virtual_memory", lambda: plenty)
    return RecordingExecutor()


def warmed(job: RunParams, read_prompt: bool = False) -> WarmUp:
    return WarmUp(WarmUpParams(job, read_prompt), lambda _answer: None)


def loaded(executor) -> list[str]:
    return [part for part in PARTS if executor._warm is not None and executor._warm.model.loaded(part)]


def test_a_job_after_it_loads_nothing_and_makes_the_same_frames(executor, params):
    cold = RecordingExecutor()
    plain = pictures(cold.run(asked(params("a" * 32))).take.folder)
    assert any(sentence.startswith("Loading the t") for sentence in cold.sentences)
    executor.warm_up(warmed(params(), read_prompt=True))
    assert executor.progress == [], "it is no job, so nothing is reported of it"
    assert loaded(executor) == list(PARTS)
    made = executor.run(asked(params("b" * 32)))
    assert isinstance(made, RunResult) and np.array_equal(pictures(made.take.folder), plain)
    assert not any(sentence.startswith("Loading") for sentence in executor.sentences)


def test_weights_are_loaded_as_the_job_will_multiply_with_them(executor, params, monkeypatch):
    product = EightBitProduct(dataclasses.replace(MATRIX_KERNELS[1], min_rows=1), TorchRows(), 0.01)
    monkeypatch.setattr(matrix_products, "_chosen", lambda *_given: product)
    for number, precision in enumerate((MatrixPrecision.FAST_8_BIT, MatrixPrecision.EXACT, MatrixPrecision.FAST_8_BIT)):
        job = params(str(number) * 32)
        plan = dataclasses.replace(job.plan, matrix_precision=precision)
        request = dataclasses.replace(job.request, matrix_precision=precision)
        job = dataclasses.replace(job, plan=plan, request=request)
        executor.warm_up(warmed(dataclasses.replace(job, job_id="")))
        assert isinstance(executor.run(asked(job)), RunResult)
    assert not any(sentence.startswith("Loading") for sentence in executor.sentences)


@pytest.mark.parametrize("final", [False, True])
def test_a_prompt_is_encoded_only_once_it_is_final(executor, params, final):
    executor.warm_up(warmed(params(), final))
    warm, job = executor._warm, params()
    assert text_to_video.prompts_are_known(job.request, job.plan, warm.cache.prompts) is final


@pytest.mark.parametrize("part", PARTS)
def test_it_ends_before_the_next_component_when_a_job_comes(executor, params, monkeypatch, part):
    wanted, began = warmed(params()), []
    load = WanModel._load

    def load_noted(model, name, dtype):
        began.append(name)
        if name == part:
            wanted.ended.set()
        return load(model, name, dtype)

    monkeypatch.setattr(WanModel, "_load", load_noted)
    executor.warm_up(wanted)
    assert began == list(PARTS[: PARTS.index(part) + 1])
    assert isinstance(executor.run(asked(params("a" * 32))), RunResult)
    assert sorted(began) == sorted(PARTS), "what was loaded is the job's, and is not read again"


def test_one_that_was_ended_before_its_turn_touches_nothing(executor, params):
    wanted = warmed(params())
    wanted.ended.set()
    executor.warm_up(wanted)
    assert executor._warm is None


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), ValueError("no such tensor")])
def test_a_failure_is_logged_frees_the_memory_and_harms_no_job(executor, params, monkeypatch, caplog, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(WanModel, "_look_at_numbers", fails)
    with caplog.at_level(logging.WARNING):
        executor.warm_up(warmed(params()))
    assert "nothing is warmed up" in caplog.text and loaded(executor) == [] and executor.progress == []
    monkeypatch.undo()
    assert isinstance(executor.run(asked(params("a" * 32))), RunResult)


def test_a_model_that_is_not_there_is_only_logged_and_the_warm_one_stays(executor, params, tmp_path, caplog):
    executor.warm_up(warmed(params()))
    first = executor._warm
    with caplog.at_level(logging.WARNING):
        executor.warm_up(warmed(params(folder=tmp_path)))
    assert "nothing is warmed up" in caplog.text and executor._warm is first


def test_what_the_memory_plan_would_drop_again_is_not_loaded(executor, params, monkeypatch):
    choose = Room.plan
    monkeypatch.setattr(Room, "plan", lambda room: dataclasses.replace(choose(room), text_encoder=Residency.RELOADED))
    executor.warm_up(warmed(params()))
    assert loaded(executor) == ["transformer", "vae"]


class Memory:
    """The machine's memory as the executor sees it."""

    def __init__(self, monkeypatch) -> None:
        self.free = 50
        monkeypatch.setattr(idle_memory, "free_memory", lambda _device: [FreeMemory(self.free, 100)])


def test_a_warm_model_goes_when_other_programs_need_the_memory(executor, params, monkeypatch):
    memory = Memory(monkeypatch)
    executor.make_way_for_others()
    executor.warm_up(warmed(params()))
    for memory.free in (50, 20, 6):
        executor.make_way_for_others()
        assert loaded(executor) == list(PARTS)
    memory.free = 4
    executor.make_way_for_others()
    assert loaded(executor) == []
    assert isinstance(executor.run(asked(params("a" * 32))), RunResult), "and the next job loads it again"


def test_a_model_that_fills_the_memory_by_itself_stays(executor, params, monkeypatch):
    memory = Memory(monkeypatch)
    memory.free = 4
    executor.warm_up(warmed(params()))
    for _ in range(3):
        executor.make_way_for_others()
    assert loaded(executor) == list(PARTS)


def test_the_process_warms_up_between_jobs_and_answers(params, steady_worker):
    worker = steady_worker
    worker.progress = []
    answer = worker.answer(worker.send("warm", WarmUpParams(params(), True)))
    assert answer["result"] == {} and not worker.progress
    first = worker.send("warm", WarmUpParams(params()))
    job = worker.send("run", params("a" * 32))
    assert worker.answer(first)["result"] == {}
    assert "result" in worker.answer(job)
    assert not any(report.sentence.startswith("Loading") for report in worker.progress)


def test_a_run_ends_the_warm_up_that_waits_or_works(params):
    """As the listener sees it, whatever the main thread is at."""
    said: list[bytes] = []
    listener = RequestListener(0, said.append, lambda _code: None)
    for number in (1, 2):
        listener._endpoint.feed(Request(number, "warm", to_json(WarmUpParams(params()))).line())
    listener._endpoint.feed(Request(3, "run", to_json(params("a" * 32))).line())
    first, second, run = (listener.tasks.get_nowait() for _ in range(3))
    assert first.ended.is_set() and second.ended.is_set() and not run.canceled.is_set()
    listener._endpoint.feed(Request(4, "warm", to_json(WarmUpParams(params()))).line())
    refused = in_english(json.loads(said[-1]))
    assert refused["id"] == 4 and "error" in refused, "beside a job there is none"
