"""The graphics card that takes are made on, as far as the server can know it without torch.

Its name and size come from the worker. How much of it is free comes from NVIDIA's own program if that is installed;
the program takes a moment, so a thread asks it when a worker has come up and has loaded nothing yet. What our own
models take later therefore counts as free, because the next job may have it.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from dataclasses import dataclass

from ..catalogue import entries
from ..memory import forecast
from ..memory.forecast import Machine
from ..protocol.messages import Finding, WorkerStatus
from ..protocol.sentences import Sentence
from ..storage.byte_sizes import size_in_words
from . import cards
from .cards import Card

log = logging.getLogger(__name__)

CARD = Sentence("card")
UNKNOWN = Sentence("How it would run is unknown until a take is made.")


@dataclass(frozen=True)
class GraphicsCard:
    """A device and its memory; without a name, nothing is known."""

    device: str = ""
    total_bytes: int = 0
    free_bytes: int | None = None
    """None if nothing here tells."""
    host_bytes: int = 0
    budget_bytes: int | None = None

    @classmethod
    def of(cls, worker: WorkerStatus | None, budget_bytes: int | None = None) -> GraphicsCard:
        """The card that the worker runs on."""
        if worker is None or not worker.device or not worker.host_bytes:
            return cls()
        free_bytes = free_of(worker.device, worker.card) if worker.device.startswith("cuda") else worker.host_bytes
        return cls(worker.device, worker.device_bytes, free_bytes, worker.host_bytes, budget_bytes)

    @property
    def usable_bytes(self) -> int:
        """Memory that a job could have; all of it if it isn't known how much is free."""
        usable = self.total_bytes if self.free_bytes is None else self.free_bytes
        return usable if self.budget_bytes is None else min(usable, self.budget_bytes)

    @property
    def is_card(self) -> bool:
        """True if the components have to be brought to memory of its own."""
        return self.device.startswith("cuda")

    def finding(self) -> Finding:
        """The doctor's finding on the card."""
        if not self.device:
            return Finding(CARD, True, Sentence("Which card makes takes is unknown until a take is made."))
        free = (
            Sentence("free memory unknown")
            if self.free_bytes is None
            else Sentence("{size} free", size=size_in_words(self.free_bytes))
        )
        made_on = (
            Sentence("Takes are made on {device}: {total} of card, {free}.")
            if self.is_card
            else Sentence("Takes are made on {device}: {total} of memory, {free}.")
        )
        sentences = [made_on.with_values(device=self.device, total=size_in_words(self.total_bytes), free=free)]
        if self.budget_bytes is not None:
            sentences.append(Sentence("{size} may be used.", size=size_in_words(self.budget_bytes)))
        if self.is_card:
            sentences.append(Sentence("The machine has {size} of memory free.", size=size_in_words(self.host_bytes)))
        return Finding(CARD, True, Sentence.joined(sentences))

    @property
    def machine(self) -> Machine | None:
        """The machine to plan for; None if nothing is known."""
        if not self.device:
            return None
        host = self.host_bytes if self.is_card else self.usable_bytes
        max_bytes = self.total_bytes if self.budget_bytes is None else min(self.total_bytes, self.budget_bytes)
        return Machine(self.device.partition(" ")[0], self.usable_bytes, host, max_bytes)

    def forecast(self, model: str) -> Sentence:
        """A sentence on how a model of the catalogue would run here."""
        machine = self.machine
        if machine is None:
            return UNKNOWN
        entry = entries.entry(model)
        words = forecast.in_words(entry, forecast.plan_for(entry, machine), machine)
        if self.is_card and self.free_bytes is None:
            return Sentence.joined([words, Sentence("That is with nothing else on the card.")])
        return words


def free_of(device: str, card: str = "") -> int | None:
    """Free memory of an NVIDIA card; None if nvidia-smi doesn't say it.

    `card` is its UUID; where that is empty, the card is found by its name in `device`, as a worker reports that.
    """
    for each in cards.listed():
        if each.id == card if card.startswith("GPU-") else each.name and f"({each.name})" in device:
            return each.free_bytes
    return None


class GraphicsCardWatch:
    """Follows the worker's state, and knows the machine that a job would have."""

    def __init__(
        self, budget_bytes: int | None, device: str = "auto", card: Card | None = None, asks: bool = True
    ) -> None:
        """`device` is the wish that jobs come with: auto, cuda, mps or cpu. `card`: the one that workers are given.

        Without `asks`, the cards are another machine's, and nobody here knows how much of them is free.
        """
        self._asks = asks
        self._budget_bytes, self._wish, self._id = budget_bytes, device, "" if card is None else card.id
        self._card = GraphicsCard()
        self._lock = threading.Lock()
        self._state = "none"
        self._asking = False

    @property
    def is_asking(self) -> bool:
        """True while it is found out how much of the card is free, so that nothing should be loaded."""
        return self._asking

    @property
    def machine(self) -> Machine | None:
        """None until a worker has run. From any thread: a card is never changed, only exchanged for another."""
        return self._card.machine

    @property
    def card(self) -> str:
        """What the device is called; empty until a worker has run. From any thread."""
        return self._card.device

    def worker_changed(self, status: WorkerStatus) -> None:
        """A worker has come up, or gone; what is known of its device stays known."""
        came_up = status.state == "ready" and self._state == "starting"
        self._state = status.state
        if not came_up or not status.host_bytes:
            return
        device, device_bytes = status.device, status.device_bytes
        if self._wish == "cpu" and not device.startswith("cpu"):  # what the worker found first isn't what jobs run on
            device, device_bytes = "cpu", status.host_bytes
        known = GraphicsCard(device, device_bytes, None, status.host_bytes, self._budget_bytes)
        with self._lock:
            self._card = known if known.is_card else dataclasses.replace(known, free_bytes=status.host_bytes)
            self._asking = known.is_card and self._asks
        if not self._asking:
            return
        threading.Thread(target=self._ask, args=(known,), daemon=True, name="card").start()

    def _ask(self, known: GraphicsCard) -> None:
        free = free_of(known.device, self._id)
        log.info("%s: %s bytes are free", known.device, free)
        with self._lock:
            if self._card is known:  # else another worker has come up meanwhile
                self._card = dataclasses.replace(known, free_bytes=free)
                self._asking = False
