"""Blocks whose frozen weights visit the device, on the way forward and, in the other order, on the way back.

Of a take, only the way forward is known to `block_offload`. On the way back a block is computed again and then gives
its gradients, for which its weights must still be there: a buffer is free for another block only once all that the
device was asked for before is done. The adapters, which are trained, stay on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..loading.block_offload import BUFFERS, BlockOffload


class TrainedBlocks(BlockOffload):
    """A transformer with adapters, that runs on a device block by block between `enter` and `leave`."""

    def __init__(self, module: nn.Module, blocks: Sequence[nn.Module], device: torch.device) -> None:
        """`blocks` are in the order in which they work."""
        super().__init__(module, blocks, device, left=())
        self._last_block, self._back = len(blocks) - 1, False

    def turn(self, back: bool) -> None:
        """The next blocks to work are those of the way back, or again of the way forward."""
        self._back = back
        if self._entered:
            self._coming.clear()  # what was foreseen doesn't come

    def _arrive(self, number: int) -> None:
        if self._side is not None and self._entered:  # also what the block before still does on its way back
            self._free = [self._now(torch.cuda.current_stream(self.device))] * BUFFERS
        super()._arrive(number)

    def _following(self, number: int) -> int:
        if self._back:
            return max(0, number - 1)
        return number + 1 if number < self._last_block else (number if torch.is_grad_enabled() else 0)

    def _learn(self, before: int, number: int) -> None:
        """The order is known."""


def trained_blocks(transformer: Any, device: torch.device) -> TrainedBlocks:
    """The blocks of a transformer, which must be on the CPU."""
    return TrainedBlocks(transformer, [*getattr(transformer, "vace_blocks", ()), *transformer.blocks], device)
