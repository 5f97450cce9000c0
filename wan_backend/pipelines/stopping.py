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
    """Raise Stopped where `should_stop()` is true."""
    if should_stop():
        raise Stopped


@contextmanager
def checked(blocks: Iterable[nn.Module], should_stop: ShouldStop) -> Iterator[None]:
    """A context in which Stopped is raised before any of `blocks` runs, once `should_stop()` is true.

    On a CUDA device the CPU is also kept from running far ahead, so that a stop finds little work queued. The hooks
    are removed at the end, whatever happened.
    """
    events: deque[Any] = deque()

    def before(_block: nn.Module, arguments: tuple[Any, ...]) -> None:
        check(should_stop)
        if arguments and isinstance(arguments[0], torch.Tensor) and arguments[0].is_cuda:
            events.append(torch.cuda.current_stream(arguments[0].device).record_event())
            if len(events) > _BLOCKS_AHEAD:
                events.popleft().synchronize()

    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(before).remove)
        yield
