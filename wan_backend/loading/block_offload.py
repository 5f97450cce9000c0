"""Runs a module whose weights don't fit the device: its blocks visit it one by one.

The weights of each block lie together in pinned memory of the machine, so that one copy brings a block; the next one
comes while a block works, into the other of two buffers on the device. Where there is room for more, some blocks stay
there, spread evenly, so that the copies of the others have more time. Nothing is ever copied back: weights don't change
while they run. The module's parameters point into the machine's memory whenever no block runs, so that whatever looks
at them or changes them there (LoRAs, saving) finds them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import bulk_copies

log = logging.getLogger(__name__)

ALIGNMENT = 256
"""Bytes: where a tensor may begin, in multiples of this, so that every kernel takes it."""
BUFFERS = 2
"""On the device for blocks that visit: one works, one comes."""


Copy = Callable[[Tensor, Tensor], None]
"""Copies a block's weights to the device: a function of the buffer there and the pack, on the stream of copies."""


def copy_pack(target: Tensor, pack: Tensor) -> None:
    """Begin to copy `pack` to `target`, which is as large."""
    target.copy_(pack, non_blocking=True)


@dataclass(frozen=True)
class Slot:
    """Where a tensor of a block lies in its pack."""

    tensor: Tensor
    start: int
    shape: torch.Size
    dtype: torch.dtype

    @property
    def size_bytes(self) -> int:
        """Bytes of the tensor."""
        return self.shape.numel() * self.dtype.itemsize

    def within(self, pack: Tensor) -> Tensor:
        """The tensor as it lies in `pack`."""
        return pack[self.start : self.start + self.size_bytes].view(self.dtype).view(self.shape)


def slots_of(tensors: Sequence[Tensor]) -> tuple[list[Slot], int]:
    """Where they lie one after another in a pack, and the bytes of that."""
    slots, end = [], 0
    for tensor in tensors:
        slots.append(Slot(tensor, end, tensor.shape, tensor.dtype))
        end += aligned(slots[-1].size_bytes)
    return slots, end


def aligned(size_bytes: int) -> int:
    """So many bytes, and those to where the next tensor may begin."""
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


class Block:
    """One block's tensors, packed in the machine's memory."""

    def __init__(self, module: nn.Module, pinned: bool) -> None:
        self.module = module
        self._to_pin = pinned
        self.pinned = False
        self.slots: list[Slot] = []
        self.pack = torch.empty(0, dtype=torch.uint8)
        self.pack_again()

    def __del__(self) -> None:
        self.unpin()

    @property
    def size_bytes(self) -> int:
        """Bytes of the pack."""
        return self.pack.numel()

    def pack_again(self) -> None:
        """Pack the tensors, unless they are those that are packed already. Their data is on the CPU then.

        Those that are trained are left where they are.
        """
        tensors = [tensor for tensor in tensors_of(self.module) if not tensor.requires_grad]
        if [id(tensor) for tensor in tensors] == [id(slot.tensor) for slot in self.slots]:
            return
        slots, end = slots_of(tensors)
        pack = torch.empty(end, dtype=torch.uint8)
        homes = [slot.within(pack) for slot in slots]
        bulk_copies.copy_within_memory(
            [(home, slot.tensor.data.contiguous()) for home, slot in zip(homes, slots, strict=True)]
        )
        for slot, home in zip(slots, homes, strict=True):
            slot.tensor.data = home
        self.unpin()
        self.slots, self.pack = slots, pack
        self.pinned = self._to_pin and _pin(pack)

    def unpin(self) -> None:
        """Let the system move the pack's pages again."""
        if self.pinned:
            torch.cuda.cudart().cudaHostUnregister(self.pack.data_ptr())  # type: ignore[no-untyped-call]
            self.pinned = False

    def point_into(self, pack: Tensor) -> None:
        """Have the tensors be those of `pack`, a copy of this block's."""
        for slot in self.slots:
            slot.tensor.data = slot.within(pack)

    def come_home(self) -> None:
        """Have the tensors be those in the machine's memory."""
        self.point_into(self.pack)


