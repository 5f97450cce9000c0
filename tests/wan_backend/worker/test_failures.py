"""Errors become Problems whose sentence says what to do."""

from __future__ import annotations

import errno

import pytest
import torch

from wan_backend.pipelines.stopping import Stopped
from wan_backend.protocol.errors import Refusal
from wan_backend.protocol.messages import FrameRate, Plan, Problem, RunParams, TakeRequest
from wan_backend.worker.failures import problem_of


@pytest.fixture
def params(tmp_path) -> RunParams:
    request = TakeRequest("fog", "wan2.1-t2v-1.3b", 1280, 720, 121, FrameRate(24), 1, str(tmp_path / "wan"))
    plan = Plan("wan2.1-t2v-1.3b", 1280, 720, 81, FrameRate(16), 121, 30, 6.0, 8.0, "unipc", disk_bytes=350_000_000)
    return RunParams("job", request, plan, "model")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 10 GB)"),
    ],
)
def test_out_of_memory_offers_less(params, error):
    problem = problem_of(error, params, "The graphics card")
    assert problem.kind == "out_of_memory"
    assert "1280 x 720" in problem.sentence and "smaller" in problem.sentence
    fixes = {fix.setting: fix.value for fix in problem.fixes}
    assert fixes["resolution"] == "480p"
    assert 0 < int(fixes["length_frames"]) < 121


def test_a_real_allocation_that_fails_is_out_of_memory(params):
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert problem_of(caught.value, params, "The machine").kind == "out_of_memory"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_how_much_is_free_and_needed(params, number):
    problem = problem_of(OSError(number, "No space left on device"), params, "")
    assert problem.kind == "disk_full"
    assert "350 MB" in problem.sentence and "are free" in problem.sentence


def test_a_folder_that_can_not_be_written_is_named(params):
    error = PermissionError(errno.EACCES, "Permission denied", "/films/wan/job.partial")
    problem = problem_of(error, params, "")
    assert problem.kind == "folder"
    assert "/films/wan/job.partial" in problem.sentence and "Permission denied" in problem.sentence


def test_refusals_and_stops_pass_through(params):
    asked = Problem("bad_size", "Too big.")
    assert problem_of(Refusal(asked), params, "") is asked
    assert problem_of(Stopped(), params, "").kind == "cancelled"


def test_anything_else_is_internal(params):
    problem = problem_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), params, "")
    assert problem.kind == "internal" and "RuntimeError" in problem.sentence
