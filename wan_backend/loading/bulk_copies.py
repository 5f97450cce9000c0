"""Copies weights by several threads: within the machine's memory, and from there to a card through pinned buffers.

Weights that were loaded are seen in their files. One thread that copies them waits for the system at each page, and
fills a third of the link to a card: 11.4 GB came to an H200 at 5.4 GB/s, and by eight threads at 15.4.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

THREADS = min(8, os.cpu_count() or 1)
PIECE_BYTES = 16 << 20
"""Copied at once; each thread has two pinned buffers of this size, of which one fills while the other is sent."""
BUFFERS = 2
LEAST_BYTES = 64 << 20
"""Less than this is moved sooner than threads are started."""

Copy = tuple[Tensor, Tensor]
"""Where to, and where from: two tensors of one size in bytes, contiguous, with nothing in common."""


def copy_within_memory(copies: Sequence[Copy]) -> None:
    """Make the copies on the CPU, all at once."""
    _in_threads(list(_pieces(copies)), lambda target, source: np.copyto(target.numpy(), source.numpy()))


def move_to_card(module: Any, device: torch.device) -> None:
    """What `module.to(device)` does, sooner where much is on the CPU and `device` is a card.

    Raises torch.OutOfMemoryError, with the weights left where they were as far as they are moved here.
    """
    weights = _plain_weights(module) if device.type == "cuda" else []
    if weights and sum(weight.nbytes for weight in weights) >= LEAST_BYTES:
        _send(weights, device)
    module.to(device)


def _plain_weights(module: nn.Module) -> list[nn.Parameter]:
    """Each parameter once that is an ordinary one, contiguous and on the CPU."""
    found = {id(weight): weight for weight in module.parameters()}
    return [
        weight
        for weight in found.values()
        if type(weight) is nn.Parameter and weight.device.type == "cpu" and weight.is_contiguous()
    ]


def _send(weights: Sequence[nn.Parameter], device: torch.device) -> None:
    there = [torch.empty_like(weight.data, device=device) for weight in weights]
    copies = list(zip(there, (weight.data for weight in weights), strict=True))
    if not _sent(copies, device):
        return
    for weight, moved in zip(weights, there, strict=True):
        weight.data = moved


def copy_from_memory(copies: Sequence[Copy], device: torch.device) -> None:
    """Make the copies from the CPU to `device`; they are there when it returns."""
    if device.type != "cuda":
        copy_within_memory(copies)
    elif not _sent(copies, device):
        for target, source in copies:
            target.copy_(source)


def _sent(copies: Sequence[Copy], device: torch.device) -> bool:
    """Make the copies to a card through pinned buffers; False if the system doesn't give those."""
    sender = _Sender(device)
    try:
        _in_threads(list(_pieces(copies)), sender.send)
        torch.cuda.synchronize(device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # a system limits how much memory is pinned
        torch.cuda.synchronize(device)
        log.warning("weights are moved without pinned buffers: %s", error)
        return False
    return True


class _Sender:
    """Sends pieces to a card, from any number of threads."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._of_thread = device, threading.local()

    def send(self, target: Tensor, source: Tensor) -> None:
        """Begin to send a piece; it is there once the card has done all that it was given."""
        own = self._own()
        buffer, sent = own.buffers[own.next]
        if sent is not None:
            sent.synchronize()
        filled = buffer[: source.numel()]
        np.copyto(filled.numpy(), source.numpy())
        with torch.cuda.stream(own.stream):
            target.copy_(filled, non_blocking=True)
            own.buffers[own.next] = (buffer, own.stream.record_event())
        own.next = (own.next + 1) % BUFFERS

    def _own(self) -> Any:
        own = self._of_thread
        if not hasattr(own, "stream"):
            own.buffers = [(torch.empty(PIECE_BYTES, dtype=torch.uint8, pin_memory=True), None) for _ in range(BUFFERS)]
            own.next = 0
            own.stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            own.stream.wait_stream(torch.cuda.default_stream(self._device))
        return own


def _pieces(copies: Sequence[Copy]) -> Iterator[Copy]:
    for target, source in copies:
        to, come = as_bytes(target), as_bytes(source)
        for start in range(0, come.numel(), PIECE_BYTES):
            yield to[start : start + PIECE_BYTES], come[start : start + PIECE_BYTES]


def as_bytes(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, in a row; its own where it is contiguous."""
    return tensor.detach().as_subclass(Tensor).reshape(-1).view(torch.uint8)


def _in_threads(pieces: Sequence[Copy], copy: Callable[[Tensor, Tensor], Any]) -> None:
    if len(pieces) < 2:
        for target, source in pieces:
            copy(target, source)
        return
    with ThreadPoolExecutor(min(THREADS, len(pieces)), "weights") as pool:
        for _done in pool.map(lambda piece: copy(*piece), pieces):
            pass
