"""A module's visit to a device, after which it has the tensors that it had before: nothing is copied back.

A text encoder of 11 GB took 11 s to come back from a card, and what came back was what had gone there. The machine's
memory holds the weights meanwhile, as the memory plan counts them anyway.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import bulk_copies

Mark = tuple[int, int]


class Visit:
    """`go` to a device, then `end`."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._before = [
            (owner, name, weight, weight.data)
            for owner in module.modules()
            for name, weight in owner._parameters.items()
            if type(weight) is nn.Parameter and weight.device.type == "cpu"
        ]
        self._marks: list[Mark | None] = [None] * len(self._before)

    def go(self, device: torch.device) -> None:
        """Move the module to `device`; if that fails, the visit is still to be ended."""
        bulk_copies.move_to_card(self._module, device)
        self._marks = [_mark(owner._parameters[name]) for owner, name, _weight, _data in self._before]

    def end(self) -> None:
        """Have the module on the CPU; a weight that was changed or replaced on the device is copied."""
        for (owner, name, weight, data), mark in zip(self._before, self._marks, strict=True):
            now = owner._parameters.get(name)
            if now is None or (mark is not None and _mark(now) != mark):
                continue
            weight.data = data
            owner._parameters[name] = weight
        self._module.to("cpu")


def _mark(weight: Tensor) -> Mark:
    """What changes with a tensor's memory or content."""
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version
