"""Pictures leave the device while the next ones are computed, and are used while both go on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")

DEPTH = 1
"""The number of finished items that may wait while the next one is made."""
_LOOK_SECONDS = 0.05
"""How soon a thread notices that its items aren't wanted any more."""


class NoPictures(Exception):
    """What an autoencoder made of the latents is not finite numbers."""


@dataclass(frozen=True)
class Transfer:
    """Frames on their way from the device to the CPU."""

    frames: torch.Tensor
    is_finite: torch.Tensor
    """One bool: whether the numbers that the frames were made from are finite."""
    event: Any
    """The CUDA event after which they are on the CPU; None if they are there already."""

    @classmethod
    def begin(cls, frames: torch.Tensor, is_finite: torch.Tensor) -> Transfer:
        """Begin to copy both, while the device goes on with other work."""
        if frames.device.type != "cuda":
            return cls(frames.cpu(), is_finite.cpu(), None)
        here, whether = _pinned(frames), _pinned(is_finite)
        return cls(here, whether, record(frames.device))

    def wait(self) -> torch.Tensor:
        """The frames, once they are on the CPU; raises NoPictures."""
        if self.event is not None:
            self.event.synchronize()
        if not bool(self.is_finite):
            raise NoPictures
        return self.frames


def copied(tensor: torch.Tensor) -> torch.Tensor:
    """A contiguous copy on the CPU; of a tensor on a card, once that has done what it was given (`record`)."""
    tensor = tensor.detach()
    if tensor.device.type != "cuda":
        return tensor.to("cpu", copy=True).contiguous()
    return _pinned(tensor.contiguous())


def record(device: torch.device) -> Any:
    """The CUDA event after which all copies that were begun are there; None where they are there already."""
    return torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None


def _pinned(tensor: torch.Tensor) -> torch.Tensor:
    try:
        here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    except RuntimeError:  # a system limits how much memory is pinned
        return tensor.cpu()
    return here.copy_(tensor, non_blocking=True)


@dataclass(frozen=True)
class _End:
    """The end of the generator, with the error that it ended with."""

    error: BaseException | None = None


def ahead(items: Generator[Item, None, None], depth: int = DEPTH) -> Iterator[Item]:
    """Yield `items`, which a thread makes `depth` + 1 ahead; an error of theirs is raised here, after the items before.

    A caller that leaves early waits for the item that is being made, and `items` is closed.
    """
    made: queue.Queue[Item | _End] = queue.Queue(depth)
    left = threading.Event()
    thread = threading.Thread(target=_make, args=(items, made, left), name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = made.get()
            if isinstance(item, _End):
                break
            yield item
            del item
        if item.error is not None:
            error = item.error
            try:
                del item  # it holds the error, whose traceback holds this frame and the thread's tensors
                raise error
            finally:
                del error
    finally:
        left.set()
        thread.join()


def _make(items: Generator[Item, None, None], made: queue.Queue[Item | _End], left: threading.Event) -> None:
    try:
        for item in items:
            if not _put(made, item, left):
                return
            del item
        _put(made, _End(), left)
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that takes the items
        _put(made, _End(error), left)
    finally:
        items.close()


def _put(made: queue.Queue[Item | _End], item: Item | _End, left: threading.Event) -> bool:
    """False if the items aren't wanted any more."""
    while not left.is_set():
        try:
            made.put(item, timeout=_LOOK_SECONDS)
        except queue.Full:
            continue
        return True
    return False
