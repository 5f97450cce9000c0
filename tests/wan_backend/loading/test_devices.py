"""In what words the libraries below say that memory is spent, and whose memory it was."""

from __future__ import annotations

import pytest

from wan_backend.loading import devices

CARDS = [
    "CUDA error: out of memory", "CUDA driver error: out of memory", "CUDA error: cudaErrorMemoryAllocation",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "CUFFT_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED",
    "NCCL Error 1: unhandled cuda error, last error: Cuda failure 2 'out of memory'",
    "Allocation on device 0 would exceed allowed memory.",
    "HIP out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.98 GiB",
    "HIP error: out of memory", "MIOPEN error: miopenStatusAllocFailed", "HIPBLAS_STATUS_NOT_INITIALIZED",
    "MPS backend out of memory (MPS allocated: 18.00 GB, other allocations: 384.00 KB, max allowed: 18.13 GB)",
    "Failed to allocate private MTLBuffer for size 805306368",
    "MPSGraph does not support tensor dims larger than INT_MAX",
    "[MPSNDArray initWithDevice:descriptor:] Error: total bytes of NDArray > 2**32",
    "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
]  # fmt: skip
"""Of NVIDIA's libraries, AMD's, Apple's and Intel's."""
MACHINES = [
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."
    ),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12"),
    RuntimeError("unable to mmap 28 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
    RuntimeError("std::bad_alloc"), RuntimeError("bad allocation"),
    RuntimeError("UR error: UR_RESULT_ERROR_OUT_OF_HOST_MEMORY"),
    ImportError("DLL load failed while importing _C: The paging file is too small for this operation to complete."),
    OSError('[WinError 1455] The paging file is too small. Error loading "torch\\lib\\cufft64_10.dll"'),
    MemoryError("Unable to allocate 3.71 GiB for an array with shape (81, 720, 1280, 3)"),
]  # fmt: skip
OTHERS = [
    "CUDA error: device-side assert triggered", "CUDA error: an illegal memory access was encountered",
    "CUDA error: no kernel image is available for execution on the device",
    "Expected all tensors to be on the same device",
    "out of resource: shared memory, Required: 131072, Hardware limit: 101376", "cuDNN error: CUDNN_STATUS_BAD_PARAM",
    "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`", "index out of range in self",
    "pin_memory() needs a device", "NCCL error: unhandled system error",
]  # fmt: skip


@pytest.mark.parametrize("words", CARDS)
def test_a_card_whose_memory_is_spent_is_known_by_its_librarys_words(words):
    assert devices.is_out_of_memory(RuntimeError(words))
    assert not devices.is_out_of_machines_memory(RuntimeError(words))


@pytest.mark.parametrize("error", MACHINES, ids=str)
def test_the_machines_own_memory_is_told_from_the_cards(error):
    assert devices.is_out_of_memory(error) and devices.is_out_of_machines_memory(error)


@pytest.mark.parametrize("words", OTHERS)
def test_what_is_no_matter_of_memory_climbs_down_no_ladder(words):
    assert not devices.is_out_of_memory(RuntimeError(words))
