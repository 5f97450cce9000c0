"""Stopping a job in the middle of a model's forward pass: a check before each of its blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

ShouldStop = Callable[[], bool]

_BLOCKS_AHEAD = 2
"""How many blocks the CPU may queue ahead of the device: enough to keep it busy, few enough to stop it soon."""


class Stopped(Exception):
    """The work was given up because `should_stop()` was true."""


def never() -> bool:
    """A `should_stop` that lets the work run to its end."""
    return False


def check(should_stop: ShouldStop) -> None:
    """Raise Stopped if `should_stop()` is true."""
    if should_stop():
        raise Stopped


class BlockPacer:
    """Raises Stopped before a block, and keeps the CPU from running far ahead of a CUDA device."""

    def __init__(self, should_stop: ShouldStop, blocks_ahead: int = _BLOCKS_AHEAD) -> None:
        self._should_stop, self._ahead = should_stop, blocks_ahead
        self._events: deque[Any] = deque()

    def enter(self, device: torch.device | None) -> None:
        """To be called before each block; `device` is where it runs, or None if that isn't known."""
        check(self._should_stop)
        if device is not None and device.type == "cuda":
            self._events.append(torch.cuda.current_stream(device).record_event())
            if len(self._events) > self._ahead:
                self._events.popleft().synchronize()


@contextmanager
def checked(blocks: Iterable[nn.Module], should_stop: ShouldStop) -> Iterator[None]:
    """A context in which Stopped is raised before any of `blocks` runs, once `should_stop()` is true.

    On a CUDA device the CPU is also kept from running far ahead, so that a stop finds little work queued. The hooks
    are removed at the end, whatever happened.
    """
    pacer = BlockPacer(should_stop)

    def before(_block: nn.Module, arguments: tuple[Any, ...]) -> None:
        pacer.enter(arguments[0].device if arguments and isinstance(arguments[0], torch.Tensor) else None)

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(before).remove)
        yield
