"""A transformer that several cards hold between them: each has a share of every block's weights and gathers the rest.

It runs as one whose blocks visit the device (`block_offload`), only that they don't come from the machine's memory:
before a block works, the cards gather its weights from one another, into one of two buffers and while the block before
it works. Each card then computes with the whole block, to the bit as if it had it. Nothing of the blocks is kept in the
machine's memory, so whoever stays behind alone reads the transformer again. What is in no block, every card has whole.

The cards have to gather the same blocks in the same order, between the same exchanges of tokens. So each forward pass
begins with nothing on its way and the order known, whatever happened before it; and the next block is asked for at one
place of each, which is where attention begins: it comes while that works, and no token waits for it. That all have
shares of the same weights, they tell one another before (`worker.team`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from . import bulk_copies
from .block_offload import Block, BlockOffload, aligned, blocks_of, offload_of, slots_of, tensors_of
from .token_split import Exchange

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """Which part of each block's weights a card keeps: of so many, the one with that number, counted from 0."""

    rank: int
    size: int


class SharesApart(RuntimeError):
    """A forward pass was asked for without the cards that have the other shares."""


class _SharedBlock(Block):
    """One block, of whose tensors a share is kept on the device."""

    def __init__(self, module: nn.Module, share: Share, device: torch.device) -> None:
        self.module, self.pinned = module, False
        self.slots, end = slots_of(list(tensors_of(module)))
        part = aligned(-(-end // share.size))
        self._whole_bytes = part * share.size
        self.kept = torch.empty(part, dtype=torch.uint8, device=device)
        _copy(list(self._own(share.rank * part)), device)
        self.come_home()

    @property
    def size_bytes(self) -> int:
        """Bytes of all shares together."""
        return self._whole_bytes

    def pack_again(self) -> None:
        """Nothing: the tensors are those whose share is kept."""

    def come_home(self) -> None:
        """Have the tensors take no memory; they know their shapes and formats only."""
        for slot in self.slots:
            slot.tensor.data = torch.zeros((), dtype=slot.dtype).expand(slot.shape)

    def _own(self, start: int) -> Iterator[bulk_copies.Copy]:
        """The bytes of the share, which begins at `start` of the pack: where they go, and where they are now."""
        for slot in self.slots:
            first, last = max(start, slot.start), min(start + self.kept.numel(), slot.start + slot.size_bytes)
            if first < last:
                source = bulk_copies.as_bytes(slot.tensor.data)[first - slot.start : last - slot.start]
                yield self.kept[first - start : last - start], source


class SharedBlocks(BlockOffload):
    """A module of which this card has one share of several; runs between `enter` and `leave`, begun by `begin`."""

    def __init__(self, module: nn.Module, blocks: Sequence[nn.Module], device: torch.device, share: Share) -> None:
        """Keep the share on the device, and let go of all other weights of the blocks, block by block.

        Raises torch.OutOfMemoryError, and whatever reading raises, with the module of no use any more.
        """
        self.share = share
        super().__init__(module, blocks, device, ())
        for tensor in self.outside():
            tensor.data = tensor.data.to("cpu")
        self._exchange: Exchange | None = None
        log.info("%d bytes of %d blocks are kept, a share of %d", self.kept_bytes, len(blocks), share.size)

    def _packed(self, blocks: Sequence[nn.Module]) -> Sequence[_SharedBlock]:
        self._shared = [_SharedBlock(block, self.share, self.device) for block in blocks]
        return self._shared

    @property
    def kept_bytes(self) -> int:
        """Bytes of the share."""
        return sum(block.kept.nbytes for block in self._shared)

    def held_bytes(self, device_type: str) -> int:
        """Bytes of the module that are on such a device: the share, and what is in no block."""
        here = [*(block.kept for block in self._shared), *self.outside()]
        return sum(each.nbytes for each in here if each.device.type == device_type)

    def begin(self, exchange: Exchange | None, order: Sequence[nn.Module]) -> None:
        """A forward pass begins, in which these blocks work in that order; all cards of the exchange begin it.

        Raises SharesApart if there is no exchange between the cards that have the shares.
        """
        if exchange is None or (exchange.rank, exchange.size) != (self.share.rank, self.share.size):
            raise SharesApart("the cards that have the other shares of the weights aren't there")
        self._exchange, self._last = exchange, None
        self._coming.clear()
        numbers = [self._number[id(block)] for block in order]
        self._after = {number: number for number in self._number.values()} | dict(pairwise(numbers))
        self._coming[numbers[0]] = self._fetch(numbers[0], avoid=None)

    def bring_next(self) -> None:
        """Begin to gather the block after the one that works, if there is one."""
        if self._last is not None:
            super()._fetch_next(self._last)

    def leave(self) -> None:
        """Take everything but the share from the device."""
        super().leave()
        self._exchange = None

    def _keep_some(self, room_bytes: int) -> None:
        """No block stays whole."""

    def _learn(self, before: int, number: int) -> None:
        """Nothing: the order is known."""

    def _fetch_next(self, number: int) -> None:
        """Nothing yet: `bring_next` does it."""

    def _fill(self, target: Tensor, number: int) -> None:
        if self._exchange is None:
            raise SharesApart("no forward pass of several cards was begun")
        self._exchange.gather(target, self._shared[number].kept)


def shared_blocks_of(module: Any) -> SharedBlocks | None:
    """What holds a share of the module's weights; None if they are all here."""
    known = offload_of(module)
    return known if isinstance(known, SharedBlocks) else None


def shared(component: str, module: Any, device: torch.device, share: Share) -> SharedBlocks:
    """The shared blocks of a component's `module`, made unless it has them in place of any other offload."""
    known = shared_blocks_of(module)
    if known is None:
        other = offload_of(module)
        if other is not None:
            other.remove()
        known = module.block_offload = SharedBlocks(module, blocks_of(component, module), device, share)
    return known


def _copy(copies: Sequence[bulk_copies.Copy], device: torch.device) -> None:
    bulk_copies.copy_from_memory([each for each in copies if each[1].device.type == "cpu"], device)
    for target, source in copies:
        if source.device.type != "cpu":
            target.copy_(source)