class BlockOffload:
    """A module that runs on `device` block by block between `enter` and `leave`; `offload_of` finds it again."""

    def __init__(
        self,
        module: nn.Module,
        blocks: Sequence[nn.Module],
        device: torch.device,
        left: Sequence[str],
        copy: Copy | None = None,
    ) -> None:
        """`left` are names of submodules that stay and run where they are; `copy` is used in place of `copy_pack`."""
        self.module, self.device, self._copy = module, device, copy
        self._side: Any = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._blocks = self._packed(blocks)
        self._number = {id(block.module): number for number, block in enumerate(self._blocks)}
        self._after = {number: (number + 1) % len(self._blocks) for number in range(len(self._blocks))}
        self._left = tuple(left)
        self._entered = False
        self._staying: dict[int, Tensor] = {}
        self._ends: list[tuple[Tensor, Tensor]] = []
        self._hooks = [hook for block in self._blocks for hook in self._hooked(block.module)]

    def _packed(self, blocks: Sequence[nn.Module]) -> Sequence[Block]:
        self.module.to("cpu")
        packed: list[Block] = []
        for block in blocks:  # once the system won't pin more, the others aren't tried
            pinned = all(before.pinned for before in packed)
            packed.append(Block(block, self.device.type == "cuda" and pinned))
        return packed

    def _hooked(self, block: nn.Module) -> Iterator[Any]:
        yield block.register_forward_pre_hook(lambda module, _inputs: self._arrive(self._number[id(module)]))
        yield block.register_forward_hook(lambda module, _inputs, _out: self._depart(self._number[id(module)]))

    @property
    def pack_bytes(self) -> list[int]:
        """The size of each block's weights, as they lie together."""
        return [block.size_bytes for block in self._blocks]

    @property
    def staying(self) -> frozenset[int]:
        """The numbers of the blocks that stay on the device until `leave`."""
        return frozenset(self._staying)

    def enter(self, room_bytes: int = 0) -> None:
        """Bring to the device what lies outside of the blocks, and of those as many as `room_bytes` hold.

        Raises torch.OutOfMemoryError, with all of it left again.
        """
        self.leave()
        for block in self._blocks:
            block.pack_again()
        self._entered = True
        try:
            largest = max(block.size_bytes for block in self._blocks)
            self._buffers = [torch.empty(largest, dtype=torch.uint8, device=self.device) for _ in range(BUFFERS)]
            self._free: list[Any] = [None] * BUFFERS
            self._coming: dict[int, tuple[int, Any]] = {}
            self._last: int | None = None
            if self._side is not None:  # what the buffers held before may still be at work
                self._side.wait_stream(torch.cuda.current_stream(self.device))
            self._bring_ends()
            self._keep_some(room_bytes)
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Take everything from the device; the weights are in the machine's memory, as always."""
        if not self._entered:
            return
        if self._side is not None:
            torch.cuda.synchronize(self.device)
        for block in self._blocks:
            block.come_home()
        for tensor, home in self._ends:
            tensor.data = home
        self._ends, self._staying, self._entered = [], {}, False
        self._buffers, self._free, self._coming = [], [], {}

    def remove(self) -> None:
        """Leave, and be an ordinary module on the CPU again."""
        self.leave()
        for hook in self._hooks:
            hook.remove()
        for block in self._blocks:
            block.unpin()

    def outside(self) -> Iterator[Tensor]:
        """What is in no block, and not left where it is: embeddings, the head, tables."""
        inside = {id(tensor) for block in self._blocks for tensor in tensors_of(block.module)}
        inside |= {id(tensor) for name in self._left for tensor in tensors_of(self.module.get_submodule(name))}
        return (tensor for tensor in tensors_of(self.module) if id(tensor) not in inside)

    def _bring_ends(self) -> None:
        for tensor in list(self.outside()):
            self._ends.append((tensor, tensor.data))
            tensor.data = tensor.data.to(self.device)

    def _keep_some(self, room_bytes: int) -> None:
        """Blocks that stay on the device; those that visit are spread among them."""
        size = max(block.size_bytes for block in self._blocks)
        stay = min(len(self._blocks), max(0, room_bytes // size)) if size else len(self._blocks)
        visit = len(self._blocks) - stay
        visitors = {step * len(self._blocks) // visit for step in range(visit)} if visit else set()
        for number, block in enumerate(self._blocks):
            if number not in visitors:
                self._staying[number] = block.pack.to(self.device, non_blocking=True)
                block.point_into(self._staying[number])
        log.info("%d of %d blocks stay on %s, the others visit it", len(self._staying), len(self._blocks), self.device)

    def _arrive(self, number: int) -> None:
        """A block is about to work: have its weights there, and the next one's on their way."""
        if not self._entered:
            return
        if self._last is not None:
            self._learn(self._last, number)
        self._last = number
        if number not in self._staying:
            buffer, event = self._coming.pop(number) if number in self._coming else self._fetch(number, avoid=None)
            if event is not None:
                torch.cuda.current_stream(self.device).wait_event(event)
            self._blocks[number].point_into(self._buffers[buffer])
            self._working = buffer
        self._fetch_next(number)

    def _learn(self, before: int, number: int) -> None:
        """What came after a block now will come after it in the next step."""
        self._after[before] = number

    def _following(self, number: int) -> int:
        """The block that probably works after that one."""
        return self._after[number]

    def _fetch_next(self, number: int) -> None:
        """Start bringing the next block that isn't there, if a buffer is free for it."""
        following = self._following(number)
        for _ in self._blocks:
            if following not in self._staying:
                break
            following = self._following(following)
        else:
            return
        working = None if number in self._staying else self._working
        if (
            following != number
            and following not in self._coming
            and len(self._coming) < BUFFERS - (working is not None)
        ):
            self._coming[following] = self._fetch(following, avoid=working)

    def _fetch(self, number: int, avoid: int | None) -> tuple[int, Any]:
        """The buffer that a block's weights are copied to, and the event that they are there (None: they are)."""
        taken = {buffer for buffer, _ in self._coming.values()} | {avoid}
        free = [buffer for buffer in range(BUFFERS) if buffer not in taken]
        if not free:  # what was foreseen did not come
            self._coming.clear()
            free = [buffer for buffer in range(BUFFERS) if buffer != avoid]
        buffer = free[0]
        target = self._buffers[buffer][: self._blocks[number].size_bytes]
        if self._side is None:
            self._fill(target, number)
            return buffer, None
        with torch.cuda.stream(self._side):
            if self._free[buffer] is not None:
                self._side.wait_event(self._free[buffer])
            self._fill(target, number)
            event = self._now(self._side)
        return buffer, event

    def _fill(self, target: Tensor, number: int) -> None:
        """Begin to bring that block's pack to `target`, on the stream that is set."""
        (self._copy or copy_pack)(target, self._blocks[number].pack)

    def _depart(self, number: int) -> None:
        """A block has been asked to do all its work: its buffer is free once that is done."""
        if not self._entered or number in self._staying:
            return
        self._blocks[number].come_home()
        if self._side is not None:
            self._free[self._working] = self._now(torch.cuda.current_stream(self.device))

    @staticmethod
    def _now(stream: Any) -> Any:
        """The event that all that `stream` was given is done."""
        event: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(stream)
        return event


def tensors_of(module: nn.Module) -> Iterator[Tensor]:
    """The parameters and buffers of a module, each once."""
    seen: set[int] = set()
    for tensor in (*module.parameters(), *module.buffers()):
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield tensor


def _pin(pack: Tensor) -> bool:
    """Keep the pack's pages in their place, which makes copies fast and lets them run beside other work.

    torch's own pinned memory comes in powers of two, which may be twice what is wanted.
    """
    if not pack.numel():
        return False
    failed = int(torch.cuda.cudart().cudaHostRegister(pack.data_ptr(), pack.numel(), 0))  # type: ignore[no-untyped-call]
    if not failed:
        return True
    # The system allows only so much. CUDA keeps the error for whoever asks next, which would be some kernel of a take.
    with suppress(RuntimeError):
        torch.zeros(1, device="cuda").add_(1)
        torch.cuda.synchronize()
    log.warning("memory can't be pinned (CUDA error %d), so copies to the device are slower", failed)
    return False


BLOCKS = {
    "transformer": ("blocks", "vace_blocks"),
    "transformer_2": ("blocks", "vace_blocks"),
    "text_encoder": ("encoder.block",),
    "image_encoder": ("vision_model.encoder.layers", "encoder.layers"),
}
"""Where a component keeps its blocks: all of those that are there."""
LEFT = {"text_encoder": ("shared",)}
"""A quarter of a million words' embeddings are looked up where they lie."""


def offload_of(module: Any) -> BlockOffload | None:
    """The block offload that `module` runs by; None if it is an ordinary module."""
    known: BlockOffload | None = getattr(module, "block_offload", None)
    return known


def offloaded(component: str, module: Any, device: torch.device, copy: Copy | None = None) -> BlockOffload:
    """The block offload of a component's `module` to `device`, made unless it has one."""
    known = offload_of(module)
    if known is None:
        known = BlockOffload(module, blocks_of(component, module), device, LEFT.get(component, ()), copy)
        module.block_offload = known
    return known


def blocks_of(component: str, module: Any) -> list[nn.Module]:
    """The blocks of a component's `module`."""
    return [block for name in BLOCKS[component] for block in _named(module, name)]


def _named(module: nn.Module, name: str) -> list[nn.Module]:
    try:
        found: Any = module.get_submodule(name)
        return list(found)
    except AttributeError:
        return []
