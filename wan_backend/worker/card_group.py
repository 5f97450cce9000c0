"""The processes that compute a forward pass together, one on each card, as one of them sees them.

What they exchange goes from card to card: by NCCL, and between processors by Gloo. Both would wait without end for a
process that died or hangs, so a `Watch` on the worker's side looks whether the forward goes on, and breaks the group if
it doesn't. A broken group is never mended; its processes join another one.

All that a group exchanges, tokens and weights, goes by one communicator, and each process asks for it in the same
order. So they can't wait for one another in a circle, whatever else makes one of them wait for its card, as memory that
is given back or a kernel that is loaded does: whoever is behind waits only for what the others have asked for already.
With a communicator for each of two kinds, that would hold only where a card has room to run both at once, and breaking
up the one would wait for the other.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from ..pipelines import transfers
from .exchange_ledger import Ledger
from .patience import GAP_SECONDS

log = logging.getLogger(__name__)

TIMEOUT = timedelta(minutes=2)
"""Of the libraries themselves, for one that doesn't come. Whoever waits for a group gives it up far sooner."""
AROUND = {
    # NCCL's own threads would end a process whose group is broken; here it goes on alone.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
    "TORCH_NCCL_ENABLE_MONITORING": "0",
    "TORCH_NCCL_DUMP_ON_TIMEOUT": "0",
    # The processes are on one machine, whose network is nobody's way here.
    "NCCL_SOCKET_IFNAME": "lo",
}
"""What the libraries find in the environment unless it says something else."""
OVER_VARIABLE, GLOO = "WAN_VSE_CARDS_OVER", "gloo"
"""Where that is set to this, cards exchange by Gloo, through the machine's memory. It is slow, and for trying things
where NCCL can't be: it takes no two processes on one card."""
ABORT_SECONDS = 5.0
"""How long anybody waits for a group to break up; it was half a second on two cards."""
LOOK_SECONDS = 0.1
LONGER = 3.0
"""A forward that doesn't go on for so many times its longest pause so far hangs."""


class GroupBroken(RuntimeError):
    """The group's processes can't go on together."""


class CardGroup:
    """`loading.token_split.Exchange` between processes."""

    def __init__(self, store: str, rank: int, size: int, device: torch.device) -> None:
        """Join the others; `store` is a file that isn't there yet, by which they find one another. Raises GroupBroken.

        It waits until all are there.
        """
        self.rank, self.size = rank, size
        self.went_on_at, self.longest_pause = 0.0, 0.0
        """When the forward that is being computed went on last, and the longest that it didn't, in seconds."""
        self._looked_at = 0.0
        self.is_broken = False
        self.ledger = Ledger(device)
        """What is exchanged in the forward that is being computed."""
        self._device = device
        self._backend: Any = None
        try:
            with _as_broken():
                self._backend = _backend(store, rank, size, device)
                self._greet()
        except GroupBroken:
            self.break_up()
            raise

    def begin(self) -> None:
        """A forward pass begins."""
        self.went_on_at = self._looked_at = time.monotonic()
        self.ledger.begin()

    def __call__(self, output: Tensor, sent: Tensor, output_sizes: list[int], sent_sizes: list[int]) -> None:
        """See Exchange. Raises GroupBroken, also where it was broken by another thread."""
        sizes = output_sizes, sent_sizes
        self._exchange("tokens", output, lambda backend: backend.alltoall_base(output, sent, *sizes))

    def gather(self, output: Tensor, own: Tensor) -> None:
        """See Exchange. Raises GroupBroken, also where it was broken by another thread."""
        self._exchange("weights", output, lambda backend: backend._allgather_base(output, own))

    def _exchange(self, what: str, output: Tensor, ask: Callable[[Any], Any]) -> None:
        """Have the stream that is set wait for what `ask` asks of the backend."""
        self.go_on()
        backend = self._backend
        if backend is None or self.is_broken:
            raise GroupBroken("the group is broken")
        self.ledger.add(what, output.nbytes)
        with _as_broken():
            ask(backend).wait()
        self.ledger.was_asked_for()
        self.go_on()

    def broadcast(self, tensor: Tensor) -> Tensor:
        """The first one's tensor; everybody gives one of its shape, on the group's device. Raises GroupBroken."""
        numbers, leads = tensor.numel(), self.rank == 0
        came = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        sent = tensor.reshape(-1).repeat(self.size) if leads else tensor.new_empty(0)
        sent_sizes = [numbers if leads else 0] * self.size
        self(came.view(-1), sent, [numbers, *[0] * (self.size - 1)], sent_sizes)
        return came

    def break_up(self) -> None:
        """Never exchange anything again; from any thread. The device waits for the others no more."""
        if self.is_broken:
            return
        self.is_broken = True
        given_up = [] if self._backend is None else [self._backend]
        self._backend = None
        _give_up(given_up, self._device)

    def go_on(self) -> None:
        """The forward pass goes on."""
        now = time.monotonic()
        if now - self._looked_at <= GAP_SECONDS:  # else all of it was suspended
            self.longest_pause = max(self.longest_pause, now - self.went_on_at)
        self.went_on_at = now

    def look(self) -> float:
        """Somebody looks whether it goes on, and when that is; if nobody did for a while, it has to go on from now."""
        now = time.monotonic()
        if now - self._looked_at > GAP_SECONDS:
            self.went_on_at = now
        self._looked_at = now
        return now

    def _greet(self) -> None:
        """Exchange something, so that all connections are there; raises GroupBroken if it doesn't come as it went."""
        ones = [1] * self.size
        sent = torch.full((self.size,), float(self.rank), device=self._device)
        came = torch.empty_like(sent)
        self._backend.alltoall_base(came, sent, ones, ones).wait()
        if came.tolist() != [float(rank) for rank in range(self.size)]:
            raise GroupBroken(f"what the processes exchange comes as {came.tolist()}")


