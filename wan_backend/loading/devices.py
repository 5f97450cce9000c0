"""Which device a job runs on, what memory it has, and what its errors mean."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator

import psutil
import torch
from safetensors import SafetensorError

from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind
from ..protocol.sentences import Sentence
from ..storage import guarded_files

_OUT_OF_MEMORY = re.compile(
    r"out[ _]?of[ _]?(?:device[ _]|host[ _])?memory|out_of_resources|(?:can't|cannot|could not) allocate memory"
    r"|not enough memory|insufficient memory|bad[_ ]alloc|memoryallocation"
    r"|(?:cublas|cudnn|cusolver|cusparse|cufft|hipblas|rocblas|miopen)\w*alloc\w*failed|rocblas_status_memory_error"
    r"|(?:cublas|cudnn|cusolver|cusparse|hipblas|rocblas)_status_not_initialized"
    r"|device_allocation_failed|would exceed allowed memory|invalid buffer size|total bytes of ndarray"
    r"|tensor dim(?:ension)?s? larger than int_max|(?:failed|unable) to allocate|paging file is too small",
    re.IGNORECASE,
)
"""How torch and what is below it (CUDA's, AMD's and Apple's libraries, the C++ runtime) say it.

A library that could not be initialized says so because there was no room for its own needs, nearly always.
"""
_OF_MACHINE = re.compile(
    r"DefaultCPUAllocator|cannot allocate memory|bad[_ ]alloc|paging file is too small|out[ _]of[ _]host[ _]memory",
    re.IGNORECASE,
)


_CARD_FAILED = re.compile(
    r"(?:CUDA|HIP) error: (?!invalid (?:argument|device ordinal|configuration)|no kernel image)"
    r"|CUDNN_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR)|GPU is lost",
    re.IGNORECASE,
)
"""How torch says that a card, or the process's part of it, can't be used any more; those that are left out only say
that a call was wrong."""


def choose(wish: str) -> torch.device:
    """The device for `wish`: "auto", "cuda" (also AMD cards with ROCm), "mps" or "cpu".

    Raises Refusal if the wish can't be met here.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wish == "auto":
        return torch.device(next(name for name, found in here.items() if found))
    if wish not in here:
        raise Refusal(
            Problem(
                ProblemKind.BAD_DEVICE,
                Sentence('There is no device "{wish}"; choose auto, cuda, mps or cpu.', wish=wish),
            )
        )
    if not here[wish]:
        sentence = Sentence(
            "The backend's torch ({version}) finds no {wish} device on this machine; set the device "
            "to auto in the preferences, or set up the backend again for this card.",
            version=torch.__version__,
            wish=wish,
        )
        raise Refusal(Problem(ProblemKind.BAD_DEVICE, sentence))
    return torch.device(wish)


def name(device: torch.device) -> str:
    """What a person calls the device: "cuda (NVIDIA H200)", "mps", "cpu"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


def widest_format(device: torch.device) -> torch.dtype:
    """The format of the most exact numbers that it computes with: Apple's cards have no 64 bit."""
    return torch.float32 if device.type == "mps" else torch.float64


def free_bytes(device: torch.device) -> int:
    """Bytes on `device` that a job could still have, with what torch holds in reserve counted as free."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    free, _total = torch.cuda.mem_get_info(device)
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + reserve)


def total_bytes(device: torch.device) -> int:
    """All the memory that `device` has; asked so that nothing is taken of it."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().total)
    return int(torch.cuda.get_device_properties(device).total_memory)


def used_bytes(device: torch.device) -> tuple[int, int]:
    """Bytes that this process has reserved of a card's memory, and that all programs use of it."""
    free, total = torch.cuda.mem_get_info(device)
    return int(torch.cuda.memory_reserved(device)), int(total - free)


def begin_peak(device: torch.device) -> None:
    """From now on, `peak_bytes` counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """The most that torch had of a card's memory since `begin_peak`; 0 where that isn't counted."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else 0


def release(device: torch.device) -> None:
    """Give memory that nothing uses back to the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """True if `error`, or what it came of, says that the card's or the machine's memory is spent."""
    return any(_is_of_card(each) or guarded_files.is_out_of_memory(each) for each in _chain(error))


def card_failure(error: BaseException) -> str:
    """The line of `error` that says that nothing runs on the card in this process any more; empty if none does.

    After such an error each further call fails, as the driver has given up the process's work.
    """
    if is_out_of_memory(error):
        return ""
    lines = (line for each in _chain(error) if isinstance(each, RuntimeError) for line in str(each).splitlines())
    return next((line.strip() for line in lines if _CARD_FAILED.search(line)), "")


def is_out_of_machines_memory(error: BaseException) -> bool:
    """True if it was the machine's own memory, whatever device is used."""
    return any(guarded_files.is_out_of_memory(each) or _OF_MACHINE.search(str(each)) for each in _chain(error))


def _is_of_card(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return (
        isinstance(error, RuntimeError | SafetensorError | ImportError)
        and _OUT_OF_MEMORY.search(str(error)) is not None
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was raised for; libraries wrap what they don't know. A Refusal stands for itself."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and not isinstance(found, Refusal) and not any(found is each for each in seen):
        seen.append(found)
        yield found
        found = found.__cause__ or found.__context__
