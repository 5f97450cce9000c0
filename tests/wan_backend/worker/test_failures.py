"""Errors become Problems whose sentence says what to do."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
import torch
from safetensors import SafetensorError

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


def test_a_full_disk_says_how_much_is_free_and_needed(params, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 12_000_000))
    problem = problem_of(OSError(errno.ENOSPC, "No space left on device"), params, "")
    assert problem.kind == "disk_full"
    assert "350 MB" in problem.sentence and "12 MB are free" in problem.sentence


def test_a_disk_that_takes_no_more_though_it_has_room_is_not_told_as_a_full_one(params, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**12, 0, 10**12))
    problem = problem_of(OSError(errno.ENOSPC, "No space left on device"), params, "")
    assert problem.kind == "disk_full" and "as many files as it can" in problem.sentence
    assert "are free" not in problem.sentence and "is full" not in problem.sentence


def test_a_folder_that_can_not_be_written_is_named(params):
    place = params.request.media_folder + os.sep + "job.partial"
    problem = problem_of(PermissionError(errno.EACCES, "Permission denied", place), params, "")
    assert problem.kind == "folder"
    assert f"{place} can't be written (Permission denied)" in problem.sentence
    problem = problem_of(OSError(errno.EIO, "Input/output error", "/models/wan/vae.safetensors"), params, "")
    assert "/models/wan/vae.safetensors can't be read (Input/output error)" in problem.sentence


def test_refusals_and_stops_pass_through(params):
    asked = Problem("bad_size", "Too big.")
    assert problem_of(Refusal(asked), params, "") is asked
    assert problem_of(Stopped(), params, "").kind == "cancelled"


def test_anything_else_is_internal(params):
    problem = problem_of(RuntimeError("mat1 and mat2 shapes cannot be multiplied"), params, "")
    assert problem.kind == "internal" and "RuntimeError" in problem.sentence


def test_a_quota_is_not_told_as_a_full_disk(params):
    problem = problem_of(OSError(errno.EDQUOT, "Disk quota exceeded"), params, "")
    assert problem.kind == "disk_full" and "quota" in problem.sentence and "are free" not in problem.sentence


def _windows(number: int) -> OSError:
    error = OSError(22, "played")
    error.winerror = number
    return error


@pytest.mark.parametrize("error", [
    OSError("The paging file is too small for this operation to complete. (os error 1455)"),
    OSError("页面文件太小，无法完成操作。 (os error 1455)"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    _windows(1455),
    SafetensorError("Error while deserializing header: I/O error: Cannot allocate memory (os error 12)"),
    RuntimeError("Couldn't open file mapping: <torch_1234_1_0>, error code: <1455>"),
])  # fmt: skip
def test_the_machines_own_memory_is_not_told_as_the_cards(params, error):
    problem = problem_of(error, params, "cuda (a card)")
    assert problem.kind == "out_of_memory" and problem.sentence.startswith("This machine's own memory ran out at")


@pytest.mark.parametrize("words", [
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY", "HIP error: hipErrorOutOfMemory",
    "HIPBLAS_STATUS_ALLOC_FAILED", "rocblas_status_memory_error",
    "Invalid buffer size: 26.37 GB", "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    "unable to mmap 28 bytes from file <model.safetensors>: Cannot allocate memory (12)", "std::bad_alloc",
])  # fmt: skip
def test_each_library_has_its_own_words_for_it(params, words):
    assert problem_of(RuntimeError(words), params, "cuda (a card)").kind == "out_of_memory"


def test_what_a_library_wraps_is_still_known_and_a_refusal_stands_for_itself(params):
    try:
        try:
            raise MemoryError
        except MemoryError as inner:
            raise OSError("Unable to load weights from checkpoint file") from inner
    except OSError as wrapped:
        assert problem_of(wrapped, params, "cpu").kind == "out_of_memory"
        refused = Refusal(Problem("model_broken", "It is broken."))
        refused.__cause__ = wrapped
        assert problem_of(refused, params, "cpu").kind == "model_broken"


@pytest.mark.parametrize("error", [
    RuntimeError("CUDA error: device-side assert triggered"), OSError("it went (os error 2)"), ValueError("memory"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
])  # fmt: skip
def test_other_errors_are_no_matter_of_memory(params, error):
    assert problem_of(error, params, "cpu").kind != "out_of_memory"