class Watch:
    """A context in which a group computes a forward pass: `lose()` is called once if that doesn't go on.

    It goes on where something is asked for, and where something comes. `is_lost()` says whether another process of the
    group is known to have failed. It calls from a thread of its own.
    """

    def __init__(
        self,
        group: CardGroup,
        patience_seconds: Callable[[], float],
        is_lost: Callable[[], bool],
        lose: Callable[[], None],
    ) -> None:
        self._group, self._patience, self._is_lost, self._lose = group, patience_seconds, is_lost, lose
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="card-group", daemon=True)

    def __enter__(self) -> None:
        self._group.begin()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        group, there = self._group, 0
        while not self._done.wait(LOOK_SECONDS):
            now = group.look()
            before, there = there, group.ledger.there
            if there > before:
                group.go_on()
            hangs = now - group.went_on_at > max(self._patience(), LONGER * group.longest_pause)
            if hangs or self._is_lost():
                words = "hangs" if hangs else "has lost a process"
                log.warning("the cards' group %s; card %d waits for %s", words, group.rank, group.ledger.awaited)
                self._lose()
                return


def _give_up(given_up: list[Any], device: torch.device) -> None:
    """Have a card wait no more for what goes by these."""
    if device.type != "cuda" or not given_up:
        return
    thread = threading.Thread(target=_abort, args=(given_up,), name="breaking-up", daemon=True)
    thread.start()
    thread.join(ABORT_SECONDS)
    if thread.is_alive():
        log.warning("the cards' group doesn't break up")


def _abort(given_up: list[Any]) -> None:
    """On a thread of its own, for nobody knows how long NCCL takes for it."""
    began = time.monotonic()
    for each in given_up:
        with contextlib.suppress(RuntimeError):
            each.abort()
    given_up.clear()  # its own end may take as long
    log.info("the cards' group was broken up in %.1f s", time.monotonic() - began)


def _backend(store: str, rank: int, size: int, device: torch.device) -> Any:
    from torch.distributed import distributed_c10d  # not every build of torch has it

    c10d: Any = distributed_c10d
    around: Any = torch.distributed
    for name, value in AROUND.items():
        os.environ.setdefault(name, value)
    file = around.FileStore(store, size)
    file.set_timeout(TIMEOUT)
    if device.type == "cuda" and os.environ.get(OVER_VARIABLE) != GLOO:
        if not c10d.is_nccl_available():
            raise GroupBroken("this torch has no NCCL")
        on_cards = c10d.ProcessGroupNCCL.Options()
        on_cards._timeout = TIMEOUT
        made = c10d.ProcessGroupNCCL(file, rank, size, on_cards)
        made._set_sequence_number_for_group()
        return made
    between = c10d.ProcessGroupGloo._Options()
    between._devices = [c10d.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
    between._timeout = TIMEOUT
    return c10d.ProcessGroupGloo(file, rank, size, between)


@contextlib.contextmanager
def _as_broken() -> Any:
    try:
        yield
    except GroupBroken:
        raise
    except (RuntimeError, ValueError, ImportError) as error:
        raise GroupBroken(f"{type(error).__name__}: {error}") from error


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    event = transfers.record(device)
    if event is not None:
        event.synchronize()
