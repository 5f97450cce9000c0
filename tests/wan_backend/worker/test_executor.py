"""What goes wrong in one job does no harm to the next."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from tests.wan_backend.worker.executors import asked, silent_executor
from wan_backend.loading import chunked_forward, devices
from wan_backend.loading.wan_model import WanModel
from wan_backend.protocol.messages import FrameRate, Plan, RunParams, RunResult, TakeRequest
from wan_backend.worker.executor import Executor
from wan_backend.worker.server_connection import Run

RATE = FrameRate(16)


@pytest.fixture
def executor() -> Executor:
    return silent_executor()


@pytest.fixture
def run(vace_folder, tmp_path):
    def make(folder=vace_folder) -> Run:
        request = TakeRequest("fog", "embedded", 32, 32, 5, RATE, 1, str(tmp_path))
        plan = Plan("embedded", 32, 32, 5, RATE, 5, 2, 3.0, 3.0, "unipc")
        return asked(RunParams("job", request, plan, str(folder), device="cpu"))

    return make


def test_a_model_stays_warm_until_another_is_wanted(executor, run, t2v_folder, tmp_path):
    assert isinstance(executor.run(run()), RunResult)
    first = executor._warm.model
    executor.run(run())
    assert executor._warm.model is first
    assert executor.run(run(tmp_path)).problem.kind == "model_missing"
    assert executor._warm.model is first, "a folder that can't be used must not cost the model that is loaded"
    executor.run(run(t2v_folder))
    assert executor._warm.model is not first


def test_out_of_memory_is_said_and_the_next_job_works(executor, run, monkeypatch):
    executor.run(run())

    def spent(*_arguments, **_more):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(chunked_forward, "_forward", spent)
    problem = executor.run(run()).problem
    assert problem.kind == "out_of_memory" and problem.sentence.startswith("The machine ran out of memory")
    assert not any(executor._warm.model.loaded(component) for component in ("transformer", "vae", "text_encoder"))
    monkeypatch.undo()
    assert isinstance(executor.run(run()), RunResult)


class Ended(BaseException):
    """The process ended."""


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        ("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later.", True),
        ("CUDA error: uncorrectable ECC error encountered", True),
        ("CUDA error: out of memory", False),
        ("CUDA error: invalid argument", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_a_worker_whose_card_fails_ends_so_that_no_further_job_is_given_to_it(
    executor, run, monkeypatch, capfd, words, ends
):
    def fails(*_arguments, **_more):
        raise RuntimeError(words)

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(chunked_forward, "_forward", fails)
    monkeypatch.setattr(os, "_exit", end)
    if ends:
        with pytest.raises(Ended):
            executor.run(run())
        assert capfd.readouterr().err.strip().endswith(words.splitlines()[0])
    else:
        assert executor.run(run()).problem.kind in ("internal", "out_of_memory")


def test_memory_is_given_back_only_once_the_error_is_gone(executor, run, monkeypatch):
    """An error that is still being handled holds, by its traceback, the tensors of its job."""
    executor.run(run())
    handled = []
    monkeypatch.setattr(devices, "release", lambda _device: handled.append(sys.exc_info()[1]))
    monkeypatch.setattr(executor._warm.model.vae.decoder, "forward", lambda *_a, **_k: 1 / 0)
    assert executor.run(run()).problem.kind == "internal"
    assert handled == [None]


def test_a_device_that_is_not_here_is_a_sentence(executor, run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wanted = run()
    problem = executor.run(asked(RunParams(**{**vars(wanted.params), "device": "cuda"}))).problem
    assert problem.kind == "bad_device" and "cuda" in problem.sentence
    assert devices.choose("auto").type in ("cpu", "mps")


def test_a_model_that_was_exchanged_on_the_disk_is_read_anew(executor, run, monkeypatch):
    executor.run(run())
    first = executor._warm.model
    monkeypatch.setattr(WanModel, "unchanged", lambda _self: False)
    executor.run(run())
    assert executor._warm.model is not first
