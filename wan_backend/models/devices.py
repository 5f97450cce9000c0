"""Which device a job runs on, what memory it has, and what its errors mean. May import torch, psutil, protocol."""

from __future__ import annotations

import gc

import psutil
import torch

from ..protocol.errors import Refusal
from ..protocol.messages import Problem, ProblemKind

_OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def choose(wish: str) -> torch.device:
    """The device for `wish`: "auto", "cuda" (also AMD cards with ROCm), "mps" or "cpu".

    Raises Refusal where the wish can't be met here.
    """
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wish == "auto":
        return torch.device(next(name for name, found in here.items() if found))
    if wish not in here:
        raise Refusal(Problem(ProblemKind.BAD_DEVICE, f'There is no device "{wish}"; choose auto, cuda, mps or cpu.'))
    if not here[wish]:
        sentence = (
            f"The backend's torch ({torch.__version__}) finds no {wish} device on this machine; set the device "
            "to auto in the preferences, or set up the backend again for this card."
        )
        raise Refusal(Problem(ProblemKind.BAD_DEVICE, sentence))
    return torch.device(wish)


def name(device: torch.device) -> str:
    """What a person calls the device: "cuda (NVIDIA H200)", "mps", "cpu"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


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


def release(device: torch.device) -> None:
    """Give memory that nothing uses back to the system."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """True where `error` says that the card's or the machine's memory is spent."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _OUT_OF_MEMORY_WORDS)
