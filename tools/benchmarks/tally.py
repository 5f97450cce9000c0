"""Counts what a piece of work asks of any device: kernels, copies, waits, bytes over the bus, and the peak of memory.

Seconds can be measured only on a card, but these counts are the same on the CPU, so tests can check them. What is one
kernel on a card counts as one here, see `AS_ONE`.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from wan_backend.loading import block_offload
from wan_backend.loading.pointwise import TorchPointwise
from wan_backend.pipelines import channel_norm

AS_ONE: tuple[tuple[Any, str], ...] = (
    (channel_norm, "add_and_normalize"),
    (channel_norm, "upsample"),
    *((TorchPointwise, name) for name in ("normed", "rotated", "gated", "gated_normed", "added_normed")),
)
"""Functions and methods, with what has them, that are one kernel each with Triton."""
_COPY_PACK = block_offload.copy_pack
_COPIES = ("cat", "clone", "constant_pad_nd", "copy_", "_to_copy", "contiguous", "repeat_interleave", "stack")
_WAITS = ("_local_scalar_dense", "item", "nonzero", "is_nonzero")
_VIEWS = (
    "view", "permute", "slice", "select", "unsqueeze", "squeeze", "transpose", "expand", "detach", "split", "chunk",
    "split_with_sizes", "alias", "as_strided", "t", "_unsafe_view", "unbind", "empty", "new_empty", "empty_like",
)  # fmt: skip


@dataclass
class Tally:
    """What was counted; tensors that existed before are not."""

    kernels: Counter[str] = field(default_factory=Counter)
    """By name."""
    copied_bytes: int = 0
    """Bytes written by kernels that only copy."""
    waits: int = 0
    """How often the CPU waits for a number of the device."""
    bus_bytes: int = 0
    """Bytes of the weights that block offload copies to the device."""
    peak_bytes: int = 0
    """The largest size of all tensors that existed at once."""

    @property
    def launches(self) -> int:
        """The number of kernels."""
        return self.kernels.total()


@contextmanager
def tallied() -> Iterator[Tally]:
    """A context in which the work of this thread is counted."""
    mode = _Mode()
    with ExitStack() as patches:
        for owner, name in AS_ONE:
            patches.enter_context(mock.patch.object(owner, name, mode.as_one(owner, name)))
        patches.enter_context(mock.patch.object(block_offload, "copy_pack", mode.copy_pack))
        with mode:
            yield mode.tally


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self._alive = 0
        self._in_one = False
        """What is counted as one kernel is at work."""
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        tensors = [each for each in pytree.tree_leaves(out) if isinstance(each, torch.Tensor)]
        if name in _WAITS:
            self.tally.waits += 1
        elif name not in _VIEWS:
            self.tally.kernels[name] += 1
            if name in _COPIES:
                self.tally.copied_bytes += sum(each.numel() * each.element_size() for each in tensors)
        for each in tensors:
            self._see(each)
        return out

    def copy_pack(self, target: torch.Tensor, pack: torch.Tensor) -> None:
        """Stand for `block_offload.copy_pack`: a copy beside the work, which no kernel makes."""
        with _disable_current_modes():
            _COPY_PACK(target, pack)
        self.tally.bus_bytes += pack.numel()

    def as_one(self, owner: Any, name: str) -> Callable[..., Any]:
        """The function of that name, counted as one kernel."""
        function = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._in_one:
                return function(*args, **kwargs)
            self._in_one = True
            try:
                with _disable_current_modes():
                    out = function(*args, **kwargs)
            finally:
                self._in_one = False
            self.tally.kernels[name] += 1
            for each in pytree.tree_leaves(out):
                if isinstance(each, torch.Tensor):
                    self._see(each)
            return out

        return counted

    def _see(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def gone(_reference: Any) -> None:
            if self._known.pop(key, None) is not None:
                self._alive -= size

        self._known[key] = weakref.ref(storage, gone)
        self._alive += size
        self.tally.peak_bytes = max(self.tally.peak_bytes, self._alive)
