"""Processes on other cards that compute a forward pass together, as the worker asks for it.

A team of one process computes it alone. In a larger one each has a share of the tokens (`loading.token_split`), for
which they join a `CardGroup` once all have the transformer in place; in one of the two teams of a take, the worker
itself is the first of the group. Nobody waits for that: until the team is ready, the worker computes alone.

Whoever has the transformer in place says which weights those are: the model's, the LoRAs, how many shares. A process
that has others than the worker takes no part in the job.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from ..loading.chunked_forward import PromptSpan
from ..pipelines import transfers
from .card_group import CardGroup, GroupBroken, Watch, finish
from .other_process import Process
from .payload_frames import packed

log = logging.getLogger(__name__)

JOIN_SECONDS = 60.0
"""Whoever isn't in the group by then, once all are ready to join, won't be."""
LOOK_SECONDS = 0.25
END_SECONDS = 5.0
OTHER_WEIGHTS = "a card has other weights in place than the first one"
CHANGING = ("hidden_states", "timestep")
"""The transformer's inputs that are new in each step; the others are sent when they are another tensor. Where the
worker is in the team, they go from card to card."""
_NUMBERS = itertools.count(1)


class Team:
    """Some of the worker's processes, in the order of their shares."""

    def __init__(self, processes: Sequence[Process], with_worker: bool) -> None:
        """`with_worker` says that the worker has the first share of the tokens."""
        self.processes, self.with_worker = list(processes), with_worker
        self.was_lost = False
        """Whether it failed in this job after it had been asked for something."""
        self.asked = 0
        """How many forward passes of this job it was asked for."""
        self._turn, self._is_out = 0, False
        self._kept: dict[tuple[str, str], Tensor] = {}
        """The inputs that its processes have kept, by what they are for and their name."""
        self._name, self._folder = "", ""
        self._group: CardGroup | None = None
        self._shares = 1
        """Between how many cards the transformer's weights are divided in this job."""
        self._own_weights: Callable[[], str] = str
        """The mark of the weights that the worker has in this turn (`residency.weights_mark`)."""
        self._compared = 0
        """The last turn for which its processes said that they have the same."""
        self._joining, self._is_closed = threading.Lock(), False

    @property
    def size(self) -> int:
        """How many cards compute a forward."""
        return len(self.processes) + self.with_worker

    @property
    def is_lost(self) -> bool:
        """Whether it does nothing more for this job."""
        return self._is_out or any(process.is_lost for process in self.processes)

    @property
    def is_ready(self) -> bool:
        """Whether a forward that is asked for now is computed at once."""
        return (
            not self.is_lost
            and bool(self._turn)
            and all(each.ready_for == self._turn for each in self.processes)
            and self._have_the_same_weights
            and (self.size == 1 or self._has_joined)
        )

    @property
    def _have_the_same_weights(self) -> bool:
        """Whether its processes have the worker's weights in place; who has others does nothing more for this job."""
        if self._compared == self._turn:
            return True
        own = self._own_weights()
        for each in self.processes:
            if each.weights != own:
                each.fail(OTHER_WEIGHTS)
        if self.is_lost:
            return False
        self._compared = self._turn
        return True

    @property
    def _has_joined(self) -> bool:
        group = self._group
        if self.with_worker and (group is None or group.is_broken):
            return False
        return bool(self._name) and all(each.group == self._name for each in self.processes)

    def begin_job(self, number: int, shares: int = 1) -> None:
        """Another job: what was said in the one before doesn't count.

        `shares` says between how many cards the transformer's weights are divided.
        """
        self._shares = shares
        self.was_lost, self.asked, self._turn, self._is_out = False, 0, 0, False
        self._kept.clear()
        for process in self.processes:
            process.begin_job(number)

    def tell(self, number: int, do: str, payload: bytes = b"", **values: Any) -> None:
        """Tell all its processes to do something."""
        frame = packed({"do": do, "number": number, **values}, payload)
        for process in self.processes:
            if not process.is_gone:
                process.tell(frame)

    def prepare(self, number: int, **job: Any) -> None:
        """Have its processes get ready for a job, each with its share of the weights if they have shares."""
        for rank, process in enumerate(self.processes, int(self.with_worker)):
            share = [rank, self._shares] if self._shares > 1 else [0, 1]
            process.tell(packed({"do": "prepare", "number": number, **job, "share": share}))

    def turn(self, number: int, component: str, device: torch.device, own_weights: Callable[[], str]) -> None:
        """The transformer of that name makes the next steps; the worker's own is on `device`.

        `own_weights()` is the mark of the weights that it has; it's asked for when those have to be in place.
        """
        self._kept.clear()
        self._turn, self._own_weights = number, own_weights
        self.tell(number, "turn", component=component)
        if self.size > 1:
            threading.Thread(target=self._join, args=(number, device), name="joining", daemon=True).start()

    def rest(self, number: int) -> None:
        """Nobody waits for anything any more."""
        self._turn = 0
        self._kept.clear()
        self.tell(number, "rest")

    def ask(self, number: int, what_for: str, inputs: dict[str, Any], steps_left: int) -> None:
        """Have its processes begin the forward pass for the transformer's `inputs`."""
        self.asked += 1
        tensors = {name: each for name, each in inputs.items() if isinstance(each, Tensor)}
        new = {name: each for name, each in tensors.items() if self._kept.get((what_for, name)) is not each}
        keep = [name for name in new if name not in CHANGING]
        self._kept.update({(what_for, name): new[name] for name in keep})
        given = CHANGING if self.with_worker else ()
        copies = {name: transfers.copied(each) for name, each in new.items() if name not in given}
        if copies:
            finish(inputs["hidden_states"].device)
        self.tell(
            *(number, "forward", safetensors.save(copies)),
            what_for=what_for,
            keep=keep,
            kept=[name for name in tensors if name not in new],
            given=[[name, list(tensors[name].shape), _DTYPES[tensors[name].dtype]] for name in given],
            spans=[[span.start, span.end_exclusive, span.shares] for span in inputs.get("spans", ())],
            steps_left=steps_left,
            together=self.size > 1,
        )

    def compute(
        self, inputs: dict[str, Any], forward: Callable[[CardGroup], Tensor], patience: Callable[[], float]
    ) -> Tensor | None:
        """The worker's share of a forward pass that was asked for, and so all of it; None if the team is lost.

        Raises what `forward` raises; the team is of no use then before another turn.
        """
        group, made = self._group, None
        assert group is not None
        try:
            with Watch(group, patience, lambda: any(each.is_lost for each in self.processes), self.lose):
                for name in CHANGING:
                    group.broadcast(inputs[name])
                made = forward(group)
                finish(made.device)
        except BaseException as error:
            of_the_group = isinstance(error, GroupBroken) or (group.is_broken and isinstance(error, RuntimeError))
            if not of_the_group:
                self._leave()
                raise
            log.warning("the forward pass can't be computed together: %s", error)
            self._await_end()
            if not self._is_out:
                self.lose()
        return None if group.is_broken else made

    def _await_end(self) -> None:
        """Wait a little to hear which process failed: the others' connections to it may end before its pipe does."""
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline and not any(process.is_lost for process in self.processes):
            time.sleep(END_SECONDS / 100)

    def lose(self) -> None:
        """It failed: nothing is asked of it any more in this job. What hangs is ended; from any thread."""
        self._is_out = self.was_lost = True
        if not any(process.is_lost for process in self.processes):  # nobody knows which one hangs
            for process in self.processes:
                process.kill()
        self._leave()
        self.tell(0, "rest")

    def close(self) -> None:
        """Leave its group for good."""
        self._turn, self._is_closed = 0, True
        self._leave()

    def _leave(self) -> None:
        self._name = ""
        group, self._group = self._group, None
        if group is not None:
            group.break_up()
        folder, self._folder = self._folder, ""
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _join(self, turn: int, device: torch.device) -> None:
        """Have all join a group once they are ready, if they aren't in one; on a thread of its own."""
        for process in self.processes:
            while not process.wait_until_ready(turn, LOOK_SECONDS):
                if self.is_lost or self._turn != turn:
                    return
        with self._joining:
            if self._turn != turn or self.is_lost or self._has_joined:
                return
            self._leave()
            try:
                self._join_anew(device)
            except GroupBroken as error:
                log.warning("the cards can't compute a forward together: %s", error)
                self._is_out = True
                self._leave()
            except Exception:  # the edge of a thread: the take is made without
                log.exception("the cards can't compute a forward together")
                self._is_out = True
                self._leave()

    def _join_anew(self, device: torch.device) -> None:
        self._folder = tempfile.mkdtemp(prefix="wan-cards-")
        store, name = str(Path(self._folder, "store")), f"{os.getpid()} {next(_NUMBERS)}"
        for rank, process in enumerate(self.processes, int(self.with_worker)):
            place = {"group": name, "store": store, "rank": rank, "size": self.size}
            process.tell(packed({"do": "join", "number": self._turn, **place}))
        group = CardGroup(store, 0, self.size, device) if self.with_worker else None
        for process in self.processes:
            if not process.wait_until_joined(name, JOIN_SECONDS):
                raise GroupBroken("a process didn't join in time")
        self._group, self._name = group, name
        if self._is_closed:
            self._leave()
        log.info("%d cards compute a forward together", self.size)


_DTYPES = {getattr(torch, name): name for name in ("float64", "float32", "bfloat16", "float16", "int64", "int32")}
_NAMED_DTYPES = {name: dtype for dtype, name in _DTYPES.items()}


def received(given: list[Any], group: CardGroup, device: torch.device) -> dict[str, Tensor]:
    """The tensors of which `ask` sent only what they are like, from the first of the group. Raises GroupBroken."""
    forms = ((name, torch.empty(shape, dtype=_NAMED_DTYPES[dtype], device=device)) for name, shape, dtype in given)
    return {name: group.broadcast(form) for name, form in forms}


def spans_of(sent: list[Any]) -> tuple[PromptSpan, ...]:
    """The spans that `ask` sent."""
    return tuple(
        PromptSpan(int(start), int(end), tuple((int(number), float(share)) for number, share in shares))
        for start, end, shares in sent
    )
